"""Which revision a database is at that counts none: tables that `create_all` made, mostly."""

from pathlib import Path

from neonkit.dsn import Dsn
from neonkit.migrations._catalogue.catalogue import Catalogue
from neonkit.migrations._catalogue.reading import read_catalogue
from neonkit.migrations._comparison.catalogues import plan_change
from neonkit.migrations._running.scratch import scratch
from neonkit.migrations._running.steps import connected, run_to
from neonkit.migrations._scripts import read_script


async def equal_revision(dsn: Dsn, folder: Path) -> str | None:
    """Find the newest revision that makes exactly what a database without a history has.

    Returns:
        `None` where the database is empty, or what it has is no revision's.

    Raises:
        MigrationError: a revision of the folder fails, or the role may not create a database.
    """
    async with connected(dsn) as connection:
        there = await connection.run_sync(read_catalogue)
    script = read_script(folder)
    if not there.tables:
        return None
    found = None
    async with scratch(dsn) as connection:
        for each in reversed([*script.walk_revisions()]):
            await connection.run_sync(run_to, script, each.revision)
            made = await connection.run_sync(read_catalogue)
            await connection.rollback()
            if made.tables.keys() <= there.tables.keys() and _is_all_there(there, made):
                found = each.revision
    return found


def _is_all_there(there: Catalogue, made: Catalogue) -> bool:
    return plan_change(there, made.keeping(there, tables=True)).is_empty
