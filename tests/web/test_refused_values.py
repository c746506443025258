"""Values that columns refuse, row classes that refuse, and rows that others need: whose fault."""

from datetime import datetime
from typing import get_args

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from pydantic import NaiveDatetime
from sqlmodel import Field, Relationship, SQLModel, col, select, update

import neonkit
from neonkit import DatabaseDep, InputModel, ReadSessionDep, SessionDep, Settings, TableModel
from neonkit.db import Driver


class Chore(TableModel, table=True):
    """A row with columns that refuse values in Python."""

    id: int | None = Field(default=None, primary_key=True)
    title: str = Field(max_length=5)
    due: datetime | None = None
    local: NaiveDatetime | None = None
    effort: int | None = None


class ChoreIn(InputModel):
    """A client's chore, without the rules of the row."""

    title: str = "a"
    due: datetime | None = None
    local: datetime | None = None
    effort: int | None = None
    nested: list[dict[str, datetime]] = Field(default_factory=list)


class Owner(SQLModel, table=True):
    """A row that others need, of a plain SQLModel class."""

    id: int | None = Field(default=None, primary_key=True)
    things: list["Thing"] = Relationship(back_populates="owner")


class Thing(SQLModel, table=True):
    """A row that needs its owner."""

    id: int | None = Field(default=None, primary_key=True)
    owner_id: int = Field(foreign_key="owner.id")
    owner: Owner = Relationship(back_populates="things")


@pytest.fixture(params=get_args(Driver))
def database_driver(request: pytest.FixtureRequest) -> Driver:
    """Each driver in turn."""
    driver: Driver = request.param
    return driver


@pytest.fixture
def app() -> FastAPI:  # noqa: C901  # many small routes
    """An app that hands on what it gets."""
    app = FastAPI()
    neonkit.install(app, Settings(environment="test"))

    @app.post("/added")
    async def add(body: ChoreIn, session: SessionDep) -> None:
        session.add(Chore(**body.model_dump(exclude={"nested"})))
        await session.commit()

    @app.post("/executed")
    async def execute(body: ChoreIn, session: SessionDep) -> None:
        await session.exec(update(Chore).values(due=body.due))
        await session.commit()

    @app.post("/nested")
    async def nested(body: ChoreIn, session: SessionDep) -> None:
        session.add_all(Chore(title="a", due=each["at"]) for each in body.nested)
        await session.commit()

    @app.post("/validated")
    async def validate(body: ChoreIn, session: SessionDep) -> None:
        session.add(Chore.model_validate(body.model_dump()))
        await session.commit()

    @app.post("/made-here")
    async def make(body: ChoreIn, session: SessionDep) -> None:
        session.add(Chore(title=body.title, due=datetime(2031, 1, 1)))  # noqa: DTZ001  # on purpose
        await session.commit()

    @app.post("/loose")
    async def loose(body: dict[str, str], session: SessionDep) -> None:
        session.add(Chore(title="a", effort=body["effort"]))  # type: ignore[arg-type]  # on purpose
        await session.commit()

    @app.post("/loose-time")
    async def loose_time(body: dict[str, str], session: SessionDep) -> None:
        session.add(Chore(title="a", due=body["due"]))  # type: ignore[arg-type]  # on purpose
        await session.commit()

    @app.post("/wrong")
    async def wrong(session: SessionDep) -> None:
        session.add(Chore(title="a", effort="three"))  # type: ignore[arg-type]  # on purpose
        await session.commit()

    @app.post("/owners/{id}")
    async def add_owner(id: int, session: SessionDep, body: ChoreIn | None = None) -> None:  # noqa: A002  # the column's name
        session.add(Owner(id=body.effort if body and body.effort else id))
        await session.commit()

    @app.get("/since")
    async def since(since: datetime, session: ReadSessionDep) -> None:
        await session.exec(select(Chore).where(col(Chore.due) >= since))

    @app.get("/among/{due}")
    async def among(due: datetime, database: DatabaseDep) -> None:
        await database.execute(select(Chore).where(col(Chore.due).in_([due])))

    @app.get("/owners/{owner_id}")
    async def read_owner(owner_id: int, session: ReadSessionDep) -> Owner:
        return await session.get_one(Owner, owner_id)

    @app.get("/only")
    async def only(session: ReadSessionDep) -> Owner:
        return (await session.exec(select(Owner).where(col(Owner.id) < 0))).one()

    @app.get("/chores/{chore_id}")
    async def read(chore_id: int, session: ReadSessionDep) -> None:
        await session.get(Chore, chore_id)

    @app.delete("/owners", status_code=204)
    async def delete_owner(session: SessionDep) -> None:
        owner = Owner(things=[Thing(owner_id=0)])
        session.add(owner)
        await session.commit()
        await session.delete(owner)
        await session.commit()

    @app.patch("/things", status_code=204)
    async def change_thing(session: SessionDep) -> None:
        thing = Thing(owner_id=0, owner=Owner())
        session.add(thing)
        await session.commit()
        thing.owner_id = None  # type: ignore[assignment]  # as a client's null would
        await session.commit()

    return app


