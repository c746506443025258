"""Users, row by row of the contract."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from neonkit import Database
from neonkit_starter.posts.models import Post
from starter.conftest import Call, Cast, pointers_of, slug_of

PASSWORD = "analytical engines run on steam"
GRACE: dict[str, Any] = {
    "username": "Grace.H-1",
    "email": "Grace@Example.com",
    "password": PASSWORD,
}


async def test_registering(call: Call, cast: Cast) -> None:
    """POST /users: 201, Location, what was sent without the password; anybody may."""
    answer = await call("POST /users", json=GRACE)

    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/users/{body['id']}"
    made = datetime.fromisoformat(body.pop("created_at"))
    assert abs(datetime.now(UTC) - made) < timedelta(minutes=1)
    assert body == {
        "id": body["id"],
        "username": "Grace.H-1",
        "email": "Grace@Example.com",
        "role": "user",
        "is_active": True,
    }
    assert (await call("GET /users/{ada}", "ada")).status_code == 200
    assert cast.ada.id != body["id"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "ab"),
        ("username", "a" * 51),
        ("username", "has space"),
        ("username", " ada"),
        ("username", "adé"),
        ("username", "\ufb01ne"),
        ("username", "line\n"),
        ("username", None),
        ("username", 123),
        ("email", "a@b"),
        ("email", "nopenope"),
        ("email", "two@at@example.com"),
        ("email", "dot@example."),
        ("email", "a@b.c\nBcc: x"),
        ("email", "zero\u200bwidth@example.com"),
        ("email", "a" * 89 + "@example.com"),
        ("email", None),
        ("password", "fourteen chars"),
        ("password", "x1Y2z" * 26),
        ("password", None),
        ("password", "nul\x00 in the middle of it"),
        ("role", "admin"),
        ("id", 7),
        ("is_active", False),
        ("hashed_password", "x"),
        ("created_at", "2026-01-01T00:00:00Z"),
        ("__class__", "x"),
    ],
)
async def test_registering_with_a_field_that_breaks_a_rule(
    call: Call, field: str, value: object
) -> None:
    """422 with the field's pointer; nothing is made."""
    answer = await call("POST /users", json={**GRACE, field: value})

    assert (answer.status_code, slug_of(answer)) == (422, "validation-error")
    assert pointers_of(answer) == [f"/body/{field}"]
    assert (await call("POST /users", json=GRACE)).status_code == 201


@pytest.mark.parametrize(
    "password",
    [
        "aaaabbbbccccdddd",
        "Grace.H-1" + "",
        "password12345678",
        "passwordpassword",
        "grace@example.com",
    ],
)
async def test_registering_with_a_password_that_is_easy_to_guess(call: Call, password: str) -> None:
    """Too few different characters, a common one, or the e-mail itself: 422 weak-password."""
    answer = await call("POST /users", json={**GRACE, "password": password})

    assert answer.status_code == 422
    expected = "weak-password" if len(password) >= 15 else "validation-error"
    assert slug_of(answer) == expected
    assert pointers_of(answer) == ["/body/password"]
    assert password not in answer.text


@pytest.mark.parametrize(
    "fields",
    [
        {"username": "abc"},
        {"username": "a" * 50},
        {"email": "a@b.c"},
        {"email": "a" * 88 + "@example.com"},
        {"email": "ünï@exämple.com"},
        {"password": "x1Y2z" * 3},
        {"password": "x1Y2z" * 25 + "abc"},
        {"password": "päss wörter mit Umlauten ☃"},
    ],
)
async def test_registering_at_the_limits(call: Call, fields: dict[str, str]) -> None:
    """The shortest and longest that the rules allow are taken, and given back as they were."""
    answer = await call("POST /users", json={**GRACE, **fields})

    assert answer.status_code == 201, answer.text
    for name in fields.keys() - {"password"}:
        assert answer.json()[name] == fields[name]


@pytest.mark.parametrize(
    ("field", "value"), [("username", "gRACE.h-1"), ("email", "gRACE@eXAMPLE.COM")]
)
async def test_registering_what_is_taken(call: Call, field: str, value: str) -> None:
    """409 duplicate with the field, whatever the case."""
    await call("POST /users", json=GRACE)
    other = {"username": "other", "email": "other@example.com", "password": PASSWORD}
    answer = await call("POST /users", json={**other, field: value})

    assert (answer.status_code, slug_of(answer)) == (409, "duplicate")
    assert answer.json()["errors"][0]["pointer"] == f"/body/{field}"
    assert answer.json()["errors"][0]["code"] == "duplicate"


