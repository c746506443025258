"""A test run whose variables name another machine's database, which may be anybody's."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from secrets import token_hex

import pytest
from fastapi import FastAPI
from sqlalchemy import text

import neonkit
from neonkit import Database, create_engine
from neonkit.dsn import Dsn
from neonkit.local import LocalServer
from neonkit.settings import Settings
from neonkit.web import add_boot_step

# names this machine, which only resolving it would tell: by its text it is another one
ELSEWHERE = "127.1"
REVISION = """
from alembic import op
revision, down_revision = "one", None
def upgrade(): op.drop_table("kept")
def downgrade(): pass
"""


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalServer]:
    """A server of these tests' own, since the shared one's databases are the plugin's."""
    folder = tmp_path_factory.mktemp("elsewhere")
    async with await LocalServer.start(folder, is_durable=False) as server:
        yield server


@pytest.fixture
async def dsn(server: LocalServer) -> Dsn:
    """A database with one table and no schema of ours."""
    name = f"anybodys_{token_hex(4)}"
    async with Database(create_engine(server.url)) as database:
        engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            await connection.execute(text(f'CREATE DATABASE "{name}"'))
    dsn = Dsn.parse(server.url_of(name))
    async with Database(create_engine(dsn)) as database, database.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE kept (id int)"))
    return dsn


async def _tables(dsn: Dsn) -> list[str]:
    query = text("SELECT schemaname || '.' || tablename FROM pg_tables ORDER BY 1")
    async with Database(create_engine(dsn)) as database, database.engine.connect() as connection:
        names = (await connection.execute(query)).scalars()
        return [name for name in names if not name.startswith(("pg_", "information_schema."))]


@pytest.mark.parametrize("has_revision", [False, True])
@pytest.mark.parametrize("is_given", [False, True], ids=["by its variables", "a Database given"])
@pytest.mark.parametrize("host", ["127.0.0.1", ELSEWHERE])
async def test_nothing_is_made_there(
    dsn: Dsn,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    host: str,
    *,
    is_given: bool,
    has_revision: bool,
) -> None:
    """No table, no schema, no migration, no boot step; on this machine all of them as ever."""
    is_changed = host != ELSEWHERE
    if has_revision:
        (tmp_path / "versions").mkdir()
        (tmp_path / "versions" / "one.py").write_text(REVISION)
    address = dsn.replace(host=host)
    settings = Settings(_env_file=None, environment="test", neon_database_url=address.for_libpq())
    app, stepped = FastAPI(), []
    async with Database(create_engine(address)) as database:
        given = database if is_given else None
        neonkit.install(app, settings, database=given, migrations=tmp_path)

        async def step(_: Database) -> None:
            stepped.append(True)

        add_boot_step(app, step)
        async with app.router.lifespan_context(app):
            if is_changed:
                while not app.state.neonkit.startup.is_over:  # noqa: ASYNC110  # nobody tells
                    await asyncio.sleep(0.01)
            else:
                assert "is on another machine" in caplog.text
                await asyncio.sleep(0.3)  # the time that the others need a fraction of
    tables = await _tables(dsn)
    assert stepped == ([True] if is_changed else [])
    assert (tables == ["public.kept"]) != is_changed
