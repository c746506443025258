"""Twelve changes of a table in use: as a plain migration makes them, and as neonkit does.

    python -m benchmarks.migrations [--rows 1000000]

A table is read and written 200 times a second, while one change after the other is made to a copy
of it: once in a single transaction, as Alembic's operations do, and once by the revisions that
`neonkit migrate` asks for. A request's wait is counted from the moment at which it was due.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from neonkit.dsn import Dsn
from neonkit.local import LocalServer
from neonkit.migrations import DangerousMigrationError, upgrade

RESULTS = Path(__file__).parent / "results" / "migrations.md"
CONNECTIONS, PERIOD = 8, 0.04  # 200 requests a second
CALM = 1.0  # seconds of traffic before and after
TABLES = """
CREATE TABLE users (id int PRIMARY KEY);
INSERT INTO users SELECT generate_series(1, 1000);
CREATE TABLE posts (
  id int PRIMARY KEY, author_id int NOT NULL, title text, slug text, views int NOT NULL,
  status text NOT NULL CONSTRAINT ck_status CHECK (status IN ('draft', 'shown'))
);
INSERT INTO posts
  SELECT n, 1 + n % 1000, 'post ' || n, 'post-' || n, 0, 'shown' FROM generate_series(1, {rows}) n;
ANALYZE;
"""
READ = "SELECT id, author_id, title, slug, views, status FROM posts WHERE id = $1"
WRITE = "UPDATE posts SET views = views + 1 WHERE id = $1"
REVISION = """
from alembic import op
import sqlalchemy as sa
from neonkit.migrations import backfill
revision, down_revision = {name!r}, {after!r}
def upgrade():
    {body}