async def test_registering_one_name_fifty_times_at_once(call: Call) -> None:
    """One user is made, and forty-nine are told that the name is taken."""
    calls = [
        call("POST /users", json={**GRACE, "email": f"grace{number}@example.com"}, timeout=30)
        for number in range(50)
    ]
    statuses = Counter(answer.status_code for answer in await asyncio.gather(*calls))

    assert statuses == {201: 1, 409: 49}


async def test_oneself(call: Call, cast: Cast) -> None:
    """GET, PATCH and DELETE /users/me are the caller's own."""
    read = await call("GET /users/me", "ada")
    patched = await call("PATCH /users/me", "ada", json={"username": "countess"})
    empty = await call("PATCH /users/me", "ada", json={})
    deleted = await call("DELETE /users/me", "bob")

    assert (read.status_code, read.json()["id"]) == (200, cast.ada.id)
    assert (patched.status_code, patched.json()["username"]) == (200, "countess")
    assert (empty.status_code, empty.json()) == (200, patched.json())
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await call("GET /users/{bob}", "admin")).status_code == 404


@pytest.mark.parametrize("route", ["PATCH /users/me", "PATCH /users/{ada}"])
@pytest.mark.parametrize(
    "body",
    [
        {"username": None},
        {"email": None},
        {"username": "x"},
        {"id": 7},
        {"hashed_password": "x"},
        {"password": PASSWORD},
        {"created_at": "2026-01-01T00:00:00Z"},
        {"_sa_instance_state": {}},
        {"metadata": {}},
    ],
    ids=str,
)
async def test_patching_what_cannot_be(call: Call, route: str, body: dict[str, object]) -> None:
    """Null and unknown fields are 422 with their pointer, and nothing changes."""
    before = (await call("GET /users/me", "ada")).json()
    answer = await call(route, "ada", json=body)

    assert (answer.status_code, slug_of(answer)) == (422, "validation-error")
    assert pointers_of(answer) == [f"/body/{next(iter(body))}"]
    assert (await call("GET /users/me", "ada")).json() == before


@pytest.mark.parametrize("field", ["role", "is_active"])
async def test_rights_are_given_by_administrators_only(call: Call, field: str) -> None:
    """Of oneself: 403 at /users/{id}, an unknown field at /users/me; an administrator may."""
    body = {"role": "admin"} if field == "role" else {"is_active": False}
    own = await call("PATCH /users/{ada}", "ada", json=body)
    me = await call("PATCH /users/me", "ada", json=body)
    given = await call("PATCH /users/{ada}", "admin", json=body)

    assert (own.status_code, slug_of(own)) == (403, "forbidden")
    assert me.status_code == 422
    assert (given.status_code, given.json()[field]) == (200, body[field])


@pytest.mark.parametrize("route", ["PATCH /users/me", "PATCH /users/{ada}"])
async def test_patching_to_what_is_taken(call: Call, route: str) -> None:
    """409 duplicate; one's own name in another case is free."""
    taken = await call(route, "ada", json={"username": "BOB"})
    own = await call(route, "ada", json={"username": "ADA"})

    assert (taken.status_code, slug_of(taken)) == (409, "duplicate")
    assert pointers_of(taken) == ["/body/username"]
    assert (own.status_code, own.json()["username"]) == (200, "ADA")


@pytest.mark.parametrize("who", ["ada", "admin"])
async def test_by_id(call: Call, who: str, cast: Cast) -> None:
    """GET, PATCH and DELETE /users/{id} are the user's own and administrators'."""
    read = await call("GET /users/{ada}", who)
    patched = await call("PATCH /users/{ada}", who, json={"email": "countess@example.com"})
    owning = await call("DELETE /users/{ada}", who)
    await call("DELETE /posts/{post}", "ada")
    deleted = await call("DELETE /users/{ada}", who)

    assert read.json()["id"] == cast.ada.id
    assert patched.json() == {**read.json(), "email": "countess@example.com"}
    assert (owning.status_code, slug_of(owning)) == (409, "has-dependents")
    assert deleted.status_code == 204
    assert (await call("GET /users/{ada}", "admin")).status_code == 404
    assert (await call("DELETE /users/{ada}", "admin")).status_code == 404


