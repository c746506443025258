"""Passwords that change: each new connection asks for the one of the moment."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from secrets import token_urlsafe

import pytest
from fastapi import FastAPI
from sqlalchemy import text

import neonkit
from neonkit import Settings
from neonkit.db import (
    Database,
    Driver,
    PasswordSource,
    PoolPolicy,
    create_engine,
    fault_of,
    open_scope,
    problem_error_of,
)
from neonkit.db._wire.dialect import NeonDialect
from neonkit.dsn import Dsn
from neonkit.errors import DatabaseUnavailableError, PasswordError
from neonkit.web import Runtime

pytestmark = [pytest.mark.both_drivers, pytest.mark.real_commits]

FIRST, SECOND = "first-secret-of-1694", "second-secret-of-1694"


@pytest.fixture
async def login(db: Database) -> AsyncIterator[Dsn]:
    """A role with a password, on a server that asks for it."""
    dialect = db.engine.dialect
    assert isinstance(dialect, NeonDialect)
    dsn = dialect.connector.dsn
    user = f"changing_{dsn.database}"
    await _run(db, f"CREATE ROLE {user} LOGIN PASSWORD '{FIRST}'")
    yield dsn.replace(user=user, password=None)
    await _run(db, f"DROP ROLE {user}")


async def _run(db: Database, statement: str) -> None:
    async with db.engine.begin() as connection:
        await connection.execute(text(statement))


@asynccontextmanager
async def _asking(login: Dsn, driver: Driver, source: PasswordSource) -> AsyncIterator[Database]:
    pool = PoolPolicy(size=1, overflow=0)
    async with Database(create_engine(login, driver=driver, password=source, pool=pool)) as asking:
        yield asking


async def test_each_connection_has_the_password_of_the_moment(
    db: Database, database_driver: Driver, login: Dsn, caplog: pytest.LogCaptureFixture
) -> None:
    """Asked once a connection, the probe's included, by function or coroutine; never logged."""
    caplog.set_level(logging.DEBUG)
    given = [FIRST]

    def now() -> str:
        given.append(given[-1])
        return given[-1]

    async def soon() -> str:
        return now()

    sources: list[Callable[[], str | Awaitable[str]]] = [now, soon]
    for source in sources:
        async with _asking(login, database_driver, source) as asking:
            for _ in range(2):
                await _run(asking, "SELECT 1")
            await asking.probe()
            assert len(given) == 3
            given[:] = [SECOND]
            await _run(db, f"ALTER ROLE {login.user} PASSWORD '{SECOND}'")
            await asking.engine.dispose()
            await _run(asking, "SELECT 1")
            assert len(given) == 2
        given[:] = [SECOND]
    assert FIRST not in caplog.text
    assert SECOND not in caplog.text


async def test_a_password_that_is_refused_is_said_at_once(
    database_driver: Driver, login: Dsn
) -> None:
    """Waiting does not mend it, and the error holds none."""
    async with _asking(login, database_driver, lambda: SECOND) as asking:
        with pytest.raises(Exception, match="password authentication failed") as refused:
            await _run(asking, "SELECT 1")
    assert SECOND not in str(refused.value)


def _breaks() -> str:
    raise LookupError(FIRST)


async def _breaks_later() -> str:
    raise LookupError(FIRST)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (_breaks, "failed: LookupError"),
        (_breaks_later, "failed: LookupError"),
        (lambda: b"bytes", "gave bytes"),
        (lambda: None, "gave nothing"),
        (lambda: "", "gave nothing"),
    ],
)
async def test_a_function_without_a_password_is_named(
    database_driver: Driver, login: Dsn, source: PasswordSource, said: str
) -> None:
    """For a client the database is away; who runs the app reads whose fault it is."""
    async with _asking(login, database_driver, source) as asking:
        with pytest.raises(PasswordError) as named, open_scope(0.3):
            await _run(asking, "SELECT 1")
    assert str(named.value) == f"the function that gives the database's password {said}"
    fault = fault_of(named.value)
    assert fault is not None
    assert isinstance(problem_error_of(named.value), DatabaseUnavailableError)


async def test_an_app_is_installed_with_it(database_driver: Driver, login: Dsn) -> None:
    """The pool of the app asks the function, in place of the password in the environment's URL."""
    app = FastAPI()
    settings = Settings(
        _env_file=None,
        environment="production",
        secret_key=token_urlsafe(48),
        database_driver=database_driver,
        neon_database_url=login.replace(password="stale").for_libpq(),
    )
    neonkit.install(app, settings, password=lambda: FIRST)
    async with app.router.lifespan_context(app):
        await _run(Runtime.of(app).require_database(), "SELECT 1")
