"""Alembic's own command line on an app's revisions."""

import asyncio

from alembic import context
from alembic.util import CommandError

from neonkit.cli._app_history import app_with_history
from neonkit.errors import NeonkitError
from neonkit.migrations import run_for_alembic, write_for_alembic
from neonkit.settings import database_at
from neonkit.web import Runtime


def run() -> None:
    """Do what the command asks for, with the app's settings, over the direct URL.

    Raises:
        CommandError: no app is named, its settings are wrong, or the database is away; Alembic
            prints it in one line.
    """
    try:
        runtime, _ = app_with_history(None)
        if context.is_offline_mode():
            write_for_alembic()
        else:
            asyncio.run(_run(runtime))
    except NeonkitError as error:
        raise CommandError(str(error)) from error


async def _run(runtime: Runtime) -> None:
    async with database_at(runtime.settings.direct_dsn) as dsn:
        await run_for_alembic(dsn, runtime.metadata)
