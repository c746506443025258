"""Filters of a list, declared as a parameter: what clients may ask, and what they get."""

import enum
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi import APIRouter, Depends, FastAPI
from httpx2 import AsyncClient
from sqlalchemy import Index
from sqlalchemy.orm import aliased
from sqlmodel import Field, SQLModel, col, select

import neonkit
from neonkit import (
    Database,
    FilterDep,
    Page,
    PageDep,
    ReadSessionDep,
    Settings,
    TableModel,
    UtcDateTime,
    paginate,
)
from neonkit.resources import Equal, Filters, IsNull, OneOf, PageRequest, Range
from neonkit.web import strict_parameters

START = datetime(2030, 1, 1, tzinfo=UTC)


class Mood(enum.StrEnum):
    """A value of a small set."""

    GLAD = "glad"
    SAD = "sad"
    MAD = "mad"


class Letter(TableModel, table=True):
    """A row with something to filter by."""

    __table_args__ = (Index(None, "sent_at", "id"),)

    id: int | None = Field(default=None, primary_key=True)
    writer_id: int = Field(index=True)
    code: UUID = Field(unique=True)
    mood: Mood = Mood.GLAD
    stamp: int | None = Field(default=None, index=True)
    sent_at: UtcDateTime
    text: str = ""


class LetterFilters(Filters):
    """One field with each operator, and one with two."""

    writer_id: Equal[int]
    mood: OneOf[Mood]
    sent_at: Range[UtcDateTime]
    stamp: Range[int] | IsNull
    words: Equal[str]


class LetterRead(SQLModel):
    """A client's letter."""

    id: int


@pytest.fixture
def app() -> FastAPI:
    """An app with a list."""
    app = FastAPI()
    neonkit.install(app, Settings(environment="test"))
    router = APIRouter(dependencies=[Depends(strict_parameters)])

    @router.get("/letters", response_model=Page[LetterRead])
    async def letters(
        session: ReadSessionDep, page: PageDep, filters: FilterDep[LetterFilters]
    ) -> Page[Letter]:
        found = select(Letter).where(*filters.on(Letter, words=Letter.text))
        return await paginate(session, found, page, sort=[col(Letter.id)])

    app.include_router(router)
    return app


@pytest.fixture
async def letters(db: Database) -> list[Letter]:
    """Forty letters of two writers."""
    written = [
        Letter(
            writer_id=n % 2,
            code=UUID(int=n),
            mood=list(Mood)[n % 3],
            stamp=None if n % 4 else n,
            sent_at=START + timedelta(days=n),
            text=f"w{n % 5}",
        )
        for n in range(40)
    ]
    async with db.session() as session:
        session.add_all(written)
        await session.commit()
    return written


async def _all(client: AsyncClient, asked: str) -> tuple[list[int], int]:
    found, cursor = [], ""
    while True:
        answer = await client.get(f"/letters?limit=3&total=exact&{asked}{cursor}")
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            return found, page["total"]
        cursor = f"&cursor={page['next_cursor']}"


@pytest.mark.parametrize(
    ("asked", "is_wanted"),
    [
        ("", lambda _: True),
        ("writer_id=1", lambda x: x.writer_id == 1),
        ("mood=sad", lambda x: x.mood == "sad"),
        ("mood=sad&mood=mad", lambda x: x.mood in {"sad", "mad"}),
        ("sent_at_gte=2030-01-08T00:00:00Z", lambda x: x.sent_at >= START + timedelta(7)),
        ("sent_at_gt=2030-01-08T00:00:00Z", lambda x: x.sent_at > START + timedelta(7)),
        ("sent_at_lte=2030-01-08T00:00:00Z", lambda x: x.sent_at <= START + timedelta(7)),
        ("sent_at_lt=2030-01-08T02:00:00%2B02:00", lambda x: x.sent_at < START + timedelta(7)),
        ("stamp_gt=4&stamp_lte=20", lambda x: x.stamp is not None and 4 < x.stamp <= 20),
        ("stamp_is_null=true", lambda x: x.stamp is None),
        ("stamp_is_null=false", lambda x: x.stamp is not None),
        ("stamp_gte=9&stamp_lt=3", lambda _: False),
        (
            "words=w3&writer_id=0&mood=glad",
            lambda x: (x.text, x.writer_id, x.mood) == ("w3", 0, "glad"),
        ),
        ("words=%25", lambda _: False),
    ],
)
async def test_a_list_is_narrowed_as_asked(
    client: AsyncClient,
    letters: list[Letter],
    asked: str,
    is_wanted: Any,  # noqa: ANN401  # a predicate
) -> None:
    """Over all pages, with the total of the narrowed list; operators together narrow further."""
    wanted = [letter.id for letter in letters if is_wanted(letter)]

    assert await _all(client, asked) == (wanted, len(wanted))


