"""Well-known packages beside neonkit, each in a small app that uses it as its own guide says.

`make neighbours` runs them, in an environment of their own.
"""

from pathlib import Path

import httpx2
import pytest
import strawberry
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from fastapi_cache import FastAPICache
from fastapi_cache.backends.inmemory import InMemoryBackend
from fastapi_cache.decorator import cache
from fastapi_pagination import Page, add_pagination
from fastapi_pagination.ext.sqlmodel import apaginate
from geoalchemy2 import Geometry
from pgvector.sqlalchemy import Vector
from prometheus_client import CollectorRegistry
from prometheus_fastapi_instrumentator import Instrumentator
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded
from slowapi.util import get_remote_address
from sqladmin import Admin, ModelView
from sqlalchemy import Column
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable
from sqlmodel import Field, MetaData, col, func, select
from strawberry.fastapi import GraphQLRouter
from taskiq import InMemoryBroker

import neonkit
from neonkit import Database, SessionDep, Settings, TableModel


class Plant(TableModel, table=True):
    """What all of them show."""

    id: int | None = Field(default=None, primary_key=True)
    name: str


LIMITER = Limiter(key_func=get_remote_address)


@pytest.fixture
def app() -> FastAPI:
    """An app with neonkit, without its metrics, and what must be there before it runs."""
    app = FastAPI()
    neonkit.install(app, Settings(_env_file=None), without={"metrics"})
    app.state.limiter = LIMITER
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)  # type: ignore[arg-type]  # as its guide has it
    registry = CollectorRegistry()  # its default is the process's, which one app has alone
    Instrumentator(registry=registry).instrument(app).expose(app)
    return app


@pytest.fixture
async def plants(db: Database) -> None:
    """Three rows."""
    async with db.session() as session:
        session.add_all([Plant(name=name) for name in ("ash", "box", "elm")])
        await session.commit()


async def _count(db: Database) -> int:
    async with db.read_session() as session:
        return (await session.exec(select(func.count(col(Plant.id))))).one()


@pytest.mark.usefixtures("plants")
async def test_sqladmin(app: FastAPI, db: Database, client: httpx2.AsyncClient) -> None:
    """Its pages have their styles and scripts, and what its form makes is a row."""

    class PlantAdmin(ModelView, model=Plant):
        column_list = [Plant.id, Plant.name]  # noqa: RUF012  # as its guide has it

    Admin(app, db.engine).add_view(PlantAdmin)

    page = await client.get("/admin/plant/list")
    assert page.status_code == 200
    assert "elm" in page.text
    assert "content-security-policy" not in page.headers
    assert (await client.get("/admin/statics/css/main.css")).status_code == 200
    made = await client.post("/admin/plant/create", data={"name": "fir", "save": "Save"})
    assert made.status_code == 302, made.text
    assert await _count(db) == 4


@pytest.mark.usefixtures("plants")
async def test_fastapi_pagination(app: FastAPI, client: httpx2.AsyncClient) -> None:
    """Its pages over a session of ours."""

    @app.get("/plants")
    async def plants(session: SessionDep) -> Page[Plant]:
        return await apaginate(session, select(Plant).order_by(col(Plant.id)))

    add_pagination(app)
    page = (await client.get("/plants?size=2&page=2")).json()
    assert [each["name"] for each in page["items"]] == ["elm"]
    assert page["total"] == 3


def _by_address(_function: object, _namespace: str, *, request: Request, **_: object) -> str:
    return request.url.path  # its default holds each parameter, so every session is another key


@pytest.mark.usefixtures("plants")
async def test_fastapi_cache(app: FastAPI, client: httpx2.AsyncClient) -> None:
    """A kept answer is sent without the database, with our headers all the same."""
    FastAPICache.init(InMemoryBackend(), key_builder=_by_address)

    @app.get("/number")
    @cache(expire=60)
    async def number(session: SessionDep) -> int:
        return (await session.exec(select(func.count(col(Plant.id))))).one()

    first, second = await client.get("/number"), await client.get("/number")
    assert first.json() == second.json() == 3
    assert 'trips;desc="0"' in second.headers["server-timing"]


