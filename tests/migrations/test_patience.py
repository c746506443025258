"""Migrations do not stop those who use the tables, and go on where they were interrupted."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from migrations.conftest import Write
from neonkit._seams.alembic import steps_to
from neonkit.dsn import Dsn
from neonkit.errors import MigrationError
from neonkit.migrations import upgrade
from neonkit.migrations._lint.findings import read_pending
from neonkit.migrations._running.patience import lock_timeout_of
from neonkit.migrations._scripts import read_script

POSTS = "op.execute('CREATE TABLE posts (id int PRIMARY KEY, title text, slug text)')"
PAIRS = "op.execute('CREATE TABLE pairs (b text, a int, n int, PRIMARY KEY (a, b))')"


@pytest.fixture
async def connection(dsn: Dsn) -> AsyncIterator[asyncpg.Connection]:
    """A user of the tables."""
    connection = await asyncpg.connect(**dsn.for_asyncpg())
    yield connection
    await connection.close()


@pytest.mark.parametrize(
    ("sql", "wait"),
    [
        ("ALTER TABLE posts ADD a int", "100ms"),
        ("CREATE INDEX ON posts (id)", "100ms"),
        ("CREATE INDEX CONCURRENTLY i ON posts (id)", "60s"),
        ("ALTER TABLE posts VALIDATE CONSTRAINT c", "60s"),
        ("UPDATE posts SET a = 1", "60s"),
        ("UPDATE posts SET a = 1; DROP TABLE posts", "100ms"),
        ("VACUUM FULL posts", "100ms"),
    ],
)
def test_who_is_in_the_way_waits_shortly(sql: str, wait: str) -> None:
    """Only what no reader or writer would queue up behind may wait for long."""
    assert lock_timeout_of(sql) == wait


async def test_a_locked_table_delays_a_migration_and_nobody_else(
    dsn: Dsn, folder: Path, write: Write, connection: asyncpg.Connection
) -> None:
    """While a long transaction has the table, others read it, and the migration comes after."""
    write(POSTS)
    await upgrade(dsn, folder)
    write('op.execute("ALTER TABLE posts ADD n int")')
    holder = await asyncpg.connect(**dsn.for_asyncpg())
    transaction = holder.transaction()
    await transaction.start()
    await holder.fetch("SELECT * FROM posts")

    migration = asyncio.create_task(upgrade(dsn, folder))
    refused = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while not await connection.fetchval(refused):  # noqa: ASYNC110  # only the server knows
        await asyncio.sleep(0.005)
    await connection.fetch("SELECT * FROM posts", timeout=2)  # behind the ALTER TABLE, shortly
    assert not migration.done()
    await transaction.rollback()
    assert await migration == ("r1",)
    await holder.close()


async def test_a_table_that_stays_locked_is_told(
    dsn: Dsn, folder: Path, write: Write, connection: asyncpg.Connection
) -> None:
    """When its patience is at an end the migration fails in one line, and has changed nothing."""
    write(POSTS)
    await upgrade(dsn, folder)
    write('op.execute("CREATE TABLE undone ()")', 'op.execute("ALTER TABLE posts ADD n int")')
    async with connection.transaction():
        await connection.fetch("SELECT * FROM posts")
        with pytest.raises(MigrationError, match="r1 failed: a table stayed locked"):
            await upgrade(dsn, folder, lock_patience=0.3)
    assert await connection.fetchval("SELECT to_regclass('undone')") is None


async def test_a_concurrent_index_that_failed_is_built_again(
    dsn: Dsn, folder: Path, write: Write, connection: asyncpg.Connection
) -> None:
    """What is left of it is dropped at the next run; it does not count as the index."""
    write(POSTS, "op.execute(\"INSERT INTO posts VALUES (1, 'a'), (2, 'a')\")")
    write(
        "with op.get_context().autocommit_block():",
        "    op.create_index('ux', 'posts', ['title'], unique=True,",
        "                    postgresql_concurrently=True, if_not_exists=True)",
    )
    with pytest.raises(MigrationError, match="r1 failed: could not create unique index"):
        await upgrade(dsn, folder)
    is_valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ux'::regclass"
    assert await connection.fetchval(is_valid) is False
    await connection.execute("DELETE FROM posts WHERE id = 2")

    assert await upgrade(dsn, folder) == ("r1",)
    assert await connection.fetchval(is_valid) is True


@pytest.mark.parametrize("rows", [0, 1, 500, 3_001])
async def test_a_backfill_changes_each_row_once(
    dsn: Dsn, folder: Path, write: Write, connection: asyncpg.Connection, rows: int
) -> None:
    """Every row that lacks it is changed, none twice, by keys of several columns too."""
    write(PAIRS)
    await upgrade(dsn, folder)
    await connection.execute(
        f"INSERT INTO pairs SELECT n % 7, n, n % 2 FROM generate_series(1, {rows}) n"
    )
    write('backfill("pairs", {"n": "n + 10", "b": "b || \':x\'::text"}, where="n < 10")')
    assert await upgrade(dsn, folder) == ("r1",)
    good = "n BETWEEN 10 AND 11 AND b LIKE '_:x'"
    assert await connection.fetchval(f"SELECT count(*) FROM pairs WHERE {good}") == rows


async def test_an_interrupted_backfill_goes_on(
    dsn: Dsn, folder: Path, write: Write, connection: asyncpg.Connection
) -> None:
    """Batches that were done stay done; the next run does the rest."""
    write(POSTS, 'op.execute("INSERT INTO posts SELECT n, n FROM generate_series(1, 2000) n")')
    body = "backfill('posts', {'slug': \"1 / (title::int - 1500) || ''\"}, where='slug IS NULL')"
    write(body)
    with pytest.raises(MigrationError, match="r1 failed: division by zero"):
        await upgrade(dsn, folder)
    done = await connection.fetchval("SELECT count(slug) FROM posts")
    assert done is not None
    assert 500 <= done < 1500
    await connection.execute("UPDATE posts SET title = '1' WHERE id = 1500")

    before = await connection.fetchval(
        "SELECT array_agg(xmin ORDER BY id) FROM posts WHERE id <= 500"
    )
    assert await upgrade(dsn, folder) == ("r1",)
    assert await connection.fetchval("SELECT count(slug) FROM posts") == 2000
    after = await connection.fetchval(
        "SELECT array_agg(xmin ORDER BY id) FROM posts WHERE id <= 500"
    )
    assert before == after


async def test_a_table_without_a_key_is_refused(dsn: Dsn, folder: Path, write: Write) -> None:
    """Without an order of its rows there are no batches; the error names the way that is left."""
    write("op.execute('CREATE TABLE nameless (a int)')")
    write('backfill("nameless", {"a": "1"}, where="a IS NULL")')
    with pytest.raises(MigrationError, match="nameless has no primary key"):
        await upgrade(dsn, folder)


async def test_a_backfill_as_sql_is_done_in_batches_too(
    folder: Path, write: Write, connection: asyncpg.Connection
) -> None:
    """What `--sql` gives a DBA changes the same rows, and commits batch by batch."""
    write(POSTS, 'op.execute("INSERT INTO posts SELECT n, n FROM generate_series(1, 1200) n")')
    write("backfill('posts', {'slug': \"title || ':x'\"}, where='slug IS NULL')")
    script = read_script(folder)
    for each in read_pending(steps_to(script, "r1", ())):
        for statement in each.statements or ():
            if statement.text not in {"BEGIN", "COMMIT"}:
                await connection.execute(statement.text)
    assert await connection.fetchval("SELECT count(*) FROM posts WHERE slug LIKE '%:x'") == 1200
    assert await connection.fetchval("SELECT count(DISTINCT xmin::text) FROM posts") == 3
