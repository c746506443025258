"""PgBouncer in front of a test's own database, seen through a wire."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from neonkit import Database
from neonkit.dsn import Dsn
from neonkit.local import LocalPooler, WireProxy, find_pgbouncer
from support.needed import need

BACKENDS = 3


def need_pgbouncer() -> None:
    """Leave the test out where there is no PgBouncer to run it with, and say how to get one."""
    command = 'export PATH="$(.ci/pgbouncer):$PATH"'
    need("PgBouncer 1.21 or newer", command, is_there=find_pgbouncer() is not None)


@dataclass(frozen=True)
class Road:
    """The way to a database through a pooler, whose transactions take turns on its backends.

    Attributes:
        wire: between the app and the pooler.
        direct: past the pooler.
    """

    wire: WireProxy
    direct: Dsn


@asynccontextmanager
async def pooler_to(dsn: Dsn, **settings: object) -> AsyncIterator[Dsn]:
    """Put a pooler with these settings in front of a server."""
    need_pgbouncer()
    async with LocalPooler.start(dsn, settings) as pooler:
        yield pooler.dsn


@asynccontextmanager
async def pooled_road(db: Database, *, tracked_statements: int) -> AsyncIterator[Road]:
    """Put a pooler in front of a test's own database."""
    direct: Dsn = db.engine.dialect.connector.dsn  # type: ignore[attr-defined]  # our dialect's
    async with (
        pooler_to(
            direct,
            max_prepared_statements=tracked_statements,
            default_pool_size=BACKENDS,
            server_round_robin=1,
        ) as pooled,
        WireProxy.start(pooled) as wire,
    ):
        yield Road(wire, direct)
