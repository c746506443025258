"""Bringing a database to head: over the direct URL, one process at a time."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from neonkit._seams.alembic import steps_back
from neonkit.db import bring_schema
from neonkit.dsn import Dsn
from neonkit.errors import MigrationError
from neonkit.migrations._lint.findings import (
    DangerousMigrationError,
    Finding,
    Pending,
    concurrent_indexes,
    findings_in,
    read_pending,
)
from neonkit.migrations._running.equality import equal_revision
from neonkit.migrations._running.patience import run_patiently
from neonkit.migrations._running.steps import (
    connected,
    current_of,
    pending_steps,
    run_back,
    run_to,
    stamp_at,
    take_lock,
)
from neonkit.migrations._scripts import head_of, heads_of, knows, read_script

_NO_HISTORY = "the database has tables, and no history: `neonkit adopt` says what differs"
_INVALID = text("""
SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON oid = indexrelid
WHERE NOT indisvalid AND relname = ANY(:names)
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE index_relid = indexrelid)
""")


async def upgrade(
    dsn: Dsn,
    folder: Path,
    *,
    patience: float = 600.0,
    lock_patience: float = 60.0,
    refuses_danger: bool = False,
) -> tuple[str, ...]:
    """Apply the revisions that a database lacks, each in a transaction of its own.

    Safe from many processes at once: one runs them under a session's advisory lock, the others
    wait and find nothing left to do. A database at head is asked one question and not locked.
    A database without a history whose tables are exactly what a revision makes, since `create_all`
    made them, counts as being at that revision.

    The service's timeouts do not hold here: a statement may run for a week. It waits a tenth of a
    second for a lock behind which others would queue up; the revision is run again a little later.

    Args:
        dsn: the direct URL; a pooler would take the lock's session away.
        folder: of a `History` that is ours.
        patience: seconds to wait while another process migrates.
        lock_patience: seconds in which a revision is tried that meets a locked table.
        refuses_danger: whether a revision that would hurt those who use its tables is refused.

    Returns:
        the revisions that were applied, oldest first.

    Raises:
        ConfigurationError: the folder's revisions are not one line.
        MigrationError: a revision failed, the database is away or has a revision that the folder
            lacks, or another process held the lock for too long.
        DangerousMigrationError: a statement would hurt, and its revision does not say why not.
    """
    script = read_script(folder)
    head = head_of(script)
    if head is None:
        return ()
    async with connected(dsn) as connection:
        if await connection.run_sync(_is_at, script, head):
            return ()
        await take_lock(connection, patience)
        equal = await _equal(connection, dsn, folder)
        if equal is not None:
            await stamp_at(connection, script, equal)
        pending = read_pending(await connection.run_sync(pending_steps, script, head))
        if refuses_danger:
            await connection.run_sync(_refuse_danger, pending)
        await _drop_invalid(connection, concurrent_indexes(pending))
        try:
            run = partial(run_to, script=script, head=head)
            await run_patiently(connection, run, lock_patience)
        except MigrationError as error:
            if "already exists" in str(error) and not await connection.run_sync(current_of):
                raise MigrationError(f"{error}; {_NO_HISTORY}") from error
            raise
        return tuple(each.step.revision.revision for each in pending)


async def lint(dsn: Dsn, folder: Path) -> list[Finding]:
    """Judge the revisions that a database lacks, and change nothing.

    Raises:
        ConfigurationError: the folder's revisions are not one line, or allow what is no rule.
        MigrationError: the database is away, or has a revision that the folder lacks.
    """
    script = read_script(folder)
    head = head_of(script)
    if head is None:
        return []
    async with connected(dsn) as connection:
        await connection.run_sync(_is_at, script, head)
        pending = read_pending(await connection.run_sync(pending_steps, script, head))
        return await connection.run_sync(partial(findings_in, pending))


async def downgrade(
    dsn: Dsn, folder: Path, target: str = "-1", *, patience: float = 600.0
) -> tuple[str, ...]:
    """Take revisions back, each in a transaction of its own; as careful as `upgrade`.

    Args:
        dsn: the direct URL; a pooler would take the lock's session away.
        folder: of a `History` that is ours.
        target: the revision that is to be the newest, `base` for none, or `-1` for one step.
        patience: seconds to wait while another process migrates.

    Returns:
        the revisions that were taken back, newest first.

    Raises:
        ConfigurationError: the folder's revisions cannot be read.
        MigrationError: a revision failed, the database is away or has a revision that the folder
            lacks, the target is no revision below, or another process held the lock for too long.
    """
    script = read_script(folder)
    heads_of(script)
    async with connected(dsn) as connection:
        await take_lock(connection, patience)
        await connection.run_sync(_is_at, script, target)
        before = await connection.run_sync(current_of)
        await connection.rollback()
        back = tuple(step.revision.revision for step in steps_back(script, target, before))
        await run_patiently(connection, partial(run_back, script=script, target=target), 60.0)
        return back


async def upgrade_schema(dsn: Dsn) -> None:
    """Bring the schema `neonkit`, the toolkit's own tables, to this release.

    It is beside any history that the app has, and does not touch it.

    Raises:
        MigrationError: the database is away, or the role may not make a schema.
    """
    async with connected(dsn) as connection:
        await bring_schema(connection)
        await connection.commit()


async def _equal(connection: AsyncConnection, dsn: Dsn, folder: Path) -> str | None:
    """The revision that a database without a history is at, if its tables are that one's.

    A history that needs more than an empty database to begin with is nobody's equal.
    """
    current = await connection.run_sync(current_of)
    await connection.rollback()
    if current:
        return None
    with suppress(MigrationError):
        return await equal_revision(dsn, folder)
    return None


def _refuse_danger(connection: Connection, pending: Sequence[Pending]) -> None:
    found = [each for each in findings_in(pending, connection) if each.reason is None]
    if found:
        raise DangerousMigrationError(found)


async def _drop_invalid(connection: AsyncConnection, names: Sequence[str]) -> None:
    """Drop what is left of indexes whose CREATE INDEX CONCURRENTLY failed: it is built again."""
    if not names:
        return
    usual = await connection.get_isolation_level()
    await connection.rollback()
    await connection.execution_options(isolation_level="AUTOCOMMIT")
    for left in (await connection.scalars(_INVALID, {"names": list(names)})).all():
        await connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {left}")
    await connection.rollback()
    await connection.execution_options(isolation_level=usual)


def _is_at(connection: Connection, script: ScriptDirectory, head: str) -> bool:
    current = current_of(connection)
    connection.rollback()
    for revision in current:
        if not knows(script, revision):
            raise MigrationError(
                f"the database is at migration {revision}, which this release does not have: "
                "run the release that made it, or a newer one"
            )
    return current == (head,)
