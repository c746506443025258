"""Databases that others made become ones with a history, and nothing of theirs is lost."""

from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.config import Config
from sqlmodel import SQLModel

from migrations.raw_catalogue import raw_catalogue
from neonkit.db import create_engine
from neonkit.dsn import Dsn
from neonkit.errors import MigrationError
from neonkit.history import find_history
from neonkit.migrations import (
    adopt,
    carry_over,
    downgrade,
    list_revisions,
    make_revision,
    merge_heads,
    stamp,
    upgrade,
    upgrade_sql,
)

OTHERS = """
CREATE TYPE user_role AS ENUM ('ADMIN', 'USER');
CREATE TABLE "user" (
  id serial PRIMARY KEY,
  email varchar(100) NOT NULL UNIQUE,
  role user_role NOT NULL,
  balance numeric(10, 2) CHECK (balance >= 0)
);
CREATE TABLE item (id serial PRIMARY KEY, owner_id integer NOT NULL REFERENCES "user" (id));
CREATE INDEX ix_item_owner_id ON item (owner_id);
INSERT INTO "user" (email, role) VALUES ('a@x.org', 'ADMIN');
INSERT INTO item (owner_id) VALUES (1);
"""
ALEMBIC = """
[alembic]
script_location = %(here)s/theirs
"""
THEIR_ENV = """
import os
from alembic import context
from sqlalchemy import create_engine
with create_engine(os.environ["THEIR_URL"]).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
THEIR_REVISION = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "theirs1", None
def upgrade():
    op.create_table("thing", sa.Column("id", sa.Integer(), nullable=False),
                    sa.PrimaryKeyConstraint("id"), sa.Column("name", sa.String(9), unique=True))
def downgrade():
    op.drop_table("thing")
"""


def others_models() -> sa.MetaData:
    """What the database above is, with PostgreSQL's own names for its constraints."""
    metadata = sa.MetaData()
    sa.Table(
        "user",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("email", sa.String(100), nullable=False, unique=True),
        sa.Column("role", sa.Enum("ADMIN", "USER", name="user_role"), nullable=False),
        sa.Column("balance", sa.Numeric(10, 2), sa.CheckConstraint("balance >= 0")),
    )
    sa.Table(
        "item",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("owner_id", sa.Integer, sa.ForeignKey("user.id"), nullable=False, index=True),
    )
    return metadata


async def run(dsn: Dsn, sql: str) -> None:
    """Run a script."""
    connection = await asyncpg.connect(dsn.for_libpq())
    await connection.execute(sql)
    await connection.close()


async def test_what_equals_the_models_is_stamped(dsn: Dsn, tmp_path: Path) -> None:
    """Constraint names of PostgreSQL's and a native enum are as they are; only the stamp is new."""
    await run(dsn, f"{OTHERS} CREATE TABLE foreign_to_us (id integer)")
    before = await raw_catalogue(dsn)

    done = await adopt(dsn, tmp_path, others_models())

    assert done.stamped is not None
    assert done.left_alone == ("foreign_to_us",)
    assert await raw_catalogue(dsn) == before
    assert await upgrade(dsn, tmp_path) == ()
    assert await make_revision(dsn, tmp_path, others_models()) is None
    with pytest.raises(MigrationError, match="has a history already"):
        await adopt(dsn, tmp_path, others_models())


async def test_what_differs_is_shown_and_left(dsn: Dsn, tmp_path: Path) -> None:
    """Three differences in words and SQL; no file, no stamp; `as_it_is` is the way on."""
    await run(dsn, OTHERS)
    await run(dsn, 'ALTER TABLE "user" DROP CONSTRAINT user_email_key, ALTER role DROP NOT NULL')
    await run(dsn, "ALTER TABLE item ALTER COLUMN owner_id TYPE bigint")
    before = await raw_catalogue(dsn)

    done = await adopt(dsn, tmp_path, others_models())

    assert done.stamped is None
    assert sorted(done.difference.words) == [
        '"user" gets the unique user_email_key: UNIQUE (email).',
        '"user".role must not be NULL.',
        "item.owner_id becomes integer (it was bigint).",
    ]
    assert await raw_catalogue(dsn) == before
    assert not (tmp_path / "versions").exists()

    begun = await adopt(dsn, tmp_path, others_models(), as_it_is=True)
    assert begun.stamped is not None
    assert await make_revision(dsn, tmp_path, others_models(), "as the models say") is not None
    assert len(await upgrade(dsn, tmp_path)) == 1
    assert await make_revision(dsn, tmp_path, others_models()) is None
    assert (await run_one(dsn, 'SELECT email FROM "user"')) == "a@x.org"
    await downgrade(dsn, tmp_path)
    after = await raw_catalogue(dsn)
    assert after["columns"] == before["columns"]


