"""A route that asks who calls cannot leave the check out, however carelessly it is written."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, WebSocket
from fastapi.routing import APIRoute
from httpx2 import AsyncClient
from sqlalchemy import Select, delete, insert, text, update
from sqlmodel import Field, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import neonkit
from neonkit import (
    CallerDep,
    Condition,
    Database,
    DatabaseDep,
    PageDep,
    ReadSessionDep,
    SessionDep,
    Settings,
    TableModel,
    existing,
    paginate,
)
from neonkit.auth import Principal, issue_access_token
from neonkit.errors import NotFoundError
from neonkit.testing import LiveServer
from neonkit.web import get_caller

SETTINGS = Settings(environment="test")


class Clerk(TableModel, table=True):
    """Somebody who calls."""

    id: int | None = Field(default=None, primary_key=True)
    role: str = Field(max_length=20)
    is_active: bool = Field(default=True)


class Slip(TableModel, table=True):
    """Something that a clerk leaves behind."""

    id: int | None = Field(default=None, primary_key=True)
    note: str = Field(max_length=50, unique=True)


def clerk_of(subject: str) -> Select[*tuple[Any, ...]]:
    """The clerk whose id a token names."""
    return select(Clerk.id, Clerk.role, Clerk.is_active).where(col(Clerk.id) == int(subject))


router = APIRouter(prefix="/guarded", dependencies=[Depends(get_caller)])


@router.post("/session")
async def leave_by_session(session: SessionDep) -> None:
    """Plain session code: one object and a commit."""
    session.add(Slip(note="by a lone write"))
    await session.commit()


@router.post("/several")
async def leave_several(session: SessionDep) -> None:
    """Plain session code in a transaction."""
    session.add(Slip(note="the first of two"))
    await session.flush()
    session.add(Slip(note="the second of two"))
    await session.commit()


@router.post("/change")
async def change_one(session: SessionDep) -> None:
    """A read, a change and a commit."""
    slip = (await session.exec(select(Slip))).one()
    slip.note = "changed"
    await session.commit()


@router.post("/drop")
async def drop_one(session: SessionDep) -> None:
    """A read, a deletion and a commit."""
    await session.delete((await session.exec(select(Slip))).one())
    await session.commit()


@router.get("/read")
async def read_all(session: ReadSessionDep) -> list[str]:
    """A plain read."""
    return list((await session.exec(select(Slip.note))).all())


@router.get("/page")
async def read_page(session: ReadSessionDep, page: PageDep) -> int:
    """A list."""
    return len((await paginate(session, select(Slip), page, sort=[col(Slip.id)])).items)


@router.post("/transaction")
async def run_transaction(db: DatabaseDep) -> None:
    """A function that may be run again."""

    async def work(session: AsyncSession) -> None:
        session.add(Slip(note="in a transaction"))

    await db.run_transaction(work)


@router.post("/text")
async def execute_text(db: DatabaseDep) -> None:
    """SQL that cannot carry a condition."""
    await db.execute(text("INSERT INTO slip (note) VALUES ('by text')"))


@router.post("/taken")
async def take_again(db: DatabaseDep) -> None:
    """A value that is taken, which a stranger must not learn."""
    await db.execute(insert(Slip).values(note="there before").returning(col(Slip.id)))


@router.post("/change-by-statement")
async def change_by_statement(db: DatabaseDep) -> None:
    """A change of what is there."""
    await db.execute(update(Slip).values(note="changed").returning(col(Slip.id)))


@router.post("/drop-by-statement")
async def drop_by_statement(db: DatabaseDep) -> None:
    """A deletion without RETURNING."""
    await db.execute(delete(Slip))


@router.get("/missing")
async def read_missing(db: DatabaseDep) -> int:
    """A row that is not there."""
    found: int = existing(await db.execute(select(Slip.id).where(col(Slip.id) == -1)))
    return found


@router.get("/refused-by-condition")
async def refuse_by_condition(db: DatabaseDep) -> None:
    """A condition of the route's own, which fails."""
    gone = Condition(select(Slip.id).where(col(Slip.id) == -1).exists(), NotFoundError)
    await db.execute(select(Slip.id), conditions=[gone])


@pytest.fixture
def app() -> FastAPI:
    """Routes that never speak of the check."""
    app = FastAPI()
    neonkit.install(app, SETTINGS, principal=clerk_of)
    app.include_router(router)

    @app.post("/careless")
    async def leave(me: CallerDep, db: DatabaseDep) -> int | None:
        new = insert(Slip).values(note=f"of clerk {me.id}").returning(col(Slip.id))
        made: int = (await db.execute(new)).scalar_one()
        return made

    @app.get("/nothing")
    async def do_nothing(me: CallerDep) -> int:
        return me.id

    @app.get("/chiefs")
    async def for_chiefs(me: CallerDep) -> str:
        me.require("chief")
        return "welcome"

    @app.post("/later")
    async def leave_later(me: CallerDep, db: DatabaseDep, tasks: BackgroundTasks) -> int:
        async def write() -> None:
            async with db.session() as session:
                session.add(Slip(note="in the background"))
                await session.commit()

        tasks.add_task(write)
        return me.id

    @app.post("/dismissed-meanwhile")
    async def dismiss(me: CallerDep, db: DatabaseDep, tasks: BackgroundTasks) -> int:
        async def write() -> None:
            async with db.session() as session:
                session.add(Slip(note="after the dismissal"))
                await session.commit()

        await db.execute(update(Clerk).values(is_active=False).returning(col(Clerk.id)))
        tasks.add_task(write)
        return me.id

    @app.websocket("/socket")
    async def talk(socket: WebSocket, me: CallerDep, db: DatabaseDep) -> None:
        await socket.accept()
        while True:
            note = await socket.receive_text()
            async with db.session() as session:
                session.add(Slip(note=note))
                await session.commit()
            await socket.send_text(f"clerk {me.id}")

    return app


