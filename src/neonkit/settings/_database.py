"""The database that an app or a command uses: the given one, else the embedded server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from neonkit.dsn import Dsn

HOME = Path(".neonkit")
_DATA = HOME / "postgres"


@asynccontextmanager
async def database_at(given: Dsn | None) -> AsyncIterator[Dsn]:
    """Give the address of a database for the block.

    Args:
        given: the address that the settings name; without one, an embedded PostgreSQL whose data
            is in `.neonkit/postgres` of the current folder runs for the block, shared with
            whatever else uses that folder.

    Raises:
        ConfigurationError: there is no PostgreSQL to start.
    """
    if given is not None:
        yield given
        return
    from neonkit.local import LocalServer

    async with await LocalServer.start(_DATA) as server:
        yield Dsn.parse(server.url)


def embedded_url() -> str | None:
    """Look up the address of the embedded server of this folder, password included.

    Returns:
        `None` where it does not run; nothing is started or made.
    """
    from neonkit.local import LocalServer

    return LocalServer.running_url(_DATA)


def describe_database(given: Dsn | None) -> str:
    """Say for people where `database_at` leads, without the password."""
    return f"embedded PostgreSQL; its data is in {_DATA}" if given is None else given.masked