async def test_tables_that_create_all_made_count_as_their_revision(
    dsn: Dsn, tmp_path: Path
) -> None:
    """The first `migrate` applies nothing of what is there already, and all that came later."""
    engine = create_engine(dsn)
    async with engine.begin() as connection:
        await connection.run_sync(others_models().create_all)
    await engine.dispose()
    await make_revision(dsn, tmp_path, others_models())
    later = others_models()
    sa.Table("later", later, sa.Column("id", sa.Integer, primary_key=True))
    second = await make_revision(dsn, tmp_path, later)
    assert second is not None

    assert [*await upgrade(dsn, tmp_path)] == [second.stem.rpartition("_")[2]]


async def test_tables_of_another_making_lead_to_adopt(dsn: Dsn, tmp_path: Path) -> None:
    """Where they are not what the first revision makes, the error names the command."""
    await make_revision(dsn, tmp_path, others_models())
    await run(dsn, "CREATE TABLE item (id integer)")
    with pytest.raises(MigrationError, match="no history: `neonkit adopt` says what differs"):
        await upgrade(dsn, tmp_path)


async def test_an_alembic_history_is_carried_over(dsn: Dsn, tmp_path: Path) -> None:
    """Its revisions make the same under neonkit, names included; alembic.ini names the copy."""
    theirs = tmp_path / "theirs"
    (theirs / "versions").mkdir(parents=True)
    (theirs / "env.py").write_text(THEIR_ENV)
    (theirs / "versions" / "one.py").write_text(THEIR_REVISION)
    (tmp_path / "alembic.ini").write_text(ALEMBIC)
    history = find_history(tmp_path / "migrations", tmp_path)
    assert history.is_foreign

    folder = carry_over(history)

    assert find_history(folder, tmp_path).is_ours
    location = Config(tmp_path / "alembic.ini").get_main_option("script_location")
    assert location == "migrations"
    assert await upgrade(dsn, folder) == ("theirs1",)
    metadata = sa.MetaData()
    name = sa.Column("name", sa.String(9), unique=True)
    sa.Table("thing", metadata, sa.Column("id", sa.Integer, primary_key=True), name)
    draft = await make_revision(dsn, folder, metadata)
    assert draft is None  # `thing_name_key` and all


async def test_pyproject_names_an_alembic_history_too(tmp_path: Path) -> None:
    """`[tool.alembic]` claims the history as alembic.ini does."""
    (tmp_path / "pyproject.toml").write_text('[tool.alembic]\nscript_location = "%(here)s/db"\n')
    history = find_history(tmp_path / "migrations", tmp_path)
    assert history.owner == (tmp_path / "db").resolve()


async def test_a_history_can_be_read_stamped_merged_and_written_as_sql(
    dsn: Dsn, tmp_path: Path
) -> None:
    """Two newest revisions come together; a DBA gets the SQL; a stamp runs nothing."""
    await make_revision(dsn, tmp_path, others_models(), "the first")
    sql = await upgrade_sql(dsn, tmp_path)
    assert 'CREATE TABLE "user" (' in sql
    assert "INSERT INTO alembic_version" in sql
    await stamp(dsn, tmp_path, "head")
    assert await upgrade(dsn, tmp_path) == ()
    (first,) = await list_revisions(dsn, tmp_path)
    assert (first.is_head, first.is_current, first.title) == (True, True, "The first.")

    for name in ("left", "right"):
        text = f'revision = "{name}"\ndown_revision = "{first.name}"\ndef upgrade(): pass\n'
        (tmp_path / "versions" / f"{name}.py").write_text(text + "def downgrade(): pass\n")
    merged = merge_heads(tmp_path)
    assert merged is not None
    assert len(await upgrade(dsn, tmp_path)) == 3
    assert merge_heads(tmp_path) is None


async def run_one(dsn: Dsn, sql: str) -> object:
    """Ask for one value."""
    connection = await asyncpg.connect(dsn.for_libpq())
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def test_importing_neonkit_renames_nothing_of_plain_tables() -> None:
    """A plain SQLModel table leaves names to PostgreSQL, and its indexes SQLAlchemy's names."""
    table = sa.Table(
        "named_by_nobody",
        SQLModel.metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("code", sa.Integer, unique=True, index=True),
    )
    try:
        assert {rule.name for rule in table.constraints} == {None}
        assert [index.name for index in table.indexes] == ["ix_named_by_nobody_code"]
    finally:
        SQLModel.metadata.remove(table)