async def test_slowapi(app: FastAPI, client: httpx2.AsyncClient) -> None:
    """Its own answer to too many requests is left as it is."""

    @app.get("/once")
    @LIMITER.limit("1/minute")
    async def once(request: Request) -> str:
        return "ok"

    assert (await client.get("/once")).status_code == 200
    refused = await client.get("/once")
    assert refused.status_code == 429
    assert "error" in refused.json()
    assert refused.headers["x-request-id"]


@strawberry.type
class Query:
    """Resolvers that run at the same time, on the one session of the request."""

    @strawberry.field
    async def first(self, info: strawberry.Info, number: int) -> str:
        """The name of a plant."""
        found = await info.context["session"].exec(
            select(Plant.name).order_by(col(Plant.id)).offset(number).limit(1)
        )
        return str(found.one())


async def _context(session: SessionDep) -> dict[str, object]:
    return {"session": session}


@pytest.mark.usefixtures("plants")
@pytest.mark.real_commits
@pytest.mark.parametrize("database_driver", ["asyncpg", "psycopg"])
async def test_strawberry(app: FastAPI, client: httpx2.AsyncClient) -> None:
    """Each resolver gets its own row, on either driver."""
    app.include_router(
        GraphQLRouter(strawberry.Schema(Query), context_getter=_context), prefix="/graphql"
    )
    asked = " ".join(f"p{n}: first(number: {n % 3})" for n in range(12))
    answer = (await client.post("/graphql", json={"query": f"{{ {asked} }}"})).json()
    names = ("ash", "box", "elm")
    assert answer == {"data": {f"p{n}": names[n % 3] for n in range(12)}}


async def test_prometheus_fastapi_instrumentator(app: FastAPI, client: httpx2.AsyncClient) -> None:
    """Its /metrics is the app's, since ours was left out."""

    @app.get("/plants/{name}")
    async def plant(name: str) -> str:
        return name

    await client.get("/plants/ash")
    told = await client.get("/metrics")
    assert told.status_code == 200
    assert 'handler="/plants/{name}"' in told.text


async def test_pages_and_static_files(
    app: FastAPI, client: httpx2.AsyncClient, tmp_path: Path
) -> None:
    """A template and its style are sent without a policy that would forbid the one to the other."""
    (tmp_path / "page.html").write_text("<link rel=stylesheet href=/static/s.css><p>{{ name }}")
    (tmp_path / "s.css").write_text("p { color: green }")
    templates = Jinja2Templates(tmp_path)
    app.mount("/static", StaticFiles(directory=tmp_path))

    @app.get("/page", response_class=HTMLResponse)
    async def page(request: Request) -> HTMLResponse:
        return templates.TemplateResponse(request, "page.html", {"name": "<elm>"})

    shown, style = await client.get("/page"), await client.get("/static/s.css")
    assert "&lt;elm&gt;" in shown.text
    assert style.text == "p { color: green }"
    for answer in (shown, style):
        assert "content-security-policy" not in answer.headers
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_taskiq(app: FastAPI, db: Database, client: httpx2.AsyncClient) -> None:
    """A task of a broker in the app's process shares the app's database."""
    broker = InMemoryBroker()

    @broker.task
    async def grow(name: str) -> int | None:
        async with db.session() as session:
            plant = Plant(name=name)
            session.add(plant)
            await session.commit()
            return plant.id

    @app.post("/grow")
    async def ask() -> int:
        task = await grow.kiq("yew")
        return (await task.wait_result(timeout=5)).return_value or 0

    await broker.startup()
    assert (await client.post("/grow")).json() > 0
    await broker.shutdown()
    assert await _count(db) == 1


def test_types_of_pgvector_and_geoalchemy2() -> None:
    """Their columns stand in a `TableModel`; no server with the extensions is needed for that."""

    class Place(TableModel, table=True):
        metadata = MetaData()
        id: int | None = Field(default=None, primary_key=True)
        seen: list[float] = Field(sa_column=Column(Vector(3)))
        where: object = Field(sa_column=Column(Geometry("POINT", srid=4326)))

        model_config = {"arbitrary_types_allowed": True}  # noqa: RUF012  # as SQLModel has it

    made = str(CreateTable(Place.__table__).compile(dialect=postgresql.dialect()))  # type: ignore[attr-defined]
    assert "VECTOR(3)" in made
    assert "geometry(POINT,4326)" in made
