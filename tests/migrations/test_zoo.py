"""From any version of any models to any other by revision, and back: PostgreSQL's word on it."""

import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from migrations.raw_catalogue import compared, raw_catalogue
from migrations.zoo import ZOO, models
from neonkit.db import create_engine, make_tables
from neonkit.dsn import Dsn
from neonkit.migrations import difference, downgrade, make_revision, upgrade

PAIRS = int(os.environ.get("PAIRS", "1"))
CHANGES = sum(len(versions) * (len(versions) - 1) for versions in ZOO.values())

Choice = dict[str, int]

# rows in which NULL stands where it must not any more, numbers where there are to be uuids, or a
# member that the enum loses: no tool can know what to put there
NOT_FILLED = {"col_null", "col_domain", "col_identity", "col_enum_default", "key"}


@st.composite
def choices(draw: st.DrawFn) -> tuple[Choice, Choice]:
    """A version of each kind, and another one."""
    old = {kind: draw(st.integers(0, len(ZOO[kind]) - 1)) for kind in ZOO}
    steps = {kind: draw(st.integers(1, len(ZOO[kind]) - 1)) for kind in ZOO}
    return old, {kind: (old[kind] + steps[kind]) % len(ZOO[kind]) for kind in ZOO}


def test_the_zoo_is_large() -> None:
    """There are eighty kinds of models, and far more than sixty kinds of change."""
    assert len(ZOO) >= 80
    assert CHANGES >= 500


@settings(
    max_examples=PAIRS,
    deadline=None,
    derandomize=PAIRS == 1,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(pair=choices())
async def test_any_version_becomes_any_other(dsn: Dsn, pair: tuple[Choice, Choice]) -> None:
    """The catalogue is `create_all`'s, nothing is left to do, rows stay; the way back leads back.

    PAIRS=200 is its long form.
    """
    await _empty(dsn)
    old, new = (models({kind: ZOO[kind][which] for kind, which in each.items()}) for each in pair)
    with TemporaryDirectory() as folder:
        versions = Path(folder) / "migrations"
        first = await make_revision(dsn, versions, old)
        assert first is not None
        await upgrade(dsn, versions)
        before = await raw_catalogue(dsn)
        assert compared(before, await _made(dsn, old)) == []
        rows = await _fill(dsn)

        second = await make_revision(dsn, versions, new)
        await upgrade(dsn, versions)
        assert second is not None
        assert "To be seen to: the revision leaves" not in second.read_text()
        assert compared(await raw_catalogue(dsn), await _made(dsn, new)) == []
        assert await _left(dsn, new) == []
        kept = await _count(dsn)
        assert {table: kept[table] for table in rows if table in kept} == {
            table: count for table, count in rows.items() if table in kept
        }

        await _forget_rows(dsn)
        await downgrade(dsn, versions)
        assert compared(await raw_catalogue(dsn), before) == []


async def _made(dsn: Dsn, metadata: sa.MetaData) -> dict[str, list[str]]:
    """The catalogue of what `create_all` makes."""
    other = dsn.replace(database=f"{dsn.database}_made")
    connection = await asyncpg.connect(dsn.for_libpq())
    try:
        await connection.execute(f'CREATE DATABASE "{other.database}" TEMPLATE template0')
        engine = create_engine(other)
        try:
            async with engine.begin() as made:
                await made.run_sync(make_tables, metadata)
        finally:
            await engine.dispose()
        return await raw_catalogue(other)
    finally:
        await connection.execute(f'DROP DATABASE IF EXISTS "{other.database}" WITH (FORCE)')
        await connection.close()


async def _left(dsn: Dsn, metadata: sa.MetaData) -> list[object]:
    engine = create_engine(dsn)
    try:
        async with engine.connect() as connection:
            script = await connection.run_sync(difference, metadata)
    finally:
        await engine.dispose()
    assert script.upgrade_ops is not None
    return list(script.upgrade_ops.as_diffs())


async def _empty(dsn: Dsn) -> None:
    connection = await asyncpg.connect(dsn.for_libpq())
    names = await connection.fetch(
        "SELECT nspname FROM pg_namespace"
        " WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
    )
    for (name,) in names:
        await connection.execute(f'DROP SCHEMA "{name}" CASCADE')
    await connection.execute("CREATE SCHEMA public")
    await connection.close()


async def _tables(connection: asyncpg.Connection) -> list[str]:
    found = await connection.fetch(
        "SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_namespace AS n"
        " ON n.oid = relnamespace WHERE relkind = 'r' AND nspname !~ '^pg_'"
        " AND nspname <> 'information_schema' AND relname <> 'alembic_version'"
    )
    return [name for (name,) in found]


async def _fill(dsn: Dsn) -> dict[str, int]:
    """Put a row into every table that takes one of defaults."""
    connection = await asyncpg.connect(dsn.for_libpq())
    for table in {*await _tables(connection)} - NOT_FILLED:
        with suppress(asyncpg.IntegrityConstraintViolationError):
            await connection.execute(f"INSERT INTO {table} DEFAULT VALUES")
    counts = {table: await connection.fetchval(f"SELECT count(*) FROM {table}")
              for table in await _tables(connection)}  # fmt: skip
    await connection.close()
    return counts


async def _count(dsn: Dsn) -> dict[str, int]:
    connection = await asyncpg.connect(dsn.for_libpq())
    counts = {table: await connection.fetchval(f"SELECT count(*) FROM {table}")
              for table in await _tables(connection)}  # fmt: skip
    await connection.close()
    return counts


async def _forget_rows(dsn: Dsn) -> None:
    connection = await asyncpg.connect(dsn.for_libpq())
    for table in await _tables(connection):
        await connection.execute(f"TRUNCATE {table} CASCADE")
    await connection.close()


@pytest.mark.parametrize("kind", ZOO if PAIRS > 1 else [sorted(ZOO)[0]])
async def test_each_version_becomes_each_other(dsn: Dsn, kind: str) -> None:
    """Every change of the zoo by itself: of one kind, and of all in the long form."""
    for old in ZOO[kind]:
        for new in ZOO[kind]:
            if old is not new:
                await _step(dsn, models({kind: old}), models({kind: new}))


async def _step(dsn: Dsn, old: sa.MetaData, new: sa.MetaData) -> None:
    await _empty(dsn)
    with TemporaryDirectory() as folder:
        versions = Path(folder) / "migrations"
        await make_revision(dsn, versions, old)
        await upgrade(dsn, versions)
        before = await raw_catalogue(dsn)
        if await make_revision(dsn, versions, new) is None:
            assert compared(before, await _made(dsn, new)) == []
            return
        await upgrade(dsn, versions)
        assert compared(await raw_catalogue(dsn), await _made(dsn, new)) == []
        await downgrade(dsn, versions)
        assert compared(await raw_catalogue(dsn), before) == []
