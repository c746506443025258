"""A revision that would hurt those who use its tables is named before it runs."""

from pathlib import Path

import pytest

from migrations.conftest import Write
from neonkit.dsn import Dsn
from neonkit.errors import ConfigurationError
from neonkit.migrations import DangerousMigrationError, lint, upgrade

TABLE = """op.execute('''CREATE TABLE posts (
  id int PRIMARY KEY, title varchar(50), price numeric(10, 2), seen timestamptz, slug text)''')"""
FILL = (
    "op.execute(\"INSERT INTO posts SELECT n, 'a', 1, now(), 'b' FROM generate_series(1, {}) n\")"
)


async def found(dsn: Dsn, folder: Path) -> list[str]:
    """The rules that the pending revisions break."""
    return [each.rule for each in await lint(dsn, folder)]


SAFE = {
    "a longer text": "op.execute('ALTER TABLE posts ALTER title TYPE varchar(60)')",
    "a text without a bound": "op.execute('ALTER TABLE posts ALTER title TYPE text')",
    "more digits": "op.execute('ALTER TABLE posts ALTER price TYPE numeric(12, 2)')",
    "an index beside them": "\n    ".join(
        [
            "with op.get_context().autocommit_block():",
            "    op.create_index('ix', 'posts', ['slug'], postgresql_concurrently=True)",
        ]
    ),
    "a column with a default": (
        "op.add_column('posts', sa.Column('n', sa.Integer, server_default='1', nullable=False))"
    ),
    "a few rows": "op.execute('UPDATE posts SET slug = title')",
    "a table that it makes": "\n    ".join(
        [
            "op.execute('CREATE TABLE other (id int)')",
            "op.execute('INSERT INTO other SELECT 1')",
            "op.execute('ALTER TABLE other ADD UNIQUE (id)')",
        ]
    ),
    "an empty table": "\n    ".join(["op.execute('ALTER TABLE nobody ALTER id TYPE bigint')"]),
}
DANGEROUS = {
    "a shorter text": (
        "op.execute('ALTER TABLE posts ALTER title TYPE varchar(9)')",
        "change-type",
    ),
    "another scale": (
        "op.execute('ALTER TABLE posts ALTER price TYPE numeric(12, 3)')",
        "change-type",
    ),
    "text to number": (
        "op.alter_column('posts', 'slug', type_=sa.Integer(), postgresql_using='1')",
        "change-type",
    ),
    "no NULL any more": ("op.alter_column('posts', 'slug', nullable=False)", "set-not-null"),
    "an index": ("op.create_index('ix', 'posts', ['slug'])", "index"),
    "a constraint": (
        "op.create_unique_constraint('uq', 'posts', ['id', 'slug'])",
        "unique-constraint",
    ),
    "a dropped column": ("op.drop_column('posts', 'slug')", "drop-column"),
    "a renamed one": ("op.alter_column('posts', 'slug', new_column_name='s')", "rename-column"),
    "a dropped table": ("op.drop_table('posts')", "drop-table"),
    "what it reads first": ("op.get_bind().execute(sa.text('SELECT 1')).one()", "unjudged"),
}  # fmt: skip


@pytest.fixture
async def in_use(dsn: Dsn, folder: Path, write: Write) -> None:
    """A database with a table that has rows, and one that has none."""
    write(TABLE, FILL.format(10), "op.execute('CREATE TABLE nobody (id int)')")
    assert await found(dsn, folder) == []  # all of it is new
    await upgrade(dsn, folder, refuses_danger=True)


@pytest.mark.usefixtures("in_use")
@pytest.mark.parametrize("kind", SAFE)
async def test_what_hurts_nobody_is_let_through(
    dsn: Dsn, folder: Path, write: Write, kind: str
) -> None:
    """What PostgreSQL does without reading or rewriting a table in use needs no reason."""
    write(SAFE[kind])
    assert await found(dsn, folder) == []
    assert await upgrade(dsn, folder, refuses_danger=True) == ("r1",)


