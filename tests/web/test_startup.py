"""Start-up is over when the tables are what the release needs; until then there is no traffic."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import Column, Integer, MetaData, Table

import neonkit
from neonkit.dsn import Dsn
from neonkit.errors import BehindError
from neonkit.migrations import upgrade, upgrade_schema
from neonkit.settings import Settings
from neonkit.web import _startup
from neonkit.web._startup import Startup
from support.servers import dsn, server_url

__all__ = ["dsn", "server_url"]

REVISION = """
revision, down_revision = {name!r}, {after!r}
def upgrade(): pass
def downgrade(): pass
"""
NOT_READY = {"status": "not_ready", "checks": {"database": "ok", "migrations": "failed"}}
READY = {"status": "ready", "checks": {"database": "ok"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A history with one revision."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "one.py").write_text(REVISION.format(name="one", after=None))
    return tmp_path


@asynccontextmanager
async def running(
    dsn: Dsn,
    folder: Path,
    environment: str | None = "production",
    metadata: MetaData | None = None,
) -> AsyncIterator[httpx2.AsyncClient]:
    """Lend a client of an app whose lifespan runs, in this process."""
    app = FastAPI()
    settings = Settings(
        _env_file=None,
        environment=environment,
        neon_database_url=dsn.for_libpq(),
        secret_key="an0ther-l0ng-and-quite-r4ndom-signing-key",
    )
    neonkit.install(app, settings, migrations=folder, metadata=metadata)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client,
    ):
        yield client


async def _until(client: httpx2.AsyncClient, path: str, said: object) -> httpx2.Response:
    """Ask until the answer's body is this; a start goes on in the background."""
    async with asyncio.timeout(60):
        answer = await client.get(path)
        while answer.json() != said:
            answer = await client.get(path)
    return answer


async def test_not_ready_while_the_tables_are_behind(
    dsn: Dsn, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readiness and start-up are 503 and name migrations until they are at head, asked for anew."""
    monkeypatch.setattr(_startup, "_FRESH_SECONDS", 0)
    async with running(dsn, folder) as client:
        assert (await _until(client, "/health/ready", NOT_READY)).status_code == 503
        await upgrade_schema(dsn)
        for path, said in (("startup", {"status": "starting"}), ("ready", NOT_READY)):
            answer = await client.get(f"/health/{path}")
            assert (answer.status_code, answer.json()) == (503, said)
        await upgrade(dsn, folder)
        for path, said in (("ready", READY), ("startup", {"status": "started"})):
            answer = await client.get(f"/health/{path}")
            assert (answer.status_code, answer.json()) == (200, said)


async def test_development_changes_no_other_machine(
    dsn: Dsn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a database elsewhere it is told what models name and it lacks; nothing is made there."""
    elsewhere = dsn.replace(host="127.1")  # this machine, which only resolving would tell
    async with running(elsewhere, tmp_path / "none", "development") as client:
        assert (await client.get("/health/ready")).json() == NOT_READY
    assert "the schema `neonkit` is missing" in caplog.text

    await upgrade_schema(dsn)
    table = Table("never_made", MetaData(), Column("id", Integer))
    async with running(
        elsewhere, tmp_path / "none", "development", metadata=table.metadata
    ) as client:
        assert (await client.get("/health/ready")).json() == READY
    assert "models name what the database lacks" in caplog.text
    connection = await asyncpg.connect(dsn.for_libpq())
    assert await connection.fetchval("SELECT to_regclass('never_made')") is None
    await connection.close()


async def test_a_role_that_may_make_no_database_has_its_tables(
    dsn: Dsn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Development makes the missing tables all the same, and says that it compared nothing."""
    role = f"poor_{token_hex(4)}"
    connection = await asyncpg.connect(dsn.for_libpq())
    await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'a' NOCREATEDB")
    await connection.execute(f'GRANT ALL ON DATABASE "{dsn.database}" TO {role}')
    await connection.execute(f"GRANT ALL ON SCHEMA public TO {role}")
    table = Table("by_the_poor", MetaData(), Column("id", Integer))
    poor = dsn.replace(user=role, password="a")
    async with running(poor, tmp_path / "none", "development", metadata=table.metadata) as client:
        assert (await client.get("/health/ready")).json() == READY
    assert "models and tables were not compared" in caplog.text
    assert "CREATEDB" in caplog.text
    assert await connection.fetchval("SELECT to_regclass('by_the_poor')::text") == "by_the_poor"
    await connection.execute(f"DROP OWNED BY {role} CASCADE")
    await connection.execute(f"DROP ROLE {role}")
    await connection.close()


@pytest.mark.parametrize(("environment", "columns"), [("development", 2), (None, 1)])
async def test_tables_change_where_development_is_said(
    dsn: Dsn, tmp_path: Path, environment: str | None, columns: int
) -> None:
    """A database here alone may be people's own: without ENVIRONMENT only new tables are made."""
    connection = await asyncpg.connect(dsn.for_libpq())
    await connection.execute("CREATE TABLE note (id int)")
    table = Table("note", MetaData(), Column("id", Integer), Column("more", Integer))
    async with running(dsn, tmp_path / "none", environment, metadata=table.metadata) as client:
        assert (await client.get("/health/ready")).json() == READY
    count = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'note'"
    assert await connection.fetchval(count) == columns
    await connection.close()


async def test_only_who_asks_has_the_tables_looked_at_again() -> None:
    """Behind, nothing is sent unasked, and asked for at most every 10 s, however often."""
    clock, sent = Clock(), Answers()
    startup = Startup(sent.look, sent.finish, clock=clock)
    await startup.run()
    assert (startup.is_over, startup.migrations, sent.looks) == (False, "failed", 1)

    clock.now = 9.9
    assert not await startup.look()
    assert sent.looks == 1
    clock.now = 10
    assert [await startup.look() for _ in range(3)] == [False] * 3
    assert sent.looks == 2

    sent.is_behind, clock.now = False, 20
    assert await startup.look()
    assert (sent.looks, sent.finishes, startup.migrations) == (3, 1, "ok")
    clock.now = 40
    assert await startup.look()
    assert (sent.looks, sent.finishes) == (3, 1)


@pytest.mark.parametrize("environment", ["production", "development"])
async def test_a_newer_database_is_served(
    dsn: Dsn, folder: Path, caplog: pytest.LogCaptureFixture, environment: str
) -> None:
    """An older replica that starts in the middle of a deployment is ready, and says so once."""
    await upgrade_schema(dsn)
    newer = folder / "versions" / "two.py"
    newer.write_text(REVISION.format(name="two", after="one"))
    await upgrade(dsn, folder)
    newer.unlink()
    with caplog.at_level(logging.WARNING, "neonkit"):
        async with running(dsn, folder, environment) as client:
            assert (await _until(client, "/health/ready", READY)).status_code == 200
    (said,) = [each.message for each in caplog.records if "newer release" in each.message]
    assert "two" in said


@dataclass
class Clock:
    """Seconds, as the test says."""

    now: float = 0.0

    def __call__(self) -> float:
        """Read it."""
        return self.now


@dataclass
class Answers:
    """A database that counts what it is asked, and answers as the test says."""

    is_behind: bool = True
    looks: int = 0
    finishes: int = field(default=0)

    async def look(self) -> None:
        """Be looked at."""
        self.looks += 1
        if self.is_behind:
            raise BehindError("a revision is missing")

    async def finish(self) -> None:
        """Do the rest."""
        self.finishes += 1