NAIVE = "2030-01-01T00:00:00"


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/added", {"due": NAIVE}, "/body/due"),
        ("/added", {"due": "2030-01-01"}, "/body/due"),
        ("/executed", {"due": NAIVE}, "/body/due"),
        ("/nested", {"nested": [{"at": f"{NAIVE}Z"}, {"at": NAIVE}]}, "/body/nested/1/at"),
        ("/added", {"local": f"{NAIVE}Z", "due": NAIVE}, "/body/due"),
        (f"/since?since={NAIVE}", None, "/query/since"),
        ("/since?since=2030-01-01", None, "/query/since"),
        (f"/among/{NAIVE}", None, "/path/due"),
        ("/added", {"effort": 2**40}, "/body/effort"),
        (f"/chores/{2**40}", None, "/path/chore_id"),
        ("/loose", {"effort": "three"}, "/body/effort"),
        ("/loose-time", {"due": "yesterday"}, "/body/due"),
        ("/validated", {"title": "too long"}, "/body/title"),
    ],
)
async def test_a_value_of_the_clients_is_422_with_its_pointer(
    client: AsyncClient, path: str, body: object, pointer: str
) -> None:
    """Wherever it stood, under whichever name, whatever was done with it, on either driver."""
    answer = await (client.get(path) if body is None else client.post(path, json=body))

    assert answer.status_code == 422, answer.text
    assert answer.json()["type"] == "/problems/validation-error"
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]


async def test_a_taken_value_of_the_path_is_pointed_at_there(client: AsyncClient) -> None:
    """The column that a constraint names is looked for where the client sent it."""
    first = await client.post("/owners/7")
    second = await client.post("/owners/7", json={"effort": 7})

    assert (first.status_code, second.status_code) == (200, 409)
    assert [each["pointer"] for each in second.json()["errors"]] == ["/path/id"]


async def test_a_row_that_get_one_misses_is_404(client: AsyncClient) -> None:
    """The client asked for it by its key; an empty result that the handler made stays a defect."""
    missing = await client.get("/owners/4711")

    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/not-found")
    assert (await client.get("/only")).status_code == 500


@pytest.mark.parametrize("body", [{}, {"due": f"{NAIVE}Z"}, {"title": NAIVE}])
async def test_a_value_of_the_handlers_is_500_and_its_column_is_logged(
    client: AsyncClient, caplog: pytest.LogCaptureFixture, body: dict[str, str]
) -> None:
    """A client is not blamed for what it did not send; the log names the column, not the value."""
    answer = await client.post("/made-here", json=body)

    assert answer.status_code == 500
    assert "due was given a datetime that no client sent" in caplog.text
    assert "2031" not in caplog.text


async def test_a_value_of_a_wrong_type_is_500_on_either_driver(client: AsyncClient) -> None:
    """A text for a number is the handler's defect, not a value that the database refuses."""
    answer = await client.post("/wrong")

    assert answer.status_code == 500, answer.text


async def test_a_column_without_a_zone_takes_a_naive_time(client: AsyncClient) -> None:
    """`NaiveDatetime` makes one."""
    answer = await client.post("/added", json={"local": NAIVE})

    assert answer.status_code == 200, answer.text


async def test_a_row_that_others_need_is_409_also_where_the_orm_takes_their_keys(
    client: AsyncClient,
) -> None:
    """SQLAlchemy sets the key to NULL before it deletes: no value of the client's is at fault."""
    answer = await client.delete("/owners")

    assert answer.status_code == 409, answer.text
    assert answer.json()["type"] == "/problems/has-dependents"


async def test_a_key_that_a_client_takes_away_is_still_422(client: AsyncClient) -> None:
    """The same violation, without a row that goes, speaks of the field."""
    answer = await client.patch("/things")

    assert answer.status_code == 422, answer.text
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/body/owner_id"]
