"""A new revision: the difference between what the history makes and what the models say."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alembic.operations import ops
from sqlalchemy import Connection, MetaData
from sqlalchemy.ext.asyncio import AsyncConnection

from neonkit.db import dsn_of, schemas_of
from neonkit.dsn import Dsn
from neonkit.migrations._catalogue.catalogue import Catalogue
from neonkit.migrations._catalogue.reading import read_catalogue
from neonkit.migrations._comparison.catalogues import plan_change
from neonkit.migrations._comparison.fills import fills_of
from neonkit.migrations._comparison.plan import Plan
from neonkit.migrations._comparison.renames import Rename, possible_renames
from neonkit.migrations._errors import explained
from neonkit.migrations._running.scratch import catalogue_of_models, scratch
from neonkit.migrations._running.steps import connected, run_to
from neonkit.migrations._scripts import head_of, read_script
from neonkit.migrations._writing.revision_file import write_revision

_BACK = "its way back leaves"

Metadata = MetaData | Sequence[MetaData]


@dataclass(frozen=True)
class Draft:
    """A revision that is not written yet.

    Attributes:
        up: what it would do; empty where the models say nothing new.
        down: what would take it back.
        renames: columns and tables that may only have another name, for somebody to say so.
    """

    up: Plan
    down: Plan
    renames: tuple[Rename, ...] = ()


async def make_revision(
    dsn: Dsn,
    folder: Path,
    metadata: Metadata,
    message: str | None = None,
    *,
    renames: Collection[Rename] = (),
) -> Path | None:
    """Write the revision that brings the history to the models.

    The revisions that are there are run in a database made for it and dropped again, and so is the
    new one, there and back: the state of nobody's own database matters.

    Args:
        dsn: any database of a server on which the role may create one; not a pooler's.
        folder: where the history is, or will be.
        metadata: every table of the app.
        message: what changes, in a few words; part of the file's name.
        renames: what has another name now; without them it would go, and come back empty.

    Returns:
        the new file; `None` where the models say nothing new.

    Raises:
        ConfigurationError: the folder's revisions are not one line.
        MigrationError: the server cannot be used, a revision of the folder fails, or the new one
            would.
    """
    draft = await draft_revision(dsn, folder, metadata, renames=renames)
    return write_draft(folder, draft, message)


def write_draft(folder: Path, draft: Draft, message: str | None = None) -> Path | None:
    """Put a draft into a history; `None` where it would do nothing."""
    if draft.up.is_empty:
        return None
    script = read_script(folder)
    default = "changes of the models" if head_of(script) else "the first tables"
    return write_revision(script, message or default, draft.up, draft.down)


def write_empty(folder: Path, message: str | None = None) -> Path:
    """Write a revision that does nothing yet, for work by hand such as a backfill.

    Raises:
        ConfigurationError: the folder's revisions are not one line.
    """
    script = read_script(folder)
    head_of(script)
    return write_revision(script, message or "work by hand", Plan(), Plan())


async def draft_revision(
    dsn: Dsn, folder: Path, metadata: Metadata, *, renames: Collection[Rename] = ()
) -> Draft:
    """Find out what the next revision would do, and try it.

    Args:
        dsn: any database of a server on which the role may create one; not a pooler's.
        folder: where the history is, or will be.
        metadata: every table of the app.
        renames: what has another name now.

    Raises:
        ConfigurationError: the folder's revisions are not one line.
        MigrationError: the server cannot be used, a revision of the folder fails, or the new one
            would.
    """
    metadatas = each_of(metadata)
    script = read_script(folder)
    head = head_of(script)
    async with scratch(dsn) as connection:
        if head is not None:
            await connection.run_sync(run_to, script, head)
        models = await catalogue_of_models(dsn, metadatas)
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        original = await connection.run_sync(read_catalogue)
        renames = [rename.among(original.tables) for rename in renames]
        await _run(connection, [rename.statement for rename in renames])
        before = await connection.run_sync(read_catalogue)
        target = models.keeping(before)
        up = plan_change(before, target, await connection.run_sync(fills_of, metadatas))
        await _try(connection, up, target, "the revision leaves")
        back = [rename.reverse for rename in reversed([*renames])]
        await _run(connection, [rename.statement for rename in back])
        down = plan_change(await connection.run_sync(read_catalogue), original)
        await _try(connection, down, original, _BACK)
    up.warnings += [each for each in down.warnings if each.startswith(_BACK)]
    up.warnings += _ways_back_without_rows(before, target)
    _name(up, renames)
    _name(down, back)
    return Draft(up, down, tuple(possible_renames(before, target)))


async def complete(dsn: Dsn, metadata: Metadata, *, leaving_out: Collection[str] = ()) -> Plan:
    """Bring a database to what the models say, as the next revision would.

    It is for databases that can be made again: nothing is asked for, and columns that the models
    have no longer go.

    Args:
        dsn: a database at head; its role may create another one.
        metadata: every table of the app, and maybe others.
        leaving_out: the names of those others, and of sequences.

    Returns:
        what it did.

    Raises:
        MigrationError: the server cannot be used, or the models ask for what cannot be done.
    """
    metadatas = each_of(metadata)
    models = await catalogue_of_models(dsn, metadatas)
    async with connected(dsn) as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        there = await connection.run_sync(read_catalogue)
        target = models.without(leaving_out).keeping(there)
        plan = plan_change(there, target, await connection.run_sync(fills_of, metadatas))
        await _run(connection, plan.statements)
    return plan


def difference(connection: Connection, metadata: Metadata) -> ops.MigrationScript:
    """The steps that would make the database what the models say.

    The models' tables are made in a database beside it, which is dropped again; both are compared
    as PostgreSQL's catalogue has them. Left out: the toolkit's own tables, those of extensions,
    schemas that no model names, and the views, functions and triggers that models do not make.

    Args:
        connection: of an engine made by `neonkit.create_engine`; its role may create a database.
        metadata: every table of the app.
    """
    up, down = compare(connection, metadata)
    return ops.MigrationScript(
        rev_id=None,
        upgrade_ops=ops.UpgradeOps([ops.ExecuteSQLOp(each) for each in up.statements]),
        downgrade_ops=ops.DowngradeOps([ops.ExecuteSQLOp(each) for each in down.statements]),
    )


def compare(
    connection: Connection, metadata: Metadata, *, keeps_tables: bool = False
) -> tuple[Plan, Plan]:
    """Compare a database with models.

    Args:
        connection: of an engine made by `neonkit.create_engine`; its role may create a database.
        metadata: every table of the app.
        keeps_tables: whether tables that no model names are somebody else's.

    Returns:
        the plan that leads from the database to the models, and the one that leads back.
    """
    metadatas = each_of(metadata)
    dsn = dsn_of(connection)
    models: Catalogue = connection.connection.run_async(
        lambda _: catalogue_of_models(dsn, metadatas)
    )
    there = read_catalogue(connection, schemas_of(*metadatas))
    target = models.keeping(there, tables=keeps_tables)
    return plan_change(there, target), plan_change(target, there)


def each_of(metadata: Metadata) -> tuple[MetaData, ...]:
    """One or several, as several."""
    return (metadata,) if isinstance(metadata, MetaData) else tuple(metadata)


def _ways_back_without_rows(old: Catalogue, new: Catalogue) -> Iterator[str]:
    """Columns that cannot come back to rows: nothing says what to put there."""
    for table in old.tables.keys() & new.tables.keys():
        for name, column in old.tables[table].columns.items():
            is_lost = name not in new.tables[table].columns and not column.has_null
            if is_lost and column.default is None and not column.identity:
                yield (
                    f"it cannot be taken back where {table} has rows: {table}.{name} must not be "
                    "NULL and has no default; let it be NULL in a release before"
                )


def _name(plan: Plan, renames: Collection[Rename]) -> None:
    for rename in renames:
        plan.rename(rename.statement, rename.words)


async def _try(connection: AsyncConnection, plan: Plan, target: Catalogue, what: str) -> None:
    """Run a plan where nothing can be lost, and see whether it leads where it should."""
    await _run(connection, plan.statements)
    left = plan_change(await connection.run_sync(read_catalogue), target)
    if not left.is_empty:
        plan.warnings.append(f"{what} a difference: {' '.join(left.words) or left.statements}")


async def _run(connection: AsyncConnection, statements: Sequence[str]) -> None:
    for statement in statements:
        first = " ".join(statement.split())[:80]
        with explained(f"the models ask for what cannot be done ({first})"):
            await connection.exec_driver_sql(statement)
