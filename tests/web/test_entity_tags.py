"""Entity tags: what an answer names, and what a write may change, in an app of a user's."""

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient, Response
from sqlalchemy import Label, delete, update
from sqlmodel import Field, SQLModel, col, select

import neonkit
from neonkit import (
    CreatedDep,
    Database,
    DatabaseDep,
    IfMatchDep,
    InputModel,
    PatchModel,
    ReadSessionDep,
    SessionDep,
    Settings,
    TableModel,
    TaggedDep,
    VersionMixin,
    existing,
)
from neonkit.testing import TripCounter


class PaperCreate(InputModel):
    """A new paper."""

    title: str


class PaperPatch(PatchModel):
    """A change of one."""

    title: str


class Paper(VersionMixin, TableModel, table=True):
    """Something that two people edit."""

    id: int | None = Field(default=None, primary_key=True)
    title: str = Field(max_length=50, unique=True)


class PaperRead(SQLModel):
    """A paper, without its version."""

    id: int
    title: str


PAUSE = asyncio.Event()


@pytest.fixture
def app() -> FastAPI:
    """An app whose papers are changed by sessions, and by statements."""
    app = FastAPI()
    neonkit.install(app, Settings(environment="test"))

    @app.post("/papers", response_model=PaperRead, status_code=201)
    async def create_paper(body: PaperCreate, session: SessionDep, created: CreatedDep) -> Paper:
        paper = Paper.model_validate(body)
        session.add(paper)
        await session.commit()
        return created(paper)

    @app.get("/papers/{paper_id}", response_model=PaperRead)
    async def read_paper(paper_id: int, session: ReadSessionDep, tagged: TaggedDep) -> Paper:
        return tagged(existing(await session.get(Paper, paper_id)))

    @app.patch("/papers/{paper_id}", response_model=PaperRead)
    async def change_paper(
        paper_id: int, body: PaperPatch, session: SessionDep, if_match: IfMatchDep
    ) -> Paper:
        paper = if_match.require(existing(await session.get(Paper, paper_id)))
        if body.title == "slow":
            PAUSE.set()
            await asyncio.sleep(0.2)
        body.apply_to(paper)
        await session.commit()
        return if_match.tagged(paper)

    @app.delete("/papers/{paper_id}", status_code=204)
    async def delete_paper(paper_id: int, session: SessionDep, if_match: IfMatchDep) -> None:
        paper: Paper = if_match.require(existing(await session.get(Paper, paper_id)))
        await session.delete(paper)
        await session.commit()

    @app.patch("/statements/{paper_id}")
    async def change_by_statement(
        paper_id: int, body: PaperPatch, db: DatabaseDep, if_match: IfMatchDep
    ) -> PaperRead:
        this = col(Paper.id) == paper_id
        etag: Label[int] = col(Paper.version).label("etag")
        shown = (col(Paper.id), col(Paper.title), etag)
        change = update(Paper).values(body.changes()).returning(*shown)
        read = select(*shown)
        row = await if_match.write(db, (change if body.changes() else read).where(this))
        return if_match.tagged(row)

    @app.delete("/statements/{paper_id}", status_code=204)
    async def delete_by_statement(paper_id: int, db: DatabaseDep, if_match: IfMatchDep) -> None:
        drop = delete(Paper).where(col(Paper.id) == paper_id).returning(col(Paper.id))
        await if_match.write(db, drop)

    return app


Paths = tuple[str, str]


@pytest.fixture
async def paper(client: AsyncClient) -> int:
    """A paper of version 1."""
    made = await client.post("/papers", json={"title": "On looms"})
    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    paper_id: int = made.json()["id"]
    return paper_id


