"""Types that asyncpg asks about: once for all connections, and never answered by a stale word."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from neonkit import Database, create_engine
from neonkit.db import PoolPolicy
from neonkit.local import WireProxy

TYPES = """
CREATE EXTENSION citext;
CREATE TYPE known_colour AS ENUM ('red', 'blue');
CREATE DOMAIN known_label AS text CHECK (value <> '');
CREATE TYPE known_spell AS RANGE (subtype = time);
CREATE TYPE known_point AS (x integer, y integer);
CREATE TABLE known_thing (
  id integer, colour known_colour, colours known_colour[], label known_label, spell known_spell,
  name citext, point known_point
);
INSERT INTO known_thing VALUES (1, 'red', '{red,blue}', 'a', '[08:00,09:00)', 'A', '(1,2)');
"""


async def _run(db: Database, script: str) -> None:
    """Run statements as a program of somebody else's would."""
    async with db.engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.execute(script)


@pytest.fixture
async def other(db: Database, neon: WireProxy) -> AsyncIterator[Database]:
    """A database of its own over the wire."""
    await _run(db, TYPES)
    async with Database(create_engine(neon.url, pool=PoolPolicy(size=3, overflow=0))) as other:
        yield other


def _select(*columns: str) -> sa.Select[*tuple[Any, ...]]:
    return sa.select(*map(sa.column, columns)).select_from(sa.table("known_thing"))


@asynccontextmanager
async def _connected(other: Database, *columns: str) -> AsyncIterator[Any]:
    """A connection of its own for the block, and what it read first."""
    engine = other.engine.execution_options(isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        yield (await connection.execute(_select(*columns))).one()


@pytest.mark.parametrize("column", ["colour", "colours", "label", "spell", "name"])
async def test_a_new_connection_knows_them(other: Database, neon: WireProxy, column: str) -> None:
    """It costs as much as one that meets no such type, while one that has asked is open."""
    async with _connected(other, "id", column), _connected(other, "id"):
        with neon.counting() as counted:
            async with _connected(other, "id", column) as row:
                assert row[0] == 1
        assert counted.count + counted.connecting <= 7


async def test_an_answer_goes_with_who_got_it(other: Database, neon: WireProxy) -> None:
    """Where no connection that has asked is open, another server may be there: it is asked."""
    async with _connected(other, "colour"):
        pass
    await other.engine.dispose()

    with neon.counting() as counted:
        async with _connected(other, "colour"):
            pass
    assert counted.count + counted.connecting > 7


async def test_a_type_that_was_made_again(other: Database, db: Database) -> None:
    """It has a number of its own, of which nobody has heard."""
    async with _connected(other, "colour"):
        await _run(
            db,
            "ALTER TABLE known_thing ALTER colour TYPE text, ALTER colours TYPE text[];"
            "DROP TYPE known_colour; CREATE DOMAIN known_colour AS integer;"
            "UPDATE known_thing SET colour = '7';"
            "ALTER TABLE known_thing ALTER colour TYPE known_colour USING colour::integer;",
        )
        async with _connected(other, "colour") as row:
            assert row[0] == 7


async def test_a_type_that_was_changed(other: Database, db: Database) -> None:
    """A new connection reads members and attributes that are new."""
    async with _connected(other, "colour", "point"):
        await _run(
            db,
            "ALTER TYPE known_colour ADD VALUE 'green'; ALTER TYPE known_point ADD ATTRIBUTE z int",
        )
        await _run(db, "UPDATE known_thing SET colour = 'green', point = '(1,2,3)'")
        async with _connected(other, "colour", "point") as row:
            assert row[0] == "green"
            assert tuple(row[1]) == (1, 2, 3)


async def test_what_a_driver_forgets_is_forgotten(other: Database, neon: WireProxy) -> None:
    """After asyncpg's own `reload_schema_state`, which DDL of this process calls, all ask anew."""
    async with other.engine.connect() as connection:
        await connection.execute(_select("colour"))
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.reload_schema_state()

        with neon.counting() as counted:
            async with _connected(other, "colour"):
                pass
    assert counted.count + counted.connecting > 7