@dataclass(frozen=True)
class Office:
    """A clerk with a token that still holds, and what can happen to them.

    Attributes:
        headers: sign their requests.
        change: deactivates, demotes or deletes them.
    """

    headers: dict[str, str]
    change: Callable[[str], Any]


@pytest.fixture
async def office(app: FastAPI, db: Database) -> Office:
    """A chief, by their token; and one slip that is there before."""
    async with db.session() as session:
        clerk = Clerk(role="chief")
        session.add_all([clerk, Slip(note="there before")])
        await session.commit()
    who = Principal(clerk.id or 0, "chief")
    token = issue_access_token(app.state.neonkit.tokens, str(clerk.id), who)
    this = col(Clerk.id) == clerk.id
    changes = {
        "switched off": update(Clerk).where(this).values(is_active=False),
        "demoted": update(Clerk).where(this).values(role="clerk"),
        "deleted": delete(Clerk).where(this),
    }

    async def change(fate: str) -> None:
        async with db.session() as session:
            await session.exec(changes[fate])
            await session.commit()

    return Office({"Authorization": f"Bearer {token}"}, change)


async def _notes(db: Database) -> list[str]:
    async with db.read_session() as session:
        return list((await session.exec(select(Slip.note))).all())


ROUTES = [
    "POST /careless",
    "GET /nothing",
    "GET /chiefs",
    "POST /later",
    *(
        f"{method} {route.path}"
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    ),
]
FATES = ["switched off", "demoted", "deleted"]


@pytest.mark.both_drivers
@pytest.mark.parametrize("fate", FATES)
async def test_a_careless_route_does_nothing_for_whom_the_database_does_not_know_so(
    app: FastAPI, client: AsyncClient, db: Database, office: Office, fate: str
) -> None:
    """401 invalid-token for each way to write a route, and not a row has changed."""
    del app
    await office.change(fate)

    for route in ROUTES:
        method, path = route.split()
        answer = await client.request(method, path, headers=office.headers)
        slug = answer.json()["type"].rpartition("/")[2]
        assert (route, answer.status_code, slug) == (route, 401, "invalid-token")
    assert await _notes(db) == ["there before"]


@pytest.mark.both_drivers
async def test_the_same_routes_work_for_whom_it_knows(
    client: AsyncClient, db: Database, office: Office
) -> None:
    """The check refuses nobody whom the token describes."""
    statuses = {
        "POST /guarded/taken": 409,
        "GET /guarded/missing": 404,
        "GET /guarded/refused-by-condition": 404,
    }
    async with db.session() as session:
        for route in ROUTES:
            await session.exec(delete(Slip))
            session.add(Slip(note="there before"))
            await session.commit()
            method, path = route.split()
            answer = await client.request(method, path, headers=office.headers)
            assert (route, answer.status_code) == (route, statuses.get(route, 200))


@pytest.mark.usefixtures("office")
async def test_a_stranger_gets_nowhere(client: AsyncClient, db: Database) -> None:
    """Without a token each of these routes is 401."""
    for route in ROUTES:
        method, path = route.split()
        assert (await client.request(method, path)).status_code == 401
    assert await _notes(db) == ["there before"]


async def test_a_background_task_is_checked_when_it_runs(
    client: AsyncClient, db: Database, office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever was dismissed between the answer and the task writes nothing in it."""
    welcome = await client.post("/later", headers=office.headers)
    dismissed = await client.post("/dismissed-meanwhile", headers=office.headers)

    assert (welcome.status_code, dismissed.status_code) == (200, 200)
    assert await _notes(db) == ["there before", "in the background"]
    assert "InvalidTokenError" in caplog.text


@pytest.mark.parametrize("fate", FATES)
async def test_a_socket_is_checked_with_every_statement(
    live_server: LiveServer, db: Database, office: Office, fate: str
) -> None:
    """It works, and once its caller is another than the token says it is closed with 1008."""
    url = live_server.url.replace("http", "ws") + "/socket"
    async with connect(url, additional_headers=office.headers) as socket:
        await socket.send("while welcome")
        assert str(await socket.recv()).startswith("clerk")
        await office.change(fate)
        await socket.send("too late")
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 5)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
    assert await _notes(db) == ["there before", "while welcome"]
    async with db.read_session() as session:
        assert (await session.exec(select(func.count()).select_from(Slip))).one() == 2
