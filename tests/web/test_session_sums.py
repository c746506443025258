"""Workers' sessions beside what the server has: told at start, before traffic finds out."""

import asyncio
import logging

import pytest
from fastapi import FastAPI
from sqlalchemy import text

import neonkit
from neonkit import Database, Settings
from neonkit.db._wire.dialect import NeonDialect

pytestmark = pytest.mark.real_commits


async def _said_at_start(db: Database, caplog: pytest.LogCaptureFixture, **pool: int) -> str:
    """What the log says from the start of an app on that database."""
    dialect = db.engine.dialect
    assert isinstance(dialect, NeonDialect)
    app = FastAPI()
    url = dialect.connector.dsn.for_libpq()
    neonkit.install(app, Settings(environment="test", neon_database_url=url, **pool))
    async with app.router.lifespan_context(app), asyncio.timeout(20):
        while not any("WORKERS" in each.message for each in caplog.records):  # noqa: ASYNC110  # the log tells nobody
            await asyncio.sleep(0.02)
    return caplog.text


async def test_more_than_the_server_has_are_warned_of(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The sum is said, what the server has, and what to lower; the app starts."""
    caplog.set_level(logging.INFO)
    said = await _said_at_start(db, caplog, pool_size=1000, max_overflow=0, workers=2)
    most = int((await db.execute(text("SHOW max_connections"))).scalar_one())
    assert f"is 2002 sessions for 2 workers, and the server has {most - 3}: lower one" in said


async def test_more_workers_than_sessions_are_refused(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Where each worker cannot have two sessions, the app is not ready, and says why."""
    caplog.set_level(logging.INFO)
    said = await _said_at_start(db, caplog, workers=500)
    assert "WORKERS is 500, and the server has" in said
    assert "each worker needs two at least" in said
