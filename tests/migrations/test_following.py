"""Models that change before there are revisions: what adds is done, and the rest is told."""

from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from migrations.raw_catalogue import raw_catalogue
from migrations.zoo import ZOO, models
from neonkit.db import Database, create_engine
from neonkit.dsn import Dsn
from neonkit.migrations import Followed, follow

Make = Callable[[sa.MetaData], object]

_OBJECTS = """
WITH own AS (
  SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
SELECT 'relation', oid::regclass::text, '' FROM pg_class WHERE relnamespace IN (SELECT * FROM own)
UNION SELECT 'column', attrelid::regclass::text, attname || format_type(atttypid, NULL)
  FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid
  WHERE relnamespace IN (SELECT * FROM own) AND attnum > 0 AND NOT attisdropped
UNION SELECT 'constraint', conrelid::regclass::text, conname FROM pg_constraint
UNION SELECT 'trigger', tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal
UNION SELECT 'label', enumtypid::regtype::text, enumlabel FROM pg_enum
UNION SELECT 'function', oid::regprocedure::text, '' FROM pg_proc
UNION SELECT 'extension', extname, '' FROM pg_extension
"""


async def _follow(dsn: Dsn, metadata: sa.MetaData) -> Followed:
    async with Database(create_engine(dsn)) as database:
        return await follow(dsn, metadata, lambda: database.create_all(metadata))


async def _run(dsn: Dsn, *statements: str) -> None:
    connection = await asyncpg.connect(dsn.for_libpq())
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


def _kinds(*names: str, is_native: bool) -> sa.Enum:
    is_checked = not is_native
    return sa.Enum(*names, native_enum=is_native, create_constraint=is_checked, name="note_kind")


def _first(metadata: sa.MetaData) -> None:
    sa.Table(
        "note",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("title", sa.String(20), nullable=False),
        sa.Column("kind", _kinds("one", is_native=False), nullable=False),
        sa.Column("mood", _kinds("one", is_native=True)),
    )


def _more(metadata: sa.MetaData) -> None:
    sa.Table("shelf", metadata, sa.Column("id", sa.Integer, primary_key=True))
    sa.Table(
        "note",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, comment="counted"),
        sa.Column("title", sa.String(20), nullable=False),
        sa.Column("kind", _kinds("one", "another", is_native=False), nullable=False),
        sa.Column("mood", _kinds("one", "another", is_native=True)),
        sa.Column("body", sa.Text, index=True),
        sa.Column("views", sa.Integer, nullable=False, default=0),
        sa.Column("stars", sa.Integer, nullable=False, server_default="1"),
        sa.Column("shelf_id", sa.ForeignKey("shelf.id")),
        sa.CheckConstraint("views >= 0", name="seen"),
        sa.UniqueConstraint("title", name="once"),
        comment="what was noted",
    )


async def test_what_adds_is_done(dsn: Dsn) -> None:
    """Tables, columns, rules that hold, members and comments: then both say the same, rows stay."""
    before, after = sa.MetaData(), sa.MetaData()
    _first(before)
    _more(after)
    made = await _follow(dsn, before)
    assert any("CREATE TABLE note" in each for each in made.made)
    await _run(dsn, "INSERT INTO note (title, kind, mood) VALUES ('a', 'one', 'one')")

    done = await _follow(dsn, after)
    assert done.left == ()
    assert await _follow(dsn, after) == Followed((), ())
    assert await follow(dsn, after) == Followed((), ())
    await _run(
        dsn, "INSERT INTO note (title, kind, mood, views) VALUES ('b', 'another', 'another', 1)"
    )
    connection = await asyncpg.connect(dsn.for_libpq())
    rows = await connection.fetch("SELECT title, views, stars FROM note ORDER BY id")
    await connection.close()
    assert [tuple(row) for row in rows] == [("a", 0, 1), ("b", 1, 1)]


def _note(*columns: sa.Column[Any]) -> Make:
    def make(metadata: sa.MetaData) -> None:
        key = sa.Column("id", sa.Integer, primary_key=True)
        copies = [column._copy() for column in columns]  # a column is one table's
        sa.Table("note", metadata, key, *copies)

    return make


_TITLE: sa.Column[Any] = sa.Column("title", sa.Text)
_NUMBER: sa.Column[Any] = sa.Column("number", sa.Integer, server_default="-1")
_OLD = _note(_TITLE, _NUMBER)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (_note(_NUMBER), "note loses title, with what is in it."),
        (_note(_NUMBER, sa.Column("heading", sa.Text)), "note.title=note.heading may only be"),
        (_note(_NUMBER, sa.Column("title", sa.Integer)), "note.title becomes integer"),
        (_note(_NUMBER, sa.Column("title", sa.Text, nullable=False)), "note.title must not be"),
        (_note(_NUMBER, _TITLE, sa.Column("due", sa.Date, nullable=False)), "note gets due (date)"),
        (
            _note(sa.Column("number", sa.Integer, sa.CheckConstraint("number > 0", name="rising"),
                            server_default="-1"), _TITLE),
            'check constraint "rising" of relation "note" is violated by some row',
        ),
    ],
    ids=["dropped", "renamed", "retyped", "not null", "without a default", "does not hold"],
)  # fmt: skip
async def test_nothing_else_is_done(dsn: Dsn, make: Make, told: str) -> None:
    """What goes, is retyped or does not hold is named by table and column; nothing changes."""
    old, new = sa.MetaData(), sa.MetaData()
    _OLD(old)
    make(new)
    await _follow(dsn, old)
    await _run(dsn, "INSERT INTO note (title) VALUES ('a')", "CREATE TABLE anybodys (id int)")
    before = await raw_catalogue(dsn)

    done = await _follow(dsn, new)
    assert done.made == ()
    assert [each for each in done.left if told in each]
    assert await raw_catalogue(dsn) == before


async def test_nothing_ever_goes(dsn: Dsn) -> None:
    """From one version of every kind of model to another, no object that was there is missing."""
    old, new = (
        models({kind: versions[which % len(versions)] for kind, versions in ZOO.items()})
        for which in (0, 1)
    )
    await _follow(dsn, old)
    before = await _objects(dsn)
    done = await _follow(dsn, new)
    assert done.made
    assert done.left
    assert before - await _objects(dsn) == set()


async def _objects(dsn: Dsn) -> set[tuple[str, ...]]:
    connection = await asyncpg.connect(dsn.for_libpq())
    found = await connection.fetch(_OBJECTS)
    await connection.close()
    return {tuple(row) for row in found}
