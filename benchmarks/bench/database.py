"""The rows that all apps read: the starter's tables, and the same rows in those of Neon's guide."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import Engine, create_engine, make_url, text

from benchmarks.bench.apps.source_models import Source
from benchmarks.bench.operations import Rows
from benchmarks.bench.servers import ROOT, environment
from neonkit.local import LocalServer

_FILL = """
INSERT INTO users (username, email, hashed_password, role, is_active, created_at, updated_at)
SELECT 'user' || lpad(i::text, 5, '0'), md5(i::text) || '@example.com', '-', 'user', true,
       timestamptz '2024-01-01Z' + i * interval '1 hour', timestamptz '2024-01-01Z'
FROM generate_series(1, :users) AS i;
INSERT INTO posts (author_id, title, content, created_at)
SELECT 1 + (i * 7919::bigint) % :users, 'On looms, part ' || i,
       'The engine weaves algebraic patterns just as the loom weaves leaves, ' || i || ' of them.',
       timestamptz '2024-01-01Z' + (i * 7919::bigint % 1000000) * interval '1 minute'
FROM generate_series(1, :posts) AS i;
INSERT INTO "user" (username, email, hashed_password, role, is_active, created_at)
SELECT username, email, hashed_password, 'USER', is_active, created_at FROM users ORDER BY id;
INSERT INTO post (title, content, author_id, created_at, updated_at)
SELECT title, content, author_id, created_at, updated_at FROM posts ORDER BY id;
INSERT INTO account (balance) SELECT 1000000 FROM generate_series(1, :accounts);
"""


@asynccontextmanager
async def postgres(folder: Path, rows: Rows) -> AsyncIterator[str]:
    """Run an embedded PostgreSQL with all rows for the block, and give its URL."""
    try:
        async with await LocalServer.start(folder, is_durable=False) as server:
            _fill(server.url, rows)
            yield server.url
    finally:
        while (folder / "data" / "postmaster.pid").exists():  # noqa: ASYNC110  # it writes until then
            await asyncio.sleep(0.05)


def version_of(url: str) -> str:
    """The server's version, as it says it."""
    with _engine(url).connect() as connection:
        return str(connection.scalar(text("SHOW server_version"))).partition(" ")[0]


def _fill(url: str, rows: Rows) -> None:
    migrate = [sys.executable, "-m", "neonkit", "migrate", "neonkit_starter.app:app"]
    subprocess.run(  # noqa: S603  # our own command, with this interpreter
        migrate, cwd=ROOT, env=environment(url), check=True, stdout=subprocess.DEVNULL
    )
    engine = _engine(url)
    with engine.connect() as connection:
        Source.metadata.create_all(connection)
        for statement in _FILL.split(";\n")[:-1]:
            connection.execute(text(statement), _numbers_in(statement, rows))
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def _numbers_in(statement: str, rows: Rows) -> dict[str, int]:
    return {name: number for name, number in asdict(rows).items() if f":{name}" in statement}


def _engine(url: str) -> Engine:
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
