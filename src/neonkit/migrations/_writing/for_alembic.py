"""What Alembic's own command line has from its `env.py`: a connection, and what the models say."""

from collections.abc import Iterable
from functools import partial

from alembic import context
from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData

from neonkit.dsn import Dsn
from neonkit.migrations._running.steps import connected
from neonkit.migrations._writing.revisions import Metadata, difference

_WRITES_ITSELF = (
    "Alembic does not see all that the models say: `neonkit makemigrations` writes the revision"
)


async def run_for_alembic(dsn: Dsn, metadata: Metadata) -> None:
    """Do what the command asks for; `alembic check` says what `difference` says.

    Args:
        dsn: the direct URL.
        metadata: every table of the app.

    Raises:
        MigrationError: the database is away, or a revision failed.
    """
    async with connected(dsn) as connection:
        await connection.run_sync(partial(_run, metadata))


def write_for_alembic() -> None:
    """Write down as SQL what the command asks for."""
    context.configure(dialect_name="postgresql", literal_binds=True, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


def _run(metadata: Metadata, connection: Connection) -> None:
    def say_what_differs(
        _context: MigrationContext, _revision: object, scripts: Iterable[MigrationScript]
    ) -> None:
        if getattr(context.config.cmd_opts, "autogenerate", False):
            raise CommandError(_WRITES_ITSELF)
        found = difference(connection, metadata).upgrade_ops
        for script in scripts:
            script.upgrade_ops = found or []

    context.configure(
        connection=connection,
        target_metadata=MetaData(),  # Alembic's own comparison has nothing to say
        transaction_per_migration=True,
        process_revision_directives=say_what_differs,
    )
    with context.begin_transaction():
        context.run_migrations()