async def test_a_cursor_is_of_the_narrowed_list_only(
    client: AsyncClient, letters: list[Letter]
) -> None:
    """Another value, another operator or none refuses it."""
    page = (await client.get("/letters?limit=1&writer_id=1")).json()
    for other in ("writer_id=0", "", "writer_id=1&stamp_is_null=true"):
        answer = await client.get(f"/letters?limit=1&{other}&cursor={page['next_cursor']}")
        assert answer.json()["type"] == "/problems/invalid-cursor"
    assert len(letters) == 40


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ("writer_id=x", "/query/writer_id"),
        ("writer_id=1&writer_id=2", "/query/writer_id"),
        ("mood=bad", "/query/mood/0"),
        ("mood=glad&mood=bad", "/query/mood/1"),
        ("&".join(["mood=glad"] * 101), "/query/mood"),
        ("sent_at_gte=2030-01-08T00:00:00", "/query/sent_at_gte"),
        ("sent_at_gte=7", "/query/sent_at_gte"),
        ("sent_at=2030-01-08T00:00:00Z", "/query/sent_at"),
        ("stamp_is_null=perhaps", "/query/stamp_is_null"),
        (f"writer_id={2**40}", "/query/writer_id"),
        ("writers=1", "/query/writers"),
    ],
)
async def test_what_is_not_declared_is_422_by_its_parameter(
    client: AsyncClient, asked: str, pointer: str
) -> None:
    """Types, sets, bounds and names are checked before the database is asked."""
    answer = await client.get(f"/letters?{asked}")

    assert answer.status_code == 422, answer.text
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]


async def test_every_operator_stands_in_openapi(client: AsyncClient) -> None:
    """Beside those of the page, each with its type and a sentence."""
    document = (await client.get("/openapi.json")).json()
    parameters = {each["name"]: each for each in document["paths"]["/letters"]["get"]["parameters"]}

    assert set(parameters) == {
        *("limit", "offset", "cursor", "sort", "q", "total"),
        *("writer_id", "mood", "words", "stamp_is_null"),
        *(
            f"{name}_{bound}"
            for name in ("sent_at", "stamp")
            for bound in ("gte", "gt", "lte", "lt")
        ),
    }
    assert parameters["mood"]["schema"]["type"] == "array"
    assert parameters["stamp_lt"]["description"] == "Only items whose `stamp` is less than this."
    assert not any(each["required"] for each in parameters.values())


def test_a_field_that_no_index_serves_is_named() -> None:
    """A key, a unique column and an index's first column serve one; nothing else does."""
    assert LetterFilters.without_index(Letter, words=Letter.text) == ["mood", "words"]
    assert LetterFilters.without_index(Letter, words=aliased(Letter).code) == ["mood"]


def test_a_filter_without_a_column_or_an_operator_is_the_programmers_fault() -> None:
    """Each is named, with what to write."""

    class Wrong(Filters):
        writer_id: int

    class Twice(Filters):
        stamp: Equal[int] | OneOf[int]

    with pytest.raises(ValueError, match=r"words=User\.name"):
        LetterFilters(words=Equal("a")).on(Letter)
    with pytest.raises(TypeError, match=r"Wrong\.writer_id is no filter"):
        Wrong.parameters()
    with pytest.raises(TypeError, match="two filters with one name"):
        Twice.parameters()
    with pytest.raises(TypeError, match="has no filter colour"):
        LetterFilters(colour=Equal("red"))


async def test_filters_are_values_outside_of_requests_too(
    db: Database, letters: list[Letter]
) -> None:
    """A script makes them by hand, for an alias as well."""
    filters = LetterFilters(writer_id=Equal(1), stamp=(Range(), IsNull(True)))
    other = aliased(Letter)
    async with db.read_session() as session:
        found = select(other).where(*filters.on(other))
        page = await paginate(session, found, PageRequest(limit=100), sort=[col(other.id)])

    assert [each.id for each in page.items] == [
        letter.id for letter in letters if letter.writer_id == 1 and letter.stamp is None
    ]
