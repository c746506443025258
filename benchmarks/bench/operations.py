"""What is asked, of whom, and what the figures are to be."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Road = Literal["source", "raw", "plain", "starter"]
ROADS: tuple[Road, ...] = ("source", "raw", "plain", "starter")

_STRIDE = 7919  # a prime: consecutive numbers fall on rows far apart


@dataclass(frozen=True)
class Rows:
    """How many rows there are; ids begin with 1."""

    users: int = 10_000
    posts: int = 100_000
    accounts: int = 200


@dataclass(frozen=True)
class Call:
    """A request, before it has an address, a signature and bytes."""

    method: str
    path: str
    body: dict[str, object] | None = None


Make = Callable[[int, Rows], Call]


@dataclass(frozen=True)
class Targets:
    """Bounds, as ratios to the source document's way in the same run.

    Attributes:
        far: requests per second at 10 ms of round-trip time, at least.
        cpu: of the server process per request, at most: the starter, or `database.execute`.
        cpu_plain: the same in plain session code.
        near: requests per second with no added latency, at least; `None`: at least as many as
            hand-written SQL.
        median_ms: at 10 ms of round-trip time, at most; where one round trip is all it takes.
    """

    far: float
    cpu: float
    cpu_plain: float | None
    near: float | None
    median_ms: float = 13.0


@dataclass(frozen=True)
class Operation:
    """One row of the tables.

    Attributes:
        name: as the tables have it.
        call: the n-th request to the compared apps; `None` where they have nothing like it.
        call_starter: the n-th request to the starter; `None`: plain session code's app serves it
            by one `database.execute`.
        targets: none for what is only reported.
    """

    name: str
    call: Make | None
    call_starter: Make | None
    targets: Targets | None = None

    @property
    def roads(self) -> tuple[Road, ...]:
        """Who takes part."""
        if self.call is None:
            return ("starter",)
        return ROADS if self.call_starter else ("source", "raw", "starter")

    def server_of(self, road: Road) -> Road:
        """Whose process answers."""
        return "plain" if road == "starter" and self.call_starter is None else road

    def make(self, road: Road, number: int, rows: Rows) -> Call:
        """The n-th request on this road."""
        make = self.call_starter if self.server_of(road) == "starter" else self.call
        assert make is not None, "only roads that take part are asked"  # noqa: S101
        return make(number, rows)


def _spread(number: int, rows: int) -> int:
    return number * _STRIDE % rows + 1


def _read(number: int, rows: Rows) -> Call:
    return Call("GET", f"/users/{_spread(number, rows.users)}")


def _list(limit: int) -> Make:
    return lambda _number, _rows: Call("GET", f"/users?limit={limit}&total=exact")


def _with_posts(number: int, rows: Rows) -> Call:
    return Call("GET", f"/users/{_spread(number, rows.users)}/with-posts")


def _include_posts(number: int, rows: Rows) -> Call:
    return Call("GET", f"/users/{_spread(number, rows.users)}?include=posts")


def _create(number: int, rows: Rows) -> Call:
    body = _body_of(number) | {"author_id": _spread(number, rows.users)}
    return Call("POST", "/posts", body)


def _create_own(number: int, _: Rows) -> Call:
    return Call("POST", "/posts", _body_of(number))


def _body_of(number: int) -> dict[str, object]:
    return {"title": f"On looms, part {number}", "content": f"It weaves patterns, {number:09}."}


def _patch(number: int, rows: Rows) -> Call:
    return Call("PATCH", f"/posts/{_spread(number, rows.posts)}", {"title": f"On looms, {number}"})


def _search(path: str) -> Make:
    return lambda number, rows: Call("GET", f"{path}?q={_part_of_address(number, rows)}")


def _part_of_address(number: int, rows: Rows) -> str:
    """What one user's address begins with, as the database was filled."""
    digest = hashlib.md5(str(_spread(number, rows.users)).encode(), usedforsecurity=False)
    return digest.hexdigest()[:12]


def _transfer(number: int, rows: Rows) -> Call:
    payer = _spread(number, rows.accounts)
    payee = payer % rows.accounts + 1
    body: dict[str, object] = {"from_account_id": payer, "to_account_id": payee, "amount": "0.01"}
    return Call("POST", "/transfers", body)


OPERATIONS = (
    Operation("read one", _read, _read, Targets(5.3, 0.25, 0.46, 4)),
    Operation("list of 20 + total", _list(20), _list(20), Targets(5.2, 0.28, 0.41, 2.5)),
    Operation("list of 100 + total", _list(100), _list(100), Targets(5.2, 0.25, 0.45, None, 17)),
    Operation("one with its relation", _with_posts, _include_posts, Targets(6, 0.20, 0.34, 5)),
    Operation("create", _create, _create_own, Targets(11, 0.17, 0.29, 6)),
    Operation("patch", _patch, _patch, Targets(13, 0.17, 0.34, 6)),
    Operation("transfer (bare)", _transfer, None, Targets(7, 0.18, None, 5.5)),
    Operation("search", _search("/search"), _search("/users")),
    Operation("transfer (key, ledger, owner)", None, _transfer),
)
QUICK = tuple(op for op in OPERATIONS if op.name in {"read one", "create", "transfer (bare)"})


def encode(call: Call, prefix: str, headers: str, key: str = "") -> bytes:
    """The request as it goes over the wire; `key` makes a write its own."""
    body = b"" if call.body is None else json.dumps(call.body).encode()
    lines = [f"{call.method} {prefix}{call.path} HTTP/1.1", "Host: 127.0.0.1"]
    if headers:
        lines.append(headers)
    if key:
        lines.append(f"Idempotency-Key: {key}")
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body
