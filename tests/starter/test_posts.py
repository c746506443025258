"""Posts, row by row of the contract."""

import pytest

from starter.conftest import Call, Cast, pointers_of, slug_of


async def test_writing(call: Call, cast: Cast) -> None:
    """POST /posts: 201, Location; the author is the caller."""
    answer = await call("POST /posts", "bob", json={"title": "T", "content": "C"})

    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/posts/{body['id']}"
    assert body["created_at"] == body["updated_at"]
    assert body["created_at"].endswith("Z")
    assert set(body) == {"id", "author_id", "title", "content", "created_at", "updated_at"}
    assert (body["author_id"], body["title"], body["content"]) == (cast.bob.id, "T", "C")
    assert (await call(f"GET /posts/{body['id']}")).json() == body


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", "   "),
        ("title", "x" * 201),
        ("title", "😀" * 201),
        ("title", None),
        ("title", ["a"]),
        ("content", ""),
        ("content", "x" * 20_001),
        ("content", None),
        ("author_id", 1),
        ("id", 1),
        ("created_at", "2026-01-01T00:00:00Z"),
        ("version", 1),
    ],
)
async def test_writing_what_breaks_a_rule(call: Call, field: str, value: object) -> None:
    """422 with the field's pointer, for a new post and for a change."""
    post = {"title": "T", "content": "C", field: value}
    made = await call("POST /posts", "ada", json=post)
    changed = await call("PATCH /posts/{post}", "ada", json={field: value})

    for answer in (made, changed):
        assert (answer.status_code, slug_of(answer)) == (422, "validation-error")
        assert pointers_of(answer) == [f"/body/{field}"]
    assert (await call("GET /posts/{post}")).json()["title"] == "On looms"


@pytest.mark.parametrize(
    "text",
    ["😀" * 200, "' OR 1=1 --", "$$", "%s", "{0}", ":x", "${jndi:ldap://x}", "<b>", "a\u202eb"],
)
async def test_text_is_kept_as_it_is(call: Call, text: str) -> None:
    """What looks like code is stored, given back and found literally."""
    made = await call("POST /posts", "ada", json={"title": text, "content": text * 2})
    found = await call("GET /posts", params={"q": text})

    assert made.status_code == 201
    assert made.json()["title"] == text
    assert [post["id"] for post in found.json()["items"]] == [made.json()["id"]]


@pytest.mark.parametrize("who", ["ada", "moderator", "admin"])
async def test_changing_and_deleting(call: Call, who: str) -> None:
    """The author, moderators and administrators may; reads by anybody show it."""
    before = (await call("GET /posts/{post}")).json()
    changed = await call("PATCH /posts/{post}", who, json={"title": "New"})
    read = await call("GET /posts/{post}")
    deleted = await call("DELETE /posts/{post}", who)
    again = await call("DELETE /posts/{post}", who)

    assert changed.status_code == 200
    assert read.json() == changed.json()
    assert changed.json()["updated_at"] > before["updated_at"]
    expected = {**before, "title": "New", "updated_at": changed.json()["updated_at"]}
    assert changed.json() == expected
    assert (deleted.status_code, again.status_code) == (204, 404)
    assert (await call("GET /posts/{post}")).status_code == 404


async def _write(call: Call, who: str, *titles: str) -> None:
    for title in titles:
        answer = await call("POST /posts", who, json={"title": title, "content": f"{title}!"})
        assert answer.status_code == 201


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("", ["c", "b", "a", "On looms"]),
        ("?sort=created_at", ["On looms", "a", "b", "c"]),
        ("?sort=id", ["On looms", "a", "b", "c"]),
        ("?sort=-title", ["On looms", "c", "b", "a"]),
        ("?author_id={bob}", ["c", "a"]),
        ("?author_id={missing}", []),
        ("?q=LOOM", ["On looms"]),
        ("?q=b!", ["b"]),
        ("?limit=2", ["c", "b"]),
        ("?limit=2&offset=2", ["a", "On looms"]),
    ],
)
async def test_listing(call: Call, query: str, titles: list[str]) -> None:
    """GET /posts, for anybody: newest first by default; filters, search, order and pages."""
    await _write(call, "bob", "a")
    await _write(call, "ada", "b")
    await _write(call, "bob", "c")

    answer = await call(f"GET /posts{query}")

    assert answer.status_code == 200
    found = [post["title"] for post in answer.json()["items"]]
    assert sorted(found) == sorted(titles) if "title" in query else found == titles


@pytest.mark.parametrize("query", ["sort=content", "sort=author_id", "q=", "author_id=0", "x=1"])
async def test_listing_by_what_is_not_there(call: Call, query: str) -> None:
    """422 with the parameter's pointer."""
    answer = await call(f"GET /posts?{query}")

    assert (answer.status_code, slug_of(answer)) == (422, "validation-error")
    assert pointers_of(answer) == ["/query/" + query.partition("=")[0]]


async def test_of_an_author(call: Call) -> None:
    """GET /users/{id}/posts: newest first, and nothing of an unknown user."""
    await _write(call, "ada", "second", "third")
    await _write(call, "bob", "not hers")

    answer = await call("GET /users/{ada}/posts?total=exact")
    nobody = await call("GET /users/{missing}/posts?total=exact")
    searched = await call("GET /users/{ada}/posts?q=third")

    assert [post["title"] for post in answer.json()["items"]] == ["third", "second", "On looms"]
    assert answer.json()["total"] == 3
    assert nobody.json() == {"items": [], "next_cursor": None, "total": 0}
    assert (searched.status_code, pointers_of(searched)) == (422, ["/query/q"])


@pytest.mark.parametrize("identity", ["0", "-1", "2147483648", "9" * 5000, "1.5", "x", "%00"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_ids_that_cannot_be(call: Call, method: str, identity: str) -> None:
    """422 with the path's pointer, never 500."""
    body = {"title": "x"} if method == "PATCH" else None
    answer = await call(f"{method} /posts/{identity}", "admin", json=body)

    assert (answer.status_code, slug_of(answer)) == (422, "validation-error")
    assert pointers_of(answer) == ["/path/post_id"]


async def test_paging_while_rows_come_and_go(call: Call) -> None:
    """By cursor no post appears twice, and none is missing that existed throughout."""
    await _write(call, "ada", *[f"stays {number}" for number in range(6)])
    await _write(call, "bob", *[f"goes {number}" for number in range(3)])
    ids = {post["title"]: post["id"] for post in (await call("GET /posts")).json()["items"]}
    seen: list[str] = []
    cursor, doomed = "", ["goes 2", "goes 0", "goes 1"]
    while True:
        page = (await call(f"GET /posts?limit=2{cursor}")).json()
        seen += [post["title"] for post in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
        if doomed:
            await call(f"DELETE /posts/{ids[doomed.pop()]}", "bob")
            await _write(call, "bob", f"comes {len(doomed)}")

    assert len(seen) == len(set(seen))
    assert {title for title in seen if title.startswith("stays")} == {
        f"stays {number}" for number in range(6)
    }
