"""Who may call what: every route of users and posts, by everybody whom it leaves out."""

import pytest

from starter.conftest import Call, slug_of

POST = {"title": "A title", "content": "Some content"}
LEFT_OUT = [
    ("GET /users/me", {"nobody": 401}),
    ("PATCH /users/me", {"nobody": 401}),
    ("DELETE /users/me", {"nobody": 401}),
    ("GET /users", {"nobody": 401, "ada": 403}),
    ("GET /users/{ada}", {"nobody": 401, "bob": 404, "moderator": 404}),
    ("PATCH /users/{ada}", {"nobody": 401, "bob": 404, "moderator": 404}),
    ("DELETE /users/{ada}", {"nobody": 401, "bob": 404, "moderator": 404}),
    ("GET /users/{missing}", {"nobody": 401, "ada": 404, "admin": 404}),
    ("PATCH /users/{missing}", {"nobody": 401, "ada": 404, "admin": 404}),
    ("DELETE /users/{missing}", {"nobody": 401, "ada": 404, "admin": 404}),
    ("POST /posts", {"nobody": 401}),
    ("GET /posts/{missing}", {"nobody": 404, "ada": 404}),
    ("PATCH /posts/{post}", {"nobody": 401, "bob": 403}),
    ("DELETE /posts/{post}", {"nobody": 401, "bob": 403}),
    ("PATCH /posts/{missing}", {"nobody": 401, "ada": 404, "admin": 404}),
    ("DELETE /posts/{missing}", {"nobody": 401, "ada": 404, "admin": 404}),
]
BODIES = {"PATCH /users": {"email": "new@example.com"}, "PATCH /posts": {"title": "New"}}
SLUGS = {401: "unauthorized", 403: "forbidden", 404: "not-found"}


def _body_of(route: str) -> dict[str, str] | None:
    if route.startswith("POST /posts"):
        return POST
    return next((body for start, body in BODIES.items() if route.startswith(start)), None)


@pytest.mark.parametrize(
    ("route", "who", "status"),
    [(route, who, status) for route, callers in LEFT_OUT for who, status in callers.items()],
)
async def test_whoever_is_left_out_is_told_so(
    call: Call, route: str, who: str, status: int
) -> None:
    """The status and slug of the contract, the header that says how to sign in, and no effect."""
    answer = await call(route, who, json=_body_of(route))

    assert (answer.status_code, slug_of(answer)) == (status, SLUGS[status])
    assert ("www-authenticate" in answer.headers) is (status == 401)
    assert (await call("GET /users/{ada}", "ada")).json()["email"] == "ada@example.com"
    assert (await call("GET /posts/{post}")).json()["title"] == "On looms"


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_another_user_looks_like_a_missing_one(call: Call, method: str) -> None:
    """The two answers differ in nothing but the request's id."""
    body = {"email": "new@example.com"} if method == "PATCH" else None
    theirs = await call(f"{method} /users/{{ada}}", "bob", json=body)
    missing = await call(f"{method} /users/{{missing}}", "bob", json=body)

    assert {**theirs.json(), "instance": ""} == {**missing.json(), "instance": ""}


@pytest.mark.parametrize(
    ("route", "headers", "content"),
    [
        ("POST /posts", {"Content-Type": "application/json"}, b'{"title": '),
        ("POST /posts", {"Content-Type": "text/plain"}, b"hello"),
        ("POST /posts", {"Content-Type": "application/json"}, b"{}"),
        ("POST /posts", {"Content-Type": "application/json"}, b"[" * 70_000),
        ("GET /users?colour=red", {}, None),
        ("GET /users?limit=0", {}, None),
        ("GET /users/nobody", {}, None),
    ],
)
async def test_strangers_learn_nothing_of_their_input(
    call: Call, route: str, headers: dict[str, str], content: bytes | None
) -> None:
    """What the token shows comes before any fault of body, query or path."""
    strange = await call(route, headers=headers, content=content)
    forged = {**headers, "Authorization": "Bearer not-a-token"}
    refused = await call(route, headers=forged, content=content)
    known = await call(route, "admin", headers=headers, content=content)

    assert (strange.status_code, slug_of(strange)) == (401, "unauthorized")
    assert (refused.status_code, slug_of(refused)) == (401, "invalid-token")
    assert known.status_code in {400, 413, 415, 422}


@pytest.mark.parametrize(
    ("headers", "slug"),
    [
        ([("Authorization", "")], "unauthorized"),
        ([("Authorization", "Basic YWRhOmFkYQ==")], "unauthorized"),
        ([("Authorization", "Bearer")], "unauthorized"),
        ([("Authorization", "Bearer a.b.c")], "invalid-token"),
        ([("Authorization", "Bearer é")], "invalid-token"),
        ([("Authorization", "Bearer " + "a" * 5000)], "invalid-token"),
    ],
)
async def test_credentials_that_do_not_hold(
    call: Call, headers: list[tuple[str, str]], slug: str
) -> None:
    """Each is 401 with `WWW-Authenticate: Bearer`."""
    name, value = headers[0]
    answer = await call("GET /users/me", headers={name: value.encode()})

    assert (answer.status_code, slug_of(answer)) == (401, slug)
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_scheme_is_read_without_case_and_the_query_not_at_all(call: Call) -> None:
    """`bearer` will do; a token in the query string is none."""
    token = (await call("GET /users/me", "ada")).request.headers["authorization"].split()[1]

    lower = await call("GET /users/me", headers={"Authorization": f"bearer {token}"})
    query = await call(f"GET /users/me?access_token={token}")

    assert lower.status_code == 200
    assert (query.status_code, slug_of(query)) == (401, "unauthorized")


@pytest.mark.parametrize("route", ["GET /posts", "GET /posts/{post}", "GET /users/{ada}/posts"])
async def test_public_reads_ignore_credentials(call: Call, route: str) -> None:
    """A token that does not hold does no harm where none is needed."""
    assert (await call(route, headers={"Authorization": "Bearer nonsense"})).status_code == 200


async def test_a_user_who_is_gone_or_switched_off_is_a_stranger(call: Call) -> None:
    """From the next request on, whatever the token says."""
    off = await call("PATCH /users/{bob}", "admin", json={"is_active": False})
    switched_off = await call("GET /users/me", "bob")
    gone = await call("DELETE /users/me", "moderator")
    deleted = await call("GET /users/me", "moderator")

    assert (off.status_code, gone.status_code) == (200, 204)
    for answer in (switched_off, deleted):
        assert (answer.status_code, slug_of(answer)) == (401, "invalid-token")


async def test_a_role_counts_from_the_next_request_on(call: Call) -> None:
    """Rights are the database's, not the token's."""
    before = await call("GET /users", "bob")
    await call("PATCH /users/{bob}", "admin", json={"role": "moderator"})
    after = await call("GET /users", "bob")

    assert (before.status_code, after.status_code) == (403, 200)
