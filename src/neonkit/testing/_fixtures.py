"""The fixtures. A project's own fixture of the same name wins, as pytest's rules have it."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import pytest

from neonkit.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import httpx2
    from fastapi import FastAPI
    from sqlmodel.ext.asyncio.session import AsyncSession

    from neonkit.db import Database, Driver
    from neonkit.local import WireProxy
    from neonkit.settings import AppTarget
    from neonkit.testing._access_walk import AccessWalk
    from neonkit.testing._budget_fixture import TripBudget
    from neonkit.testing._databases import Databases, Loan
    from neonkit.testing._live_server import LiveServer
    from neonkit.testing._revisions_fixture import Revisions
    from neonkit.testing._trips_fixture import TripCounter
    from neonkit.testing._wanted_tables import WantedTables

_NO_ENTRYPOINT = """\
There is no app to test. Say in {file} where it is:

    [tool.fastapi]
    entrypoint = "main:app"

or define a fixture `app` of your own that returns it."""

_EXTRA = (
    "Tests need the extra: pip install 'neonkit[testing]'. NEONKIT_TEST_URL may name a PostgreSQL "
    "server to use in place of the embedded one."
)

_WIRED = {"budget", "neon", "trips"}

_TOO_LATE = (
    "`{fixture}` was asked for after the test's database had been chosen: take it as an argument "
    "of the test or of a fixture{or_else}."
)


@pytest.fixture(scope="session")
def _neonkit_backend() -> str:
    """The backend of async tests and fixtures: asyncio, in one event loop for the whole run."""
    return "asyncio"


@pytest.fixture
def app(request: pytest.FixtureRequest) -> FastAPI:
    """The app under test: `[tool.fastapi] entrypoint` of the project's pyproject.toml."""
    app = _entry_point(request.config)
    if app is None:
        file = request.config.rootpath / "pyproject.toml"
        pytest.fail(_NO_ENTRYPOINT.format(file=file), pytrace=False)
    return app