def _slug(answer: Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


STALE = (412, "stale-version")
MALFORMED = (400, "malformed-header")
CHANGES = ["papers", "statements"]

MATCHES: dict[str, Any] = {
    '"1"': 200,
    "*": 200,
    " * ": 200,
    '"7", "1"': 200,
    '"7","1",': 200,
    ', "1"': 200,
    'W/"7", "1"': 200,
    '"2"': STALE,
    'W/"1"': STALE,
    '""': STALE,
    '"1 "': MALFORMED,
    '"01"': STALE,
    '"a,b", "!"': STALE,
    '"\xff"': STALE,
    "1": MALFORMED,
    "": MALFORMED,
    '"1': MALFORMED,
    '"1" "2"': MALFORMED,
    '*, "1"': MALFORMED,
    'w/"1"': MALFORMED,
    'W/ "1"': MALFORMED,
    "'1'": MALFORMED,
}


@pytest.mark.parametrize("if_match", MATCHES)
@pytest.mark.parametrize("way", CHANGES)
async def test_if_match(client: AsyncClient, paper: int, way: str, if_match: str) -> None:
    """Strong comparison: 412 where it is weak or another one's, 400 where it is none."""
    headers = {b"If-Match": if_match.encode("latin-1")}
    answer = await client.patch(f"/{way}/{paper}", json={"title": "New"}, headers=headers)
    after = await client.get(f"/papers/{paper}")

    if MATCHES[if_match] == 200:
        assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
        assert (after.json()["title"], after.headers["etag"]) == ("New", '"2"')
    else:
        assert _slug(answer) == MATCHES[if_match]
        if MATCHES[if_match] == MALFORMED:
            assert answer.json()["errors"][0]["pointer"] == "/header/if-match"
        assert (after.json()["title"], after.headers["etag"]) == ("On looms", '"1"')


NONE_MATCHES: dict[str, Any] = {
    '"1"': 304,
    'W/"1"': 304,
    "*": 304,
    '"7", W/"1"': 304,
    '"7"': 200,
    "1": MALFORMED,
    "*, *": MALFORMED,
}


@pytest.mark.parametrize("if_none_match", NONE_MATCHES)
async def test_if_none_match(client: AsyncClient, paper: int, if_none_match: str) -> None:
    """Weak comparison: 304 with the tag and without a body, where the client has it already."""
    answer = await client.get(f"/papers/{paper}", headers={"If-None-Match": if_none_match})

    if NONE_MATCHES[if_none_match] == MALFORMED:
        assert _slug(answer) == MALFORMED
        assert answer.json()["errors"][0]["pointer"] == "/header/if-none-match"
    else:
        assert (answer.status_code, answer.headers["etag"]) == (NONE_MATCHES[if_none_match], '"1"')
        assert bool(answer.content) is (answer.status_code == 200)


async def test_lines_of_if_none_match_are_one_list(client: AsyncClient, paper: int) -> None:
    """A list may be sent in several lines (RFC 9110, section 5.3)."""
    headers = [("If-None-Match", '"7"'), ("If-None-Match", '"1"')]
    answer = await client.get(f"/papers/{paper}", headers=headers)

    assert answer.status_code == 304


@pytest.mark.parametrize("way", CHANGES)
async def test_deleting(client: AsyncClient, paper: int, way: str) -> None:
    """A version that was not named stays; one that is gone is 404, whatever is named."""
    stale = await client.delete(f"/{way}/{paper}", headers={"If-Match": '"9"'})
    gone = await client.delete(f"/{way}/{paper}", headers={"If-Match": '"1"'})

    assert (_slug(stale), gone.status_code) == (STALE, 204)
    for named in ('"1"', "*", '"9"'):
        again = await client.delete(f"/{way}/{paper}", headers={"If-Match": named})
        assert _slug(again) == (404, "not-found")


@pytest.mark.parametrize("way", CHANGES)
async def test_without_if_match_any_version_is_changed(
    client: AsyncClient, paper: int, way: str
) -> None:
    """The header is the client's choice; each change counts."""
    for version in (2, 3):
        answer = await client.patch(f"/{way}/{paper}", json={"title": f"No. {version}"})
        assert (answer.status_code, answer.headers["etag"]) == (200, f'"{version}"')


@pytest.mark.parametrize("named", ['"1"', '"9"'])
async def test_an_empty_change_keeps_the_version(
    client: AsyncClient, paper: int, named: str
) -> None:
    """There is nothing to write, and the version is looked at all the same."""
    headers = {"If-Match": named}
    answer = await client.patch(f"/statements/{paper}", json={}, headers=headers)

    assert answer.status_code == (200 if named == '"1"' else 412)
    assert (await client.get(f"/papers/{paper}")).headers["etag"] == '"1"'


async def test_the_version_comes_before_what_the_database_refuses(
    client: AsyncClient, paper: int
) -> None:
    """412 rather than 409 where both are so: the client has not seen what it would change."""
    await client.post("/papers", json={"title": "Taken"})
    answers = [
        await client.patch(
            f"/statements/{paper}", json={"title": "Taken"}, headers={"If-Match": f'"{version}"'}
        )
        for version in (7, 1)
    ]

    assert [_slug(answer) for answer in answers] == [STALE, (409, "duplicate")]


@pytest.mark.real_commits
@pytest.mark.parametrize("way", CHANGES)
async def test_of_many_at_once_one_is_first(client: AsyncClient, paper: int, way: str) -> None:
    """20 changes of one version: one 200, and 19 that are told that they are late."""
    headers = {"If-Match": '"1"'}
    answers = await asyncio.gather(
        *(
            client.patch(f"/{way}/{paper}", json={"title": f"Of {each}"}, headers=headers)
            for each in range(20)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 19]
    assert (await client.get(f"/papers/{paper}")).headers["etag"] == '"2"'


@pytest.mark.real_commits
async def test_a_change_between_reading_and_commit(client: AsyncClient, paper: int) -> None:
    """A session that has read the version that was named loses to who commits before it: 412."""
    PAUSE.clear()
    headers = {"If-Match": '"1"'}
    slow = asyncio.create_task(
        client.patch(f"/papers/{paper}", json={"title": "slow"}, headers=headers)
    )
    await PAUSE.wait()
    fast = await client.patch(f"/statements/{paper}", json={"title": "fast"})

    assert (fast.status_code, _slug(await slow)) == (200, STALE)


async def test_it_costs_no_round_trip(client: AsyncClient, paper: int, trips: TripCounter) -> None:
    """Read or written, 304 or 412: one, once what is sent has been prepared."""
    for verb, name, named, status in (
        ("GET", "If-None-Match", '"1"', 304),
        ("PATCH", "If-Match", '"9"', 412),
        ("PATCH", "If-Match", '"1", "2", "3"', 200),
        ("PATCH", "If-Match", "*", 200),
    ):
        path, body = f"/{'papers' if verb == 'GET' else 'statements'}/{paper}", {"title": "New"}
        await client.request(verb, path, json=body, headers={name: named})
        with trips.counting() as counted:
            answer = await client.request(verb, path, json=body, headers={name: named})
        assert answer.status_code == status
        assert counted.count == 1, str(counted)


async def test_statements_of_ones_own_count(db: Database) -> None:
    """An INSERT begins at 1, an UPDATE adds one; both may say otherwise."""
    async with db.session() as session:
        session.add_all([Paper(title="a"), Paper(title="b")])
        await session.commit()
        await session.exec(update(Paper).values(title=col(Paper.title) + "!"))
        await session.exec(update(Paper).where(col(Paper.title) == "b!").values(version=9))
        await session.commit()
        found = (await session.exec(select(Paper.title, Paper.version).order_by(Paper.title))).all()

    assert [tuple(row) for row in found] == [("a!", 2), ("b!", 9)]


async def test_a_row_without_a_version_says_what_to_write() -> None:
    """Not a tag of nothing."""
    from starlette.requests import Request
    from starlette.responses import Response as Answer

    from neonkit.web._entity_tags import get_tagged

    tagged = await get_tagged(Request({"type": "http", "headers": []}), Answer())
    with pytest.raises(TypeError, match="VersionMixin"):
        tagged(PaperRead(id=1, title="a"))


def test_they_are_documented(app: FastAPI) -> None:
    """Headers, 304 and 412 stand in the schema."""
    paper = app.openapi()["paths"]["/papers/{paper_id}"]

    assert "304" in paper["get"]["responses"]
    assert "412" in paper["patch"]["responses"]
    assert "412" not in paper["get"]["responses"]
    named = [[each["name"] for each in paper[verb]["parameters"]] for verb in ("get", "delete")]
    assert named == [["paper_id", "If-None-Match"], ["paper_id", "If-Match"]]
