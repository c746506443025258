"""A rehearsal runs the pending revisions on a copy in use, and tells what each statement did."""

from pathlib import Path

import asyncpg
import pytest

from migrations.conftest import Write
from neonkit.dsn import Dsn
from neonkit.errors import MigrationError
from neonkit.migrations import Rehearsed, rehearse, upgrade

POSTS = """op.execute('CREATE TABLE posts (id int PRIMARY KEY, title text)')
    op.execute("INSERT INTO posts SELECT n, n FROM generate_series(1, {}) n")
    op.execute("ANALYZE posts")"""


async def pending(dsn: Dsn) -> set[str]:
    """The columns that the database itself has."""
    connection = await asyncpg.connect(**dsn.for_asyncpg())
    rows = await connection.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'posts'::regclass AND attnum > 0"
    )
    await connection.close()
    return {row["attname"] for row in rows}


async def rehearsed(dsn: Dsn, folder: Path) -> list[Rehearsed]:
    """What the statements on `posts` did."""
    return [each for each in await rehearse(dsn, folder) if "posts" in each.statement]


async def test_a_statement_that_rewrites_is_told_with_its_lock_and_its_waits(
    dsn: Dsn, folder: Path, write: Write
) -> None:
    """Who would read or write the table waits as long; the database itself stays as it is."""
    write(POSTS.format(150_000))
    await upgrade(dsn, folder)
    write("op.execute('ALTER TABLE posts ADD token uuid DEFAULT gen_random_uuid()')")
    (done,) = await rehearsed(dsn, folder)
    assert (done.revision, done.rewritten) == ("r1", {"posts": 150_000})
    assert ("posts", "AccessExclusiveLock") in {(each.table, each.mode) for each in done.locks}
    assert done.waits["posts"].keys() == {"reader", "writer"}
    assert "150,000 rows of posts written anew" in str(done)
    assert await pending(dsn) == {"id", "title"}


async def test_a_safe_statement_rewrites_nothing(dsn: Dsn, folder: Path, write: Write) -> None:
    """What only changes the catalogue is told as that; a backfill is told too."""
    write(POSTS.format(1_000))
    await upgrade(dsn, folder)
    write("op.execute('ALTER TABLE posts ADD n int DEFAULT 1')")
    write("backfill('posts', {'n': '2'}, where='n = 1')")
    first, *batches = await rehearsed(dsn, folder)
    assert first.revision == "r1"
    assert {each.revision for each in batches} == {"r2"}
    assert not any(each.rewritten for each in (first, *batches))
    assert await pending(dsn) == {"id", "title"}


async def test_there_must_be_a_copy(dsn: Dsn, folder: Path, write: Write) -> None:
    """A database in use, the database itself, and another machine's are refused in words."""
    write(POSTS.format(1))
    with pytest.raises(MigrationError, match="names the database itself"):
        await rehearse(dsn, folder, dsn)
    elsewhere = Dsn.parse("postgresql://me:secret@db.example.com/app")
    with pytest.raises(MigrationError, match="--on"):
        await rehearse(elsewhere, folder)
    connection = await asyncpg.connect(**dsn.for_asyncpg())
    with pytest.raises(MigrationError, match="while somebody is connected"):
        await rehearse(dsn, folder)
    await connection.close()


async def test_a_copy_may_be_given(dsn: Dsn, folder: Path, write: Write, server_url: str) -> None:
    """The revisions are run on the copy, for good, and on nothing else."""
    write("op.execute('CREATE TABLE made (id int)')")
    connection = await asyncpg.connect(server_url)
    name = f"{dsn.database}_branch"
    await connection.execute(f'CREATE DATABASE "{name}"')
    await rehearse(dsn, folder, dsn.replace(database=name))
    for database, is_there in [(dsn.database, False), (name, True)]:
        inside = await asyncpg.connect(**dsn.replace(database=database).for_asyncpg())
        assert await inside.fetchval("SELECT to_regclass('made') IS NOT NULL") is is_there
        await inside.close()
    await connection.execute(f'DROP DATABASE "{name}"')
    await connection.close()