"""
ALONE = "with op.get_context().autocommit_block(): "


def _sql(*statements: str) -> str:
    return "; ".join(f"op.execute({each!r})" for each in statements)


@dataclass(frozen=True)
class Change:
    """One change.

    Attributes:
        name: in words.
        plain: what a plain migration sends, in one transaction.
        revisions: the bodies of neonkit's; empty where the change is refused.
    """

    name: str
    plain: Sequence[str]
    revisions: Sequence[str] = ()


CHANGES = [
    Change(
        "a column that each row fills",
        ["ALTER TABLE posts ADD token uuid NOT NULL DEFAULT gen_random_uuid()"],
        [
            _sql("ALTER TABLE posts ADD token uuid"),
            _sql("ALTER TABLE posts ALTER token SET DEFAULT gen_random_uuid()"),
            "backfill('posts', {'token': 'gen_random_uuid()'}, where='token IS NULL')",
            _sql("ALTER TABLE posts ADD CONSTRAINT t CHECK (token IS NOT NULL) NOT VALID"),
            _sql("ALTER TABLE posts VALIDATE CONSTRAINT t"),
            _sql(
                "ALTER TABLE posts ALTER token SET NOT NULL", "ALTER TABLE posts DROP CONSTRAINT t"
            ),
        ],
    ),
    Change(
        "a column filled from others",
        ["ALTER TABLE posts ADD name text", "UPDATE posts SET name = upper(title)"],
        [
            _sql("ALTER TABLE posts ADD name text"),
            "backfill('posts', {'name': 'upper(title)'}, where='name IS NULL')",
        ],
    ),
    Change(
        "all rows changed",
        ["UPDATE posts SET slug = slug || '-'"],
        ["backfill('posts', {'slug': \"slug || '-'\"}, where=\"slug NOT LIKE '%-'\")"],
    ),
    Change(
        "NOT NULL",
        ["ALTER TABLE posts ALTER slug SET NOT NULL"],
        [
            _sql("ALTER TABLE posts ADD CONSTRAINT s CHECK (slug IS NOT NULL) NOT VALID"),
            _sql("ALTER TABLE posts VALIDATE CONSTRAINT s"),
            _sql(
                "ALTER TABLE posts ALTER slug SET NOT NULL", "ALTER TABLE posts DROP CONSTRAINT s"
            ),
        ],
    ),
    Change(
        "an index",
        ["CREATE INDEX ix ON posts (title)"],
        [ALONE + _sql("CREATE INDEX CONCURRENTLY ix ON posts (title)")],
    ),
    Change(
        "a unique constraint",
        ["ALTER TABLE posts ADD CONSTRAINT uq UNIQUE (slug)"],
        [
            ALONE + _sql("CREATE UNIQUE INDEX CONCURRENTLY uq ON posts (slug)"),
            _sql("ALTER TABLE posts ADD CONSTRAINT uq UNIQUE USING INDEX uq"),
        ],
    ),
    Change(
        "a foreign key",
        ["ALTER TABLE posts ADD CONSTRAINT fk FOREIGN KEY (author_id) REFERENCES users"],
        [
            _sql(
                "ALTER TABLE posts ADD CONSTRAINT fk FOREIGN KEY (author_id) "
                "REFERENCES users NOT VALID"
            ),
            _sql("ALTER TABLE posts VALIDATE CONSTRAINT fk"),
        ],
    ),
    Change(
        "a CHECK",
        ["ALTER TABLE posts ADD CONSTRAINT ck CHECK (views >= 0)"],
        [
            _sql("ALTER TABLE posts ADD CONSTRAINT ck CHECK (views >= 0) NOT VALID"),
            _sql("ALTER TABLE posts VALIDATE CONSTRAINT ck"),
        ],
    ),
    Change(
        "one more member of a text enum",
        [
            "ALTER TABLE posts DROP CONSTRAINT ck_status",
            "ALTER TABLE posts ADD CONSTRAINT ck_status "
            "CHECK (status IN ('draft', 'shown', 'old'))",
        ],
        [
            _sql(
                "ALTER TABLE posts DROP CONSTRAINT ck_status",
                "ALTER TABLE posts ADD CONSTRAINT ck_status "
                "CHECK (status IN ('draft', 'shown', 'old')) NOT VALID",
            ),
            _sql("ALTER TABLE posts VALIDATE CONSTRAINT ck_status"),
        ],
    ),
    Change("another type", ["ALTER TABLE posts ALTER views TYPE bigint"]),
    Change("a dropped column", ["ALTER TABLE posts DROP slug"]),
    Change("a renamed column", ["ALTER TABLE posts RENAME slug TO name"]),
]


@dataclass
class Traffic:
    """What the requests met.

    Attributes:
        waits: seconds of each request that was answered.
        failed: how many were not.
    """

    waits: list[float] = field(default_factory=list)
    failed: int = 0

    def __str__(self) -> str:
        requests = len(self.waits) + self.failed
        return f"{max(self.waits) * 1000:,.0f} ms, {self.failed:,} of {requests:,}"


@asynccontextmanager
async def _traffic(dsn: Dsn, rows: int) -> AsyncIterator[Traffic]:
    traffic = Traffic()

    async def client(number: int) -> None:
        draw = random.Random(number)  # noqa: S311  # the same requests in each run
        connection = await asyncpg.connect(**dsn.for_asyncpg())
        due = time.monotonic() + PERIOD * number / CONNECTIONS
        while not is_over.is_set():
            await asyncio.sleep(due - time.monotonic())
            try:
                await connection.fetch(
                    draw.choice((READ, WRITE)), draw.randint(1, rows), timeout=30
                )
                traffic.waits.append(time.monotonic() - due)
            except (asyncpg.PostgresError, TimeoutError):
                traffic.failed += 1
            due += PERIOD
        await connection.close()

    is_over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(CONNECTIONS):
            group.create_task(client(number))
        await asyncio.sleep(CALM)
        yield traffic
        await asyncio.sleep(CALM)
        is_over.set()


async def _plain(dsn: Dsn, change: Change) -> str:
    connection = await asyncpg.connect(**dsn.for_asyncpg())
    async with connection.transaction():
        for statement in change.plain:
            await connection.execute(statement)
    await connection.close()
    return ""


async def _ours(dsn: Dsn, change: Change) -> str:
    bodies = change.revisions or [_sql(*change.plain)]
    with tempfile.TemporaryDirectory() as name:
        versions = Path(name) / "versions"
        versions.mkdir()
        for at, body in enumerate(bodies):
            after = f"r{at - 1}" if at else None
            text = REVISION.format(name=f"r{at}", after=after, body=body)
            (versions / f"r{at}.py").write_text(text)
        migrate = upgrade(dsn, Path(name), refuses_danger=True)
        try:
            await asyncio.to_thread(asyncio.run, migrate)
        except DangerousMigrationError as error:
            return f"refused ({', '.join(sorted({each.rule for each in error.findings}))})"
    return ""


async def _measure(server: Dsn, change: Change, rows: int) -> list[str]:
    cells = [change.name]
    for way in (_plain, _ours):
        admin = await asyncpg.connect(**server.for_asyncpg())
        await admin.execute("CREATE DATABASE changed TEMPLATE base")
        dsn = server.replace(database="changed")
        began = time.monotonic()
        async with _traffic(dsn, rows) as traffic:
            told = await way(dsn, change)
            took = time.monotonic() - began - CALM
        await admin.execute("DROP DATABASE changed WITH (FORCE)")
        await admin.close()
        cells += [told or f"{took:.1f} s", str(traffic)]
    return cells


async def _run(rows: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        async with await LocalServer.start(Path(folder) / "postgres", is_durable=False) as local:
            server = Dsn.parse(local.url)
            admin = await asyncpg.connect(**server.for_asyncpg())
            await admin.execute("CREATE DATABASE base")
            base = await asyncpg.connect(**server.replace(database="base").for_asyncpg())
            await base.execute(TABLES.format(rows=rows))
            await base.close()
            await admin.close()
            table = [await _measure(server, change, rows) for change in CHANGES]
    lines = [f"| {' | '.join(row)} |" for row in table]
    return HEAD.format(rows=rows, day=f"{datetime.now(UTC):%Y-%m-%d}") + "\n".join(lines) + "\n"


HEAD = """# Changing a table in use

`python -m benchmarks.migrations --rows {rows}` on {day}: a table of {rows:,} rows, read and
written 200 times a second over 8 connections. A request's wait counts from when it was due; each
change is made to a fresh copy. *Refused*: `neonkit migrate` in production changes nothing, and
prints the way that hurts nobody.

| change | plain: took | longest wait, failed | neonkit: took | longest wait, failed |
| --- | --- | --- | --- | --- |
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    report = asyncio.run(_run(parser.parse_args().rows))
    RESULTS.write_text(report)
    sys.stdout.write(report)
