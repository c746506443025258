"""How a database stands to a release: asked for, and nothing changed."""

from dataclasses import dataclass

from neonkit.db import schema_lead
from neonkit.dsn import Dsn
from neonkit.history import History, missing_names
from neonkit.migrations._running.steps import connected, current_of, pending_steps
from neonkit.migrations._scripts import head_of, knows, read_script
from neonkit.migrations._writing.revisions import Metadata, each_of


@dataclass(frozen=True)
class Standing:
    """What a database has of what a release needs.

    Attributes:
        schema_lead: by how many revisions the schema `neonkit` is ahead; below zero where it is
            behind.
        lacking: the app's revisions that it lacks, oldest first.
        newer: revisions that it has and the release lacks.
        missing: tables and columns that models name and it lacks.
    """

    schema_lead: int
    lacking: tuple[str, ...]
    newer: tuple[str, ...]
    missing: tuple[str, ...]


async def standing_of(dsn: Dsn, history: History | None, metadata: Metadata) -> Standing:
    """Ask a database how it stands to a release.

    Args:
        dsn: the database.
        history: the app's revisions, if it has any.
        metadata: every table of the app.

    Raises:
        ConfigurationError: the folder's revisions are not one line.
        MigrationError: the database is away.
    """
    lacking: tuple[str, ...] = ()
    newer: tuple[str, ...] = ()
    async with connected(dsn) as connection:
        lead = await schema_lead(connection)
        missing = await connection.run_sync(missing_names, each_of(metadata))
        if history is not None and history.is_ours:
            script = read_script(history.folder)
            head, current = head_of(script), await connection.run_sync(current_of)
            newer = tuple(each for each in current if not knows(script, each))
            if head and not newer:
                steps = await connection.run_sync(pending_steps, script, head)
                lacking = tuple(each.revision.revision for each in steps)
    return Standing(lead, lacking, newer, tuple(missing))