@pytest.mark.usefixtures("in_use")
@pytest.mark.parametrize("kind", DANGEROUS)
async def test_what_hurts_is_refused_until_a_reason_is_given(
    dsn: Dsn, folder: Path, write: Write, kind: str
) -> None:
    """It is named with the safe way, and nothing is changed; a reason lets it through."""
    body, rule = DANGEROUS[kind]
    write(body)
    with pytest.raises(DangerousMigrationError, match=rule) as caught:
        await upgrade(dsn, folder, refuses_danger=True)
    assert "instead: " in str(caught.value)
    assert await found(dsn, folder) == [rule]  # it is still to be applied

    file = folder / "versions" / "r1.py"
    file.write_text(f'{file.read_text()}\nallow = {{"{rule}": "nobody is there at night"}}')
    (finding,) = await lint(dsn, folder)
    assert finding.reason == "nobody is there at night"
    assert await upgrade(dsn, folder, refuses_danger=True) == ("r1",)


@pytest.mark.usefixtures("in_use")
async def test_a_check_makes_not_null_safe(dsn: Dsn, folder: Path, write: Write) -> None:
    """Once a constraint is validated, SET NOT NULL reads nothing, now or in a later run."""
    write('op.execute("ALTER TABLE posts ADD CONSTRAINT c CHECK (slug IS NOT NULL) NOT VALID")')
    write('op.execute("ALTER TABLE posts VALIDATE CONSTRAINT c")')
    write('op.alter_column("posts", "slug", nullable=False)')
    assert await found(dsn, folder) == []
    (folder / "versions" / "r3.py").rename(folder / "r3.py")
    await upgrade(dsn, folder, refuses_danger=True)
    (folder / "r3.py").rename(folder / "versions" / "r3.py")
    assert await upgrade(dsn, folder, refuses_danger=True) == ("r3",)


@pytest.mark.usefixtures("in_use")
async def test_a_check_that_goes_in_the_same_statement_proves_nothing(
    dsn: Dsn, folder: Path, write: Write
) -> None:
    """PostgreSQL drops it first, and then reads every row under the lock."""
    write('op.execute("ALTER TABLE posts ADD CONSTRAINT c CHECK (slug IS NOT NULL) NOT VALID")')
    write('op.execute("ALTER TABLE posts VALIDATE CONSTRAINT c")')
    write('op.execute("ALTER TABLE posts ALTER slug SET NOT NULL, DROP CONSTRAINT c")')
    assert await found(dsn, folder) == ["set-not-null"]


@pytest.mark.usefixtures("in_use")
async def test_validating_under_the_lock_of_before_is_found(
    dsn: Dsn, folder: Path, write: Write
) -> None:
    """NOT VALID helps nothing where the same transaction validates."""
    write(
        'op.execute("ALTER TABLE posts ADD CONSTRAINT c CHECK (id > 0) NOT VALID")',
        'op.execute("ALTER TABLE posts VALIDATE CONSTRAINT c")',
    )
    assert await found(dsn, folder) == ["validate"]


@pytest.mark.parametrize(
    "allow", ['{"drop-colum": "x"}', '{"drop-column": " "}', '["drop-column"]']
)
async def test_a_wrong_permission_is_told(dsn: Dsn, folder: Path, write: Write, allow: str) -> None:
    """A misspelled rule, or none of a reason, permits nothing in silence."""
    write(TABLE, more=f"allow = {allow}")
    with pytest.raises(ConfigurationError, match="r0"):
        await lint(dsn, folder)


async def test_many_rows_in_one_statement_are_found(dsn: Dsn, folder: Path, write: Write) -> None:
    """More rows than can be changed in no time go in batches; a backfill is safe."""
    write(TABLE, FILL.format(10_001))
    await upgrade(dsn, folder)
    write('op.execute("UPDATE posts SET slug = title")')
    write("backfill('posts', {'slug': 'title'}, where=\"slug = 'b'\")")
    assert await found(dsn, folder) == ["rows-at-once"]
