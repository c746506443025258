"""Versions of users, posts and accounts: `ETag`, `If-None-Match`, and `If-Match` in its order."""

import asyncio

import pytest

from starter.conftest import Call, slug_of

READS = [
    ("/users/me", "ada", '"1"'),
    ("/users/{ada}", "ada", '"1"'),
    ("/users/{ada}", "admin", '"1"'),
    ("/posts/{post}", "nobody", '"1"'),
]


@pytest.mark.parametrize(("path", "who", "tag"), READS)
async def test_reading(call: Call, path: str, who: str, tag: str) -> None:
    """The tag, then 304 without a body for who names it."""
    read = await call(f"GET {path}", who)
    known = await call(f"GET {path}", who, headers={"If-None-Match": tag})
    other = await call(f"GET {path}", who, headers={"If-None-Match": '"other"'})

    assert (read.status_code, read.headers["etag"]) == (200, tag)
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
    assert (other.status_code, other.json()) == (200, read.json())


async def test_who_may_not_read_is_not_told_that_nothing_changed(call: Call) -> None:
    """`*` names every version, and helps nobody who may not see one."""
    for path, who, status in (
        ("/users/me", "nobody", 401),
        ("/users/{ada}", "bob", 404),
        ("/posts/{missing}", "ada", 404),
    ):
        answer = await call(f"GET {path}", who, headers={"If-None-Match": "*"})
        assert (path, answer.status_code) == (path, status)


async def test_a_body_with_posts_has_no_tag(call: Call) -> None:
    """It changes with the posts, which no version of the user counts."""
    path = "GET /users/{ada}?include=posts"
    answer = await call(path, "ada", headers={"If-None-Match": '"1"'})

    assert (answer.status_code, "etag" in answer.headers) == (200, False)
    assert len(answer.json()["posts"]) == 1


CHANGES: list[tuple[str, str, dict[str, str] | None]] = [
    ("PATCH /users/me", "ada", {"email": "lovelace@example.com"}),
    ("PATCH /users/{ada}", "ada", {"email": "lovelace@example.com"}),
    ("PATCH /users/{ada}", "admin", {"role": "moderator"}),
    ("PATCH /posts/{post}", "ada", {"title": "New"}),
    ("PATCH /posts/{post}", "moderator", {"title": "New"}),
    ("DELETE /posts/{post}", "ada", None),
    ("DELETE /users/me", "bob", None),
    ("DELETE /users/{bob}", "admin", None),
]


@pytest.mark.parametrize(("route", "who", "body"), CHANGES)
async def test_changing(call: Call, route: str, who: str, body: dict[str, str] | None) -> None:
    """A stale or a weak tag is 412, and nothing is changed; then the right one is taken, once."""
    for tag in ('"2"', 'W/"1"', '"2", "3"'):
        late = await call(route, who, json=body, headers={"If-Match": tag})
        assert (late.status_code, slug_of(late)) == (412, "stale-version")
    bad = await call(route, who, json=body, headers={"If-Match": "1"})
    done = await call(route, who, json=body, headers={"If-Match": '"7", "1"'})

    assert (bad.status_code, slug_of(bad)) == (400, "malformed-header")
    assert bad.json()["errors"][0]["pointer"] == "/header/if-match"
    assert done.status_code == (204 if body is None else 200)
    if body is not None:
        assert done.headers["etag"] == '"2"'


ORDER: list[tuple[str, str, dict[str, str] | None, int]] = [
    ("PATCH /posts/{post}", "nobody", {"title": "N"}, 401),
    ("PATCH /posts/{post}", "bob", {"title": "N"}, 403),
    ("PATCH /posts/{missing}", "ada", {"title": "N"}, 404),
    ("DELETE /posts/{post}", "bob", None, 403),
    ("DELETE /posts/{missing}", "bob", None, 404),
    ("PATCH /users/{ada}", "bob", {"username": "new-name"}, 404),
    ("PATCH /users/{ada}", "ada", {"role": "admin"}, 403),
    ("DELETE /users/{ada}", "bob", None, 404),
    ("DELETE /users/{missing}", "admin", None, 404),
    ("PATCH /users/me", "ada", {"username": "bob"}, 412),
    ("DELETE /users/{ada}", "admin", None, 412),  # who owns a post: 409 without a stale tag
]