async def test_deleting_oneself_while_owning_posts(call: Call) -> None:
    """409 has-dependents, and both are still there."""
    answer = await call("DELETE /users/me", "ada")

    assert (answer.status_code, slug_of(answer)) == (409, "has-dependents")
    assert (await call("GET /posts/{post}")).status_code == 200


async def test_with_the_newest_posts(call: Call, cast: Cast, db: Database) -> None:
    """`include=posts` adds the newest hundred, newest first; another word is 422."""
    moment = datetime.now(UTC)
    async with db.session() as session:
        session.add_all(
            Post(
                author_id=cast.ada.id,
                title=f"{number}",
                content="-",
                created_at=moment + timedelta(seconds=number),
            )
            for number in range(1, 121)
        )
        await session.commit()

    posts = (await call("GET /users/{ada}?include=posts", "ada")).json()["posts"]

    assert [post["title"] for post in posts] == [str(number) for number in range(120, 20, -1)]
    assert "posts" not in (await call("GET /users/{ada}", "ada")).json()
    wrong = await call("GET /users/{ada}?include=everything", "ada")
    assert (wrong.status_code, pointers_of(wrong)) == (422, ["/query/include"])


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["ada", "bob", "moderator", "admin"]),
        ("?sort=username", ["ada", "admin", "bob", "moderator"]),
        ("?sort=-username", ["moderator", "bob", "admin", "ada"]),
        ("?sort=-id", ["admin", "moderator", "bob", "ada"]),
        ("?sort=created_at", ["ada", "bob", "moderator", "admin"]),
        ("?role=moderator", ["moderator"]),
        ("?is_active=false", []),
        ("?q=AD", ["ada", "admin"]),
        ("?q=bob%40example", ["bob"]),
        ("?q=%25", []),
        ("?q=_", []),
        ("?limit=2&offset=1", ["bob", "moderator"]),
    ],
)
@pytest.mark.parametrize("who", ["moderator", "admin"])
async def test_listing(call: Call, who: str, query: str, names: list[str]) -> None:
    """GET /users: filters, search, order and pages, for moderators and administrators."""
    answer = await call(f"GET /users{query}", who)

    assert answer.status_code == 200
    body = answer.json()
    assert [user["username"] for user in body["items"]] == names
    assert set(body) == {"items", "next_cursor", "total"}
    assert all("password" not in name for user in body["items"] for name in user)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("sort=email", "/query/sort"),
        ("sort=hashed_password", "/query/sort"),
        ("role=king", "/query/role"),
        ("is_active=perhaps", "/query/is_active"),
        ("limit=101", "/query/limit"),
        ("offset=10001", "/query/offset"),
        ("q=", "/query/q"),
        ("colour=red", "/query/colour"),
        ("limit=1&limit=2", "/query/limit"),
        ("total=maybe", "/query/total"),
    ],
)
async def test_listing_by_what_is_not_there(call: Call, query: str, pointer: str) -> None:
    """422 with the parameter's pointer."""
    answer = await call(f"GET /users?{query}", "admin")

    assert (answer.status_code, slug_of(answer)) == (422, "validation-error")
    assert pointers_of(answer) == [pointer]


async def test_totals_and_cursors(call: Call) -> None:
    """A total in the same answer, also of an empty page; cursors lead through all, once each."""
    empty = await call("GET /users?q=nobody-at-all&total=exact", "admin")
    seen, cursor = [], ""
    while True:
        page = (
            await call(f"GET /users?limit=1&total=exact&sort=-username{cursor}", "admin")
        ).json()
        assert page["total"] == 4
        seen += [user["username"] for user in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert empty.json() == {"items": [], "next_cursor": None, "total": 0}
    assert seen == ["moderator", "bob", "admin", "ada"]
    other = await call(f"GET /users?limit=1&sort=username{cursor}", "admin")
    assert (other.status_code, slug_of(other)) == (422, "invalid-cursor")
