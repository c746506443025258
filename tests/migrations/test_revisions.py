"""What a revision says, and what it does to rows that are there."""

from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from migrations.zoo import text_enum
from neonkit.dsn import Dsn
from neonkit.errors import MigrationError
from neonkit.migrations import Rename, downgrade, draft_revision, make_revision, upgrade

OLD_VALUES = """
INSERT INTO kept (number, words, is_on, at, kind, label, title) VALUES
  (7, '42', true, '2026-01-01 12:00', 'a', 'x', 'first'), (8, '43', false, NULL, 'b', 'y', 'second')
"""


def kept(*columns: sa.Column[Any]) -> sa.MetaData:
    """Models of one table."""
    metadata = sa.MetaData()
    key = sa.Column("id", sa.Integer, primary_key=True)
    sa.Table("kept", metadata, key, *columns)
    return metadata


def first_models() -> sa.MetaData:
    """A column of each kind that is converted below."""
    return kept(
        sa.Column("number", sa.Integer),
        sa.Column("words", sa.String(9)),
        sa.Column("is_on", sa.Boolean),
        sa.Column("at", sa.DateTime),
        sa.Column("kind", sa.Enum("a", "b", name="kept_kind"), server_default="a"),
        sa.Column("label", text_enum("x", "y", name="kept_label")),
        sa.Column("title", sa.Text, unique=True),
    )


def second_models() -> sa.MetaData:
    """The same columns with other types, and a new one."""
    return kept(
        sa.Column("number", sa.Text),
        sa.Column("words", sa.BigInteger),
        sa.Column("is_on", sa.SmallInteger),
        sa.Column("at", sa.DateTime(timezone=True)),
        sa.Column("kind", sa.Enum("b", "a", "c", name="kept_kind"), server_default="c"),
        sa.Column("label", text_enum("x", "y", "longer", name="kept_label")),
        sa.Column("heading", sa.Text, unique=True),
        sa.Column("views", sa.Integer, nullable=False, default=5),
        sa.Column("tags", pg.JSONB, nullable=False, default=dict),
    )


async def ask(dsn: Dsn, sql: str) -> list[tuple[object, ...]]:
    """Ask the database something."""
    connection = await asyncpg.connect(dsn.for_libpq())
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


async def test_rows_go_with_their_columns(dsn: Dsn, tmp_path: Path) -> None:
    """Values are converted, a renamed column keeps its own, a new one gets the model's default.

    The way back gives them back.
    """
    await make_revision(dsn, tmp_path, first_models())
    await upgrade(dsn, tmp_path)
    await ask(dsn, OLD_VALUES)
    before = await ask(dsn, "SELECT number, words, is_on, at, kind, label, title FROM kept")

    renames = [Rename.parse("kept.title=kept.heading")]
    file = await make_revision(dsn, tmp_path, second_models(), "more", renames=renames)
    await upgrade(dsn, tmp_path)

    rows = await ask(
        dsn,
        "SELECT number, words, is_on, to_char(at AT TIME ZONE 'UTC', 'HH24'), kind::text, label,"
        " heading, views, tags FROM kept ORDER BY number",
    )
    assert rows == [
        ("7", 42, 1, "12", "a", "x", "first", 5, "{}"),
        ("8", 43, 0, None, "b", "y", "second", 5, "{}"),
    ]
    assert await make_revision(dsn, tmp_path, second_models()) is None
    assert file is not None
    assert "kept.title is now called heading." in file.read_text()
    await ask(dsn, "ALTER TABLE kept ALTER COLUMN kind SET DEFAULT NULL")
    await downgrade(dsn, tmp_path)
    assert await ask(dsn, "SELECT number, words, is_on, at, kind, label, title FROM kept") == before


async def test_a_table_in_a_schema_gets_another_name(dsn: Dsn, tmp_path: Path) -> None:
    """As the note about it says it: its rows stay, and so they do on the way back."""
    old, new = (sa.MetaData(), sa.MetaData())
    for name, metadata in (("note", old), ("memo", new)):
        key = sa.Column("id", sa.Integer, sa.Identity(), primary_key=True)
        sa.Table(name, metadata, key, sa.Column("title", sa.Text), schema="crm")
    await make_revision(dsn, tmp_path, old)
    await upgrade(dsn, tmp_path)
    await ask(dsn, "INSERT INTO crm.note (title) VALUES ('kept')")
    (rename,) = (await draft_revision(dsn, tmp_path, new)).renames

    await make_revision(dsn, tmp_path, new, renames=[Rename.parse(str(rename))])
    await upgrade(dsn, tmp_path)
    assert await ask(dsn, "SELECT title FROM crm.memo") == [("kept",)]
    assert await make_revision(dsn, tmp_path, new) is None
    await downgrade(dsn, tmp_path)
    assert await ask(dsn, "SELECT title FROM crm.note") == [("kept",)]