@pytest.mark.parametrize(("route", "who", "body", "status"), ORDER)
async def test_the_order_of_refusals(
    call: Call, route: str, who: str, body: dict[str, str] | None, status: int
) -> None:
    """401, 404, 403, then 412, then what the database refuses."""
    answer = await call(route, who, json=body, headers={"If-Match": '"9"'})

    assert answer.status_code == status
    if status == 412:
        again = await call(route, who, json=body, headers={"If-Match": '"1"'})
        assert again.status_code == 409


async def test_new_resources_have_their_tag(call: Call) -> None:
    """POST answers with the `ETag` that a GET of its `Location` gives."""
    user = {
        "username": "grace",
        "email": "grace@example.com",
        "password": "analytical engines run on steam",
    }
    post = {"title": "T", "content": "C"}
    made = [
        await call("POST /users", json=user),
        await call("POST /posts", "ada", json=post),
        await call("POST /accounts", "ada", json={}),
    ]

    assert [answer.headers["etag"] for answer in made] == ['"1"', '"1"', '"0-open"']
    read = await call(f"GET /posts/{made[1].json()['id']}")
    assert read.headers["etag"] == made[1].headers["etag"]


async def test_an_accounts_tag_tells_of_its_status(call: Call) -> None:
    """Closing leaves the version, which the ledger counts, and changes the tag all the same."""
    account = (await call("POST /accounts", "ada", json={})).json()["id"]
    path = f"/accounts/{account}"
    opened = await call(f"GET {path}", "ada")
    closed = await call(f"POST {path}/close", "ada", headers={"If-Match": opened.headers["etag"]})
    after = await call(f"GET {path}", "ada", headers={"If-None-Match": opened.headers["etag"]})

    assert (closed.status_code, closed.json()["version"]) == (200, 0)
    assert (after.status_code, after.json()["status"]) == (200, "closed")
    assert opened.headers["etag"] != closed.headers["etag"] == after.headers["etag"]


async def test_the_order_of_refusals_to_close(call: Call) -> None:
    """404 to strangers, 403 to an administrator, 412, and the balance last."""
    account = (await call("POST /accounts", "ada", json={})).json()["id"]
    close = f"POST /accounts/{account}/close"
    money = {"json": {"amount": "5.00"}, "headers": {"Idempotency-Key": "money for ada"}}
    await call(f"POST /accounts/{account}/deposits", "admin", **money)
    answers = [
        await call(route, who, headers={"If-Match": tag})
        for route, who, tag in (
            ("POST /accounts/{missing}/close", "ada", '"1-open"'),
            (close, "bob", '"9"'),
            (close, "admin", '"9"'),
            (close, "ada", '"0-open"'),
            (close, "ada", 'W/"1-open"'),
            (close, "ada", '"1-open"'),
            (close, "ada", "*"),
            (close, "ada", "open"),
        )
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 403, 412, 412, 409, 409, 400]


async def test_a_stale_version_is_kept_under_a_key(call: Call) -> None:
    """It was decided after the key was taken: a repeat gets it again."""
    account = (await call("POST /accounts", "ada", json={})).json()["id"]
    keyed = {"Idempotency-Key": "closing it once"}
    first = await call(
        f"POST /accounts/{account}/close", "ada", headers={**keyed, "If-Match": '"7"'}
    )
    again = await call(
        f"POST /accounts/{account}/close", "ada", headers={**keyed, "If-Match": '"0-open"'}
    )

    assert [answer.status_code for answer in (first, again)] == [412, 412]
    assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.real_commits
async def test_of_many_changes_of_one_version_one_is_made(call: Call) -> None:
    """One 200, the others 412; a deletion that comes too late as well."""
    headers = {"If-Match": '"1"'}
    answers = await asyncio.gather(
        *(
            call("PATCH /posts/{post}", "ada", json={"title": f"{each}"}, headers=headers)
            for each in range(10)
        )
    )
    late = await call("DELETE /posts/{post}", "ada", headers=headers)

    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 9]
    assert late.status_code == 412
