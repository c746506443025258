"""The starter's migrations make what its models say."""

from pathlib import Path

import pytest
from sqlalchemy import Connection, MetaData, text

import neonkit_starter.app
from neonkit import Database, create_engine
from neonkit.db._wire.dialect import NeonDialect
from neonkit.migrations import difference, upgrade
from neonkit_starter.users.models import User

FOLDER = Path(neonkit_starter.app.__file__).parent / "migrations"
RULES = text("""
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid)
FROM pg_trigger WHERE NOT tgisinternal
""")


def _starters() -> MetaData:
    """The starter's tables alone: other tests declare models of their own."""
    own = MetaData(naming_convention={"ck": "ck_%(table_name)s_%(constraint_name)s"})
    for mapper in User._sa_registry.mappers:
        if mapper.class_.__module__.startswith("neonkit_starter."):
            mapper.class_.__table__.to_metadata(own)
    return own


def _rules(connection: Connection) -> set[tuple[str, ...]]:
    own = _starters().tables
    return {tuple(row) for row in connection.execute(RULES) if row[0] in own}


def _changes(connection: Connection) -> list[object]:
    found = difference(connection, _starters()).upgrade_ops
    assert found is not None
    return list(found.as_diffs())


@pytest.mark.real_commits
async def test_migrations_equal_the_models(db: Database) -> None:
    """From nothing to head there is no table, column, rule or index that `create_all` lacks."""
    dialect = db.engine.dialect
    assert isinstance(dialect, NeonDialect)
    async with db.engine.connect() as connection:
        expected = await connection.run_sync(_rules)
    assert expected
    async with db.engine.begin() as connection:
        await connection.execute(text("DROP SCHEMA public CASCADE"))
        await connection.execute(text("CREATE SCHEMA public"))

    dsn = dialect.connector.dsn
    assert len(await upgrade(dsn, FOLDER)) >= 1

    async with Database(create_engine(dsn)) as migrated, migrated.engine.connect() as connection:
        assert await connection.run_sync(_changes) == []
        assert await connection.run_sync(_rules) == expected
