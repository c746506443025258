"""What a client's bytes cost before anybody knows who sent them, by how many there are."""

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise, product
from secrets import token_hex
from string import ascii_letters
from typing import Annotated

from fastapi import Depends, FastAPI, Form, Path, Query, Request
from pydantic import BaseModel

import neonkit
from neonkit import (
    IfMatchDep,
    InputModel,
    OptionalIdempotencyKey,
    PageDep,
    Settings,
    TaggedDep,
)
from neonkit.auth import TokenPolicy, read_access_token, verify_password, weakness_of
from neonkit.errors import ProblemError
from neonkit.resources import CursorPolicy
from neonkit.resources._cursor import decode_cursor
from neonkit.web import strict_parameters
from neonkit_starter.accounts.routes import read_ids
from neonkit_starter.users.schemas import UserCreate

SIZES = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000)
MOST = 3.0
"""How many times as long twice the bytes may take."""

_FLOOR = 0.004
"""Seconds below which a run says more of the machine than of the parser."""

Parse = Callable[[], object]


@dataclass(frozen=True)
class Cost:
    """What one size costs.

    Attributes:
        seconds: of the processor, at best.
        kilobytes: at the most at a time.
    """

    seconds: float
    kilobytes: int


def cost_of(make: Callable[[int], Parse], size: int) -> Cost:
    """Measure the parsing of an input; whatever else the machine does only adds to a run."""

    def once() -> float:
        parse = make(size)
        gc.collect()
        started = time.process_time()
        parse()
        return time.process_time() - started

    gc.disable()  # its own work grows with all that is alive
    try:
        seconds = min(once() for _ in range(4))
    finally:
        gc.enable()
    parse = make(size)
    tracemalloc.start()
    parse()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return Cost(seconds, peak // 1024)


def growth_of(costs: list[Cost]) -> float:
    """The greatest factor between one size and the next; times under a floor count as it."""
    times = [max(cost.seconds, _FLOOR) for cost in costs]
    return max(large / small for small, large in pairwise(times))


class _Filters(BaseModel):
    colour: str | None = None


class _Item(InputModel):
    name: str
    count: int = 0


def _app() -> FastAPI:
    """An app that parses everything that a client may send, and asks no database."""
    app = FastAPI()
    neonkit.install(app, Settings(_env_file=None, environment="test", secret_key=token_hex(32)))

    @app.get("/list", dependencies=[Depends(strict_parameters)])
    async def read_list(page: PageDep, _if_match: IfMatchDep, _tagged: TaggedDep) -> int:
        return page.limit

    @app.get("/snapshot")
    async def read_snapshot(ids: Annotated[list[int], Depends(read_ids)]) -> int:
        return len(ids)

    @app.get("/filtered")
    async def read_filtered(filters: Annotated[_Filters, Query()]) -> str | None:
        return filters.colour

    @app.get("/items/{item_id}")
    async def read_item(item_id: Annotated[int, Path(ge=1, le=2**63 - 1)]) -> int:
        return item_id

    @app.post("/items")
    async def create_item(item: _Item, _key: OptionalIdempotencyKey) -> str:
        return item.name

    @app.post("/forms")
    async def create_form(name: Annotated[str, Form()]) -> str:
        return name

    @app.post("/users")
    async def create_user(body: UserCreate) -> str:
        return weakness_of(body.password, body.username, body.email) or ""

    @app.post("/raw")
    async def create_raw(request: Request, _key: OptionalIdempotencyKey) -> int:
        return len(await request.body())

    return app


@dataclass(frozen=True)
class _Sent:
    path: bytes = b"/list"
    query: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""

    def through(self, app: FastAPI, loop: asyncio.AbstractEventLoop) -> Parse:
        """Make what sends it through the whole app."""
        return lambda: loop.run_until_complete(self._send(app))

    async def _send(self, app: FastAPI) -> None:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST" if self.body else "GET",
            "scheme": "http",
            "path": self.path.decode("latin-1"),
            "raw_path": self.path,
            "query_string": self.query,
            "root_path": "",
            "headers": [
                (b"host", b"here"),
                (b"content-length", str(len(self.body)).encode()),
                *self.headers,
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        given = iter([{"type": "http.request", "body": self.body, "more_body": False}])

        async def receive() -> dict[str, object]:
            return next(given, {"type": "http.disconnect"})

        async def send(message: object) -> None:
            pass

        await app(scope, receive, send)


def _names(size: int) -> bytes:
    return "&".join("".join(each) for each in product(ascii_letters, repeat=3))[:size].encode()


def _header(name: bytes, value: Callable[[int], bytes]) -> Callable[[int], _Sent]:
    return lambda size: _Sent(headers=((name, value(size)),))


def _body(kind: bytes, body: Callable[[int], bytes], path: bytes) -> Callable[[int], _Sent]:
    headers = ((b"content-type", kind), (b"idempotency-key", b"12345678"))
    return lambda size: _Sent(path, headers=headers, body=body(size))


def _json(body: Callable[[int], bytes]) -> Callable[[int], _Sent]:
    return _body(b"application/json", body, b"/items")


def _user(field: bytes) -> Callable[[int], _Sent]:
    def body(size: int) -> bytes:
        accents = "\u0301\u0316".encode() * (size // 4)
        fields = {b"username": b"ada", b"email": b"ada@example.com", b"password": b"p" * 15}
        fields[field] += accents
        return b"{%s}" % b",".join(b'"%s": "%s"' % each for each in fields.items())

    return _body(b"application/json", body, b"/users")


_FORM = b"application/x-www-form-urlencoded"
_MULTIPART = b"multipart/form-data; boundary=b"
_PART = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'

REQUESTS: Mapping[str, Callable[[int], _Sent]] = {
    "query, names": lambda size: _Sent(query=_names(size)),
    "query, one name again and again": lambda size: _Sent(query=b"a&" * (size // 2)),
    "query, for a model of parameters": lambda size: _Sent(b"/filtered", _names(size)),
    "query, escapes": lambda size: _Sent(query=b"q=" + b"%25" * (size // 3)),
    "query, sort keys": lambda size: _Sent(query=b"sort=" + b"id," * (size // 3)),
    "query, cursor": lambda size: _Sent(query=b"cursor=" + b"A" * size),
    "query, ids": lambda size: _Sent(b"/snapshot", b"ids=" + b"1," * (size // 2)),
    "query, ids of many digits": lambda size: _Sent(b"/snapshot", b"ids=" + b"9" * size),
    "query, sort keys apart": lambda size: _Sent(query=b"sort=-" + b"a" * size),
    "query, searched": lambda size: _Sent(query=b"q=" + b"%cc%81%cc%96" * (size // 12)),
    "query, plus signs": lambda size: _Sent(query=b"q=" + b"+" * size),
    "query, digits": lambda size: _Sent(query=b"limit=" + b"9" * size),
    "path, digits of an id": lambda size: _Sent(b"/items/" + b"9" * size),
    "path, slashes": lambda size: _Sent(b"/" * size),
    "path, text": lambda size: _Sent(b"/" + b"a" * size),
    "Content-Type, separators": _header(b"content-type", lambda size: b'a/b;"' + b";" * size),
    "Content-Type, blanks": _header(b"content-type", lambda size: b"a/b" + b"; " * (size // 2)),
    "Content-Type, quotes": _header(b"content-type", lambda n: b'a/b;c="' + b"\\a" * (n // 2)),
    "Content-Type, charset": _body(
        b"application/json; charset=x", lambda size: b"{" + b" " * size + b"}", b"/items"
    ),
    "Content-Type, name of a charset": _header(
        b"content-type", lambda size: b"application/json; charset=" + b"a" * size
    ),
    "Content-Type, RFC 2231": _header(
        b"content-type", lambda size: b"a/b; charset*=" + b"a''%41" * (size // 6)
    ),
    "Content-Encoding": _header(b"content-encoding", lambda size: b"gzip," * (size // 5)),
    "Content-Length": _header(b"content-length", lambda size: b"9" * size),
    "Accept": _header(b"accept", lambda size: b"a/b;q=0.1," * (size // 10)),
    "Accept, blanks": _header(b"accept", lambda size: b",  " * (size // 3) + b"!"),
    "Accept, parameters": _header(b"accept", lambda size: b"a/b" + b" ; " * (size // 3) + b"="),
    "If-Match, tags": _header(b"if-match", lambda size: b'"a",' * (size // 4)),
    "If-Match, commas": _header(b"if-match", lambda size: b'"a"' + b" ," * (size // 2) + b"!"),
    "If-None-Match": _header(b"if-none-match", lambda size: b'W/"' + b"a" * size),
    "Idempotency-Key": lambda size: _Sent(
        b"/raw",
        headers=((b"idempotency-key", b"a" * size), (b"content-type", b"text/plain")),
        body=b"a",
    ),
    "Authorization, blanks": _header(b"authorization", lambda size: b"Bearer" + b" " * size),
    "Authorization": _header(b"authorization", lambda size: b"Bearer " + b"a." * (size // 2)),
    "Origin": _header(b"origin", lambda size: b"https://" + b"a." * (size // 2)),
    "Cookie": _header(b"cookie", lambda size: b'a="b;' * (size // 5)),
    "X-Request-ID": _header(b"x-request-id", lambda size: b"a" * size),
    "header lines": lambda n: _Sent(headers=tuple((b"x-%d" % at, b"") for at in range(n // 10))),
    "header lines, one name": lambda size: _Sent(headers=((b"x", b""),) * (size // 5)),
    "JSON, nested": _json(lambda size: b"[" * (size // 2) + b"]" * (size // 2)),
    "JSON, never closed": _json(lambda size: b'{"a":' * (size // 5)),
    "JSON, side by side": _json(lambda size: b"[" + b"[]," * (size // 3) + b"1]"),
    "JSON, fields": _json(lambda n: b"{%s}" % b",".join(b'"%d":1' % at for at in range(n // 9))),
    "JSON, quotes": _json(lambda size: b'{"name": "' + b"[[" * 40 + b'\\"' * (size // 2)),
    "JSON, digits": _json(lambda size: b'{"name": "a", "count": ' + b"9" * size + b"}"),
    "JSON, fraction": _json(lambda size: b'{"name": "a", "count": 1.' + b"9" * size + b"}"),
    "JSON, exponents": _json(lambda n: b'{"name": "a", "count": [%s1]}' % (b"1e999," * (n // 6))),
    "JSON, numbers": _json(lambda n: b'{"name": "a", "count": [%s1]}' % (b"1234567," * (n // 8))),
    "JSON, numbers of many digits": _json(
        lambda n: b'{"name": "a", "count": [%s1]}' % ((b"9" * 4_000 + b",") * (n // 4_001))
    ),
    "JSON, white space": _json(lambda size: b"{" + b" " * size + b"}"),
    "JSON, accents": _json(
        lambda size: b'{"name": "a' + "\u0301\u0316".encode() * (size // 4) + b'"}'
    ),
    "JSON, accents of an address": _user(b"email"),
    "JSON, accents of a username": _user(b"username"),
    "JSON, accents of a password": _user(b"password"),
    "JSON, surrogates": _json(lambda size: b'{"name": "' + b"\\ud800" * (size // 6) + b'"}'),
    "JSON, of no declared type": _body(b"text/plain", lambda size: b"[" * size, b"/raw"),
    "form, fields": _body(_FORM, _names, b"/forms"),
    "form, escapes": _body(_FORM, lambda size: b"name=" + b"%41" * (size // 3), b"/forms"),
    "multipart, parts": _body(_MULTIPART, lambda n: _PART * (n // len(_PART)), b"/forms"),
    "multipart, a part's header": _body(
        _MULTIPART,
        lambda size: b"--b\r\nContent-Disposition: form-data; name=" + b';"' * (size // 2),
        b"/forms",
    ),
    "multipart, dashes": _body(
        _MULTIPART, lambda size: b"--b\r\n\r\n" + b"\r\n-" * (size // 3), b"/forms"
    ),
}  # fmt: skip


def _read_token(size: int) -> Parse:
    policy = TokenPolicy((b"k" * 32,))
    token = ("e30" + "A" * (size // 3) + ".") * 3

    def parse() -> None:
        with suppress(ProblemError):
            read_access_token(policy, token)

    return parse


def _read_cursor(size: int) -> Parse:
    policy = CursorPolicy.random()

    def parse() -> None:
        with suppress(ProblemError):
            decode_cursor("A" * size, b"", policy, [int])

    return parse


def _verify(loop: asyncio.AbstractEventLoop) -> Callable[[int], Parse]:
    """A login's password is composed before it is hashed, which itself takes always as long."""

    def make(size: int) -> Parse:
        accents = "a" + "\u0301\u0316" * (size // 12)  # escaped, in a form of so many bytes
        return lambda: loop.run_until_complete(verify_password(accents, None))

    return make


def places() -> Iterator[tuple[str, Callable[[int], Parse]]]:
    """Give each place where a client's bytes are parsed, and what makes an input for it."""
    app, loop = _app(), asyncio.new_event_loop()
    _Sent(query=b"limit=1").through(app, loop)()  # what is made once for an app is made
    for name, make in REQUESTS.items():
        yield name, lambda size, make=make: make(size).through(app, loop)  # type: ignore[misc]  # the default binds it
    yield "token", _read_token
    yield "cursor", _read_cursor
    yield "password of a login, accents", _verify(loop)
    loop.close()
