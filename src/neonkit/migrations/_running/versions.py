"""The revisions of a history, and which of them a database counts as its own."""

from collections.abc import Iterable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from secrets import token_hex

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from neonkit._seams.alembic import steps_to
from neonkit.dsn import Dsn
from neonkit.errors import ConfigurationError, MigrationError
from neonkit.migrations._running.steps import connected, current_of, stamp_at
from neonkit.migrations._scripts import head_of, heads_of, read_script


@dataclass(frozen=True)
class Revision:
    """A revision as people look for it.

    Attributes:
        name: what `stamp` and `downgrade` take.
        title: the first line of its docstring.
        after: the revisions that it comes after.
        is_head: true where none comes after it.
        is_current: true where the database is at it.
    """

    name: str
    title: str
    after: tuple[str, ...]
    is_head: bool
    is_current: bool = False

    def __str__(self) -> str:
        marks = [mark for mark, holds in (("head", self.is_head), ("current", self.is_current))
                 if holds]  # fmt: skip
        return f"{self.name}  {self.title}" + (f" ({', '.join(marks)})" if marks else "")


async def list_revisions(dsn: Dsn, folder: Path) -> list[Revision]:
    """List a history, newest first, with the place of the database in it.

    Raises:
        ConfigurationError: a file is not a revision.
        MigrationError: the database is away.
    """
    script = read_script(folder)
    heads = heads_of(script)
    async with connected(dsn) as connection:
        current = await connection.run_sync(current_of)
    return [
        Revision(
            each.revision,
            (each.doc or "").splitlines()[0] if each.doc else "",
            _names(each.down_revision),
            is_head=each.revision in heads,
            is_current=each.revision in current,
        )
        for each in script.walk_revisions()
    ]


async def stamp(dsn: Dsn, folder: Path, target: str) -> tuple[str, ...]:
    """Have a database count as being at a revision; no statement of it is run.

    Args:
        dsn: the direct URL.
        folder: of a `History` that is ours.
        target: a revision, `head`, or `base` for none.

    Returns:
        where the database is now.

    Raises:
        ConfigurationError: there is no such revision.
        MigrationError: the database is away.
    """
    script = read_script(folder)
    heads_of(script)
    async with connected(dsn) as connection:
        await stamp_at(connection, script, _full_name(script, target))
        return await connection.run_sync(current_of)


def merge_heads(folder: Path, message: str | None = None) -> Path | None:
    """Write a revision that comes after all of the newest ones; `None` where there is only one.

    Raises:
        ConfigurationError: a file is not a revision.
    """
    script = read_script(folder)
    heads = heads_of(script)
    if len(heads) < 2:  # noqa: PLR2004  # one has nothing to be merged with
        return None
    written = script.generate_revision(
        token_hex(6), message or f"{' and '.join(heads)} come together", head=tuple(heads)
    )
    if written is None:
        raise MigrationError("Alembic wrote no revision")
    return Path(written.path)


async def upgrade_sql(dsn: Dsn, folder: Path) -> str:
    """Write down what `upgrade` would run, for somebody else to run it; nothing is changed.

    Raises:
        ConfigurationError: the folder's revisions are not one line.
        MigrationError: the database is away, or a revision asks it something while it runs.
    """
    script = read_script(folder)
    head = head_of(script)
    async with connected(dsn) as connection:
        current = await connection.run_sync(current_of)
    out = StringIO()

    def plan(_current: tuple[str, ...], _context: MigrationContext) -> Iterable[MigrationStep]:
        return steps_to(script, head, current) if head and head not in current else ()

    context = MigrationContext.configure(
        dialect_name="postgresql",
        opts={
            "as_sql": True,
            "output_buffer": out,
            "fn": plan,
            "starting_rev": current[0] if current else None,
            "transaction_per_migration": True,
            "literal_binds": True,
        },
    )
    with Operations.context(context):
        context.run_migrations()
    return out.getvalue()


def _full_name(script: ScriptDirectory, target: str) -> str:
    if target in {"head", "heads", "base"}:
        return target
    try:
        found = script.get_revision(target)
    except CommandError:
        found = None
    if found is None:
        raise ConfigurationError(f"there is no migration {target}: `neonkit history` lists them")
    return found.revision


def _names(after: str | tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    if after is None:
        return ()
    return (after,) if isinstance(after, str) else tuple(after)