@pytest.fixture
async def client(
    app: FastAPI, db: Database, _neonkit_live: LiveServer | None
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the running app, in this process; of the live server where there is one.

    An exception that the app lets through is answered with 500, as in production.
    """
    with _naming_the_extra():
        import httpx2

    from neonkit.testing._app_lifespan import running

    async with AsyncExitStack() as stack:
        if _neonkit_live:
            url = _neonkit_live.url
            transport: httpx2.AsyncBaseTransport = httpx2.AsyncHTTPTransport(verify=False)
        else:
            url = "http://test"
            asgi = await stack.enter_async_context(running(app, db))
            transport = httpx2.ASGITransport(asgi, raise_app_exceptions=False)
        yield await stack.enter_async_context(
            httpx2.AsyncClient(transport=transport, base_url=url, trust_env=False)
        )


@pytest.fixture
def database_driver() -> Driver:
    """The driver that speaks to the test's database: `DATABASE_DRIVER` of the environment.

    A fixture of this name with both as its parameters runs a test on each.
    """
    named = os.environ.get("DATABASE_DRIVER", "").strip().lower()
    return "psycopg" if named == "psycopg" else "asyncpg"


@pytest.fixture
def db(_neonkit_loan: Loan) -> Database:
    """The test's database, with the tables of all models.

    All of its sessions, the app's too, are inside one transaction that is rolled back after the
    test; a commit ends a savepoint. A test marked `real_commits`, or that asks for
    `live_server`, has a database of its own instead.
    """
    return _neonkit_loan.database


@pytest.fixture
async def session(db: Database) -> AsyncIterator[AsyncSession]:
    """A session of `db`. Work that the test leaves uncommitted in it is dropped."""
    async with db.session() as session:
        yield session
        await session.rollback()


@pytest.fixture
async def sqlite_session() -> AsyncIterator[AsyncSession]:
    """A session on an in-memory SQLite of the test's own, for models that need no PostgreSQL.

    Foreign keys are enforced. What needs PostgreSQL is refused, with the name of the feature.
    """
    from neonkit.testing._sqlite import sqlite_session

    async with sqlite_session() as session:
        yield session


@pytest.fixture
def live_server(app: FastAPI, database_driver: Driver, _neonkit_loan: Loan) -> Iterator[LiveServer]:
    """The app behind a TCP port of this machine; `client` talks to it in the same test."""
    from neonkit.testing._live_server import serving

    if _neonkit_loan.clone is None:
        _fail_too_late("live_server", ", or mark the test `real_commits`")
    with serving(app, _neonkit_loan.clone, database_driver) as server:
        yield server


@pytest.fixture
def neon(_neonkit_loan: Loan) -> WireProxy:
    """The wire between the app and the test's own database: it delays, cuts, freezes, suspends.

    It plays Neon: the app uses its direct address, and there is a pooled one.
    """
    if _neonkit_loan.wire is None:
        _fail_too_late("neon")
    return _neonkit_loan.wire


@pytest.fixture
def trips(_neonkit_loan: Loan) -> TripCounter:
    """Counts round trips between the app and the test's own database; a connection is open."""
    from neonkit.testing._trips_fixture import TripCounter

    if _neonkit_loan.wire is None:
        _fail_too_late("trips")
    return TripCounter(_neonkit_loan.wire)


@pytest.fixture
def budget(request: pytest.FixtureRequest, _neonkit_loan: Loan) -> TripBudget:
    """Holds requests to the round trips that a committed file has for them.

    The file is `round_trips.toml` beside the test, or what `round_trips_file` says.
    """
    from neonkit.testing._budget_acceptance import note
    from neonkit.testing._budget_fixture import BudgetSource, TripBudget

    if _neonkit_loan.wire is None:
        _fail_too_late("budget")
    config = request.config
    named = config.getini("round_trips_file")
    file = config.rootpath / named if named else request.path.with_name("round_trips.toml")
    accept = partial(note, request.node, file) if config.option.accept_round_trips else None
    shown = os.path.relpath(file, config.rootpath)
    return TripBudget(_neonkit_loan.wire, BudgetSource(file, shown, request.node.nodeid, accept))


@pytest.fixture
def access(app: FastAPI, client: httpx2.AsyncClient, db: Database) -> AccessWalk:
    """Holds every route of the app to a table of who is answered what."""
    from neonkit.testing._access_walk import AccessWalk

    return AccessWalk(app, client, db)


@pytest.fixture
def revisions(
    db: Database, _neonkit_databases: Databases, _neonkit_tables: WantedTables
) -> Revisions:
    """Holds models, revisions and the test's database to saying the same."""
    from neonkit.testing._revisions_fixture import Revisions

    return Revisions(db, _neonkit_databases, _neonkit_tables)


@pytest.fixture
def _neonkit_live(request: pytest.FixtureRequest) -> LiveServer | None:
    """The live server, for a test that asks for it."""
    if "live_server" not in request.fixturenames:
        return None
    server: LiveServer = request.getfixturevalue("live_server")
    return server


@pytest.fixture
async def _neonkit_loan(
    request: pytest.FixtureRequest,
    database_driver: Driver,
    _neonkit_databases: Databases,
    _neonkit_tables: WantedTables,
) -> AsyncIterator[Loan]:
    """The test's database: a turn in the shared one, a clone, or a clone behind a wire."""
    asked, databases = set(request.fixturenames), _neonkit_databases
    if _WIRED & asked:
        lend = databases.wired_clone
    elif "live_server" in asked or request.node.get_closest_marker("real_commits"):
        lend = databases.clone
    else:
        lend = databases.sandbox
    async with lend(database_driver, _neonkit_tables) as loan:
        yield loan


@pytest.fixture
def _neonkit_tables(request: pytest.FixtureRequest) -> WantedTables:
    """Import the app before the database is made, so that it has all tables from the start.

    The test's own app may be made where the tests are: then the revisions are the entry point's.
    """
    from neonkit.testing._wanted_tables import WantedTables

    of_test = request.getfixturevalue("app") if "app" in request.fixturenames else None
    has_own = of_test is not None and WantedTables.of([of_test]).revisions is not None
    of_project = None if has_own else _entry_point(request.config)
    return WantedTables.of(app for app in (of_test, of_project) if app is not None)


@pytest.fixture(scope="session")
async def _neonkit_databases(
    anyio_backend: object,  # noqa: ARG001  # asking for it makes anyio run this, and its users
    _neonkit_backend: str,  # what the plugin puts in the place of `anyio_backend` here
    request: pytest.FixtureRequest,
) -> AsyncIterator[Databases]:
    """The run's databases, on `NEONKIT_TEST_URL`, else on the project's embedded server.

    The URLs that the app goes by are never used: they may be anybody's.
    """
    from neonkit.dsn import Dsn
    from neonkit.local import LocalServer
    from neonkit.testing._databases import Databases
    from neonkit.testing._wanted_tables import tables_of_tests

    given = os.environ.get("NEONKIT_TEST_URL")
    async with AsyncExitStack() as stack:
        if given:
            dsn = Dsn.parse(given)
        else:
            with _naming_the_extra():
                folder = request.config.rootpath / ".neonkit" / "test"
                server = await LocalServer.start(folder, is_durable=False)
            dsn = Dsn.parse((await stack.enter_async_context(server)).url)
        yield await stack.enter_async_context(
            Databases(
                dsn,
                is_durable=bool(given),
                tables_of_tests=partial(tables_of_tests, request.session),
            )
        )


def entry_point_of(config: pytest.Config) -> AppTarget | None:
    """Read which app the nearest `pyproject.toml` names, from the root folder upwards."""
    from neonkit.settings import AppTarget

    root = config.rootpath
    folders = (each for each in (root, *root.parents) if (each / "pyproject.toml").is_file())
    return AppTarget.declared_in(next(folders, root))


def _entry_point(config: pytest.Config) -> FastAPI | None:
    """Import the app that the project names."""
    from fastapi import FastAPI

    try:
        target = entry_point_of(config)
        if target is None:
            return None
        app = target.load()
        if not isinstance(app, FastAPI):
            raise target.refusal(f"it is {type(app).__name__}, not a FastAPI app")
    except ConfigurationError as error:
        pytest.fail(str(error), pytrace=False)
    return app


def _fail_too_late(fixture: str, or_else: str = "") -> NoReturn:
    pytest.fail(_TOO_LATE.format(fixture=fixture, or_else=or_else), pytrace=False)


@contextmanager
def _naming_the_extra() -> Iterator[None]:
    """Say how to install what is missing."""
    try:
        yield
    except (ImportError, ConfigurationError) as error:
        pytest.fail(f"{error}\n\n{_EXTRA}", pytrace=False)