async def test_what_is_slow_stands_apart_and_can_be_run_again(dsn: Dsn, tmp_path: Path) -> None:
    """A constraint that rows break leaves the revision to be run again once they are mended."""
    await make_revision(dsn, tmp_path, kept(sa.Column("n", sa.Integer)))
    await upgrade(dsn, tmp_path)
    await ask(dsn, "INSERT INTO kept (n) VALUES (-1), (NULL)")
    models = kept(
        sa.Column("n", sa.Integer, sa.CheckConstraint("n >= 0", name="positive"), nullable=False),
        sa.Column("m", sa.Integer, index=True),
    )
    file = await make_revision(dsn, tmp_path, models)
    assert file is not None
    text = file.read_text()
    apart = text.partition("autocommit_block")[2].partition("def downgrade")[0]
    assert "VALIDATE CONSTRAINT positive" in apart
    assert "CREATE INDEX CONCURRENTLY" in apart
    assert "SET NOT NULL" in apart

    with pytest.raises(MigrationError, match="is violated by some row"):
        await upgrade(dsn, tmp_path)
    await ask(dsn, "UPDATE kept SET n = 1")
    assert len(await upgrade(dsn, tmp_path)) == 1
    assert await make_revision(dsn, tmp_path, models) is None


async def test_what_no_tool_can_know_is_said(dsn: Dsn, tmp_path: Path) -> None:
    """A column without a default, and an enum's member that rows may have, stand in the file."""
    await make_revision(
        dsn, tmp_path, kept(sa.Column("kind", sa.Enum("a", "b", name="known_kind")))
    )
    file = await make_revision(
        dsn,
        tmp_path,
        kept(
            sa.Column("kind", sa.Enum("a", name="known_kind")),
            sa.Column("must", sa.Integer, nullable=False),
        ),
    )
    assert file is not None
    words = " ".join(file.read_text().split())
    assert "The enum known_kind loses 'b'." in words
    assert "rows that have 'b' of the enum known_kind must get another value first" in words
    assert "kept.must must not be NULL and has no default" in words
    draft = await draft_revision(dsn, tmp_path, kept(sa.Column("kind", sa.Text)))
    (warning,) = draft.up.warnings
    assert warning.startswith("it cannot be taken back where kept has rows: kept.must must not be")


async def test_what_people_wrote_by_hand_stays(dsn: Dsn, tmp_path: Path) -> None:
    """Functions, triggers, views and schemas that no model names are nobody's to drop."""
    file = await make_revision(dsn, tmp_path, kept(sa.Column("n", sa.Integer)))
    assert file is not None
    by_hand = '''
    op.execute("CREATE SCHEMA reports")
    op.execute("CREATE VIEW reports.all_kept AS SELECT n FROM kept")
    op.execute("""
        CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$
    """)
    op.execute("CREATE TRIGGER stay BEFORE INSERT ON kept FOR EACH ROW EXECUTE FUNCTION stay()")
'''
    text = file.read_text()
    file.write_text(text.replace("\n\ndef downgrade", f"{by_hand}\n\ndef downgrade"))
    assert await make_revision(dsn, tmp_path, kept(sa.Column("n", sa.Integer))) is None
    wider = await make_revision(dsn, tmp_path, kept(sa.Column("n", sa.BigInteger)))
    await upgrade(dsn, tmp_path)
    assert wider is not None
    assert await ask(dsn, "SELECT count(*) FROM reports.all_kept") == [(0,)]


async def test_a_failing_revision_is_named_whatever_it_raises(dsn: Dsn, tmp_path: Path) -> None:
    """An error of Python's own is one line with the revision in it, and so is a broken file."""
    (tmp_path / "versions").mkdir()
    bad = 'revision = "one"\ndown_revision = None\ndef upgrade(): nothing_such()\n'
    (tmp_path / "versions" / "one.py").write_text(bad)
    with pytest.raises(
        MigrationError, match="migration one failed: NameError: name 'nothing_such'"
    ):
        await upgrade(dsn, tmp_path)
