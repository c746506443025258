"""Opening connections to one address, patiently, and what the first of them learned."""

import asyncio
import json
from abc import ABC, abstractmethod
from base64 import b64decode
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy.engine.interfaces import IsolationLevel

from neonkit.db._backoff import RetryBudget
from neonkit.db._policies import TimeoutPolicy
from neonkit.db._wire.driver_connection import DriverConnection
from neonkit.db._wire.observed_health import ObservedHealth
from neonkit.db._wire.openings import Openings
from neonkit.db._wire.outages import Outage
from neonkit.db._wire.passwords import PasswordSource, with_password
from neonkit.db._wire.sent_statements import Watcher
from neonkit.dsn import Dsn

CLEANUP_SECONDS = 2.0
_REFUSED = "unsupported startup parameter"  # a pooler's word for the two timeouts
FACTS = """
SELECT encode(convert_to(json_build_object(
  'pid', pg_backend_pid(), 'schema', coalesce(current_schema(), ''),
  'isolation', current_setting('default_transaction_isolation'),
  'most', current_setting('max_connections')::int,
  'keys', (
    SELECT has_table_privilege(keys.oid, 'INSERT') AND has_schema_privilege(home.oid, 'USAGE')
    FROM pg_catalog.pg_class AS keys JOIN pg_catalog.pg_namespace AS home ON home.oid = relnamespace
    WHERE nspname = 'neonkit' AND relname = 'keys'
  )
)::text, 'UTF8'), 'base64')
"""


@dataclass(frozen=True)
class ServerFacts:
    """Facts that the first connection learned, in one query.

    Attributes:
        version: such as `(18, 6)`.
        schema: the first schema of the search path that exists; empty where none does.
        isolation: `default_transaction_isolation`, in capitals.
        max_connections: how many sessions the server admits in all.
        has_standard_strings: `standard_conforming_strings`.
        is_behind_pooler: whether another process sits between: the backend that answers is not
            the one announced at connect.
        has_keys: whether the toolkit's table of keys is there, and may be written to.
    """

    version: tuple[int, ...]
    schema: str
    isolation: IsolationLevel
    max_connections: int
    has_standard_strings: bool
    is_behind_pooler: bool
    has_keys: bool


Link = TypeVar("Link", bound=DriverConnection)


class Connector(ABC, Generic[Link]):
    """Opens a driver's connections to one address, and knows how that went.

    Args:
        dsn: where to.
        timeouts: the two server-side ones travel as start-up options on a direct connection,
            until a pooler refuses them.
        tracks_statements: whether prepared statements survive between transactions; `None`
            where the first connection must find out.
        password: gives each connection its password, in place of the address's own.

    Attributes:
        facts: what the first connection learned; `None` before.
        openings: the connections that are being opened for the pool.
        health: what connecting and every statement say of the database's health.
        budget: for doing again what failed.
        has_keys: whether the database has the toolkit's table of keys.
        watchers: whoever is told of each statement.
    """

    def __init__(
        self,
        dsn: Dsn,
        timeouts: TimeoutPolicy,
        *,
        tracks_statements: bool | None,
        password: PasswordSource | None = None,
    ) -> None:
        self.timeouts = timeouts
        self.tracks_statements = tracks_statements
        self.facts: ServerFacts | None = None
        self.health = ObservedHealth()
        self._outage = Outage()
        self.openings = Openings(self.attempt, timeouts, self._outage, self.health)
        self.budget = RetryBudget()
        self.has_keys = False
        self.watchers: tuple[Watcher, ...] = ()
        self.dsn = dsn
        self._password = password
        self._address = _bounded_by_server(dsn, timeouts)

    @property
    def has_read_committed(self) -> bool:
        """True if each statement has a snapshot of its own, by the server's default."""
        return self.facts is not None and self.facts.isolation == "READ COMMITTED"

    @property
    def has_pooler(self) -> bool:
        """True if another process sits between, by what the first connection found."""
        return self.facts is not None and self.facts.is_behind_pooler

    @property
    def bounds_on_server(self) -> bool:
        """True if the server ends each statement itself in time, outside of transactions too."""
        return self._address != self.dsn

    async def connect(self) -> Link:
        """Open one connection, patiently; the first one also learns the server's facts."""
        return await self.openings.take()

    async def attempt(self) -> Link:
        """Try once to open a connection, for `timeouts.connect` at most."""
        self._outage.refuse_hasty()
        try:
            async with asyncio.timeout(self.timeouts.connect):
                connection = await self._open_ready()
        except Exception as error:
            self.health.is_failing = True
            self._outage.begin(error)
            raise
        self.health.is_failing = False
        self._outage.end()
        return connection

    async def _open_ready(self) -> Link:
        connection = await self._open_bounded()
        if self.facts is None:
            await self._learn_from(connection)
        if self.has_pooler:
            self._keep_off_settings(connection)
        return connection

    async def _open_bounded(self) -> Link:
        try:
            return await self._open(await with_password(self._address, self._password))
        except Exception as error:
            if self._address == self.dsn or _REFUSED not in str(error):
                raise
        self._address = self.dsn  # there the transactions carry the timeouts
        return await self._open(await with_password(self._address, self._password))

    async def _learn_from(self, connection: Link) -> None:
        try:
            self.facts = await self._learn(connection)
            self.has_keys = self.facts.has_keys
        except BaseException:
            connection.terminate()
            raise
        if self.tracks_statements is None:
            self.tracks_statements = not self.facts.is_behind_pooler

    @abstractmethod
    async def _open(self, dsn: Dsn) -> Link:
        """Open one connection of the driver's."""

    @abstractmethod
    async def _learn(self, connection: Link) -> ServerFacts:
        """Send `FACTS`, in one round trip."""

    def _keep_off_settings(self, connection: Link) -> None:
        """Let the driver change no settings by itself: behind a pooler others would have them."""


class Probe:
    """Asks the database whether it is there, on a connection of its own beside the pool."""

    def __init__(self, connector: Connector[Link]) -> None:
        self._connector = connector
        self._connection: DriverConnection | None = None
        self._turn = asyncio.Lock()

    async def __call__(self) -> None:
        """Send the smallest query, and raise whatever goes wrong; one attempt.

        The start of an app and a readiness request may ask at the same time: they take turns.
        """
        async with self._turn:
            await self._ask()

    async def _ask(self) -> None:
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._connector.attempt()
            await self._connection.send("SELECT")
        except BaseException:
            self._drop()
            self._connector.health.is_failing = True
            raise
        self._connector.health.is_failing = False

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        """Close its connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            async with asyncio.timeout(CLEANUP_SECONDS):
                await connection.close()


def _bounded_by_server(dsn: Dsn, timeouts: TimeoutPolicy) -> Dsn:
    """The same address, whose start-up options set the server-side timeouts of its sessions."""
    if dsn.is_pooled:
        return dsn
    return dsn.with_options(
        {
            "statement_timeout": str(int(timeouts.statement * 1000)),
            "lock_timeout": str(int(timeouts.lock * 1000)),
        }
    )


def read_facts(
    answer: bytes, *, version: tuple[int, ...], pid: int, has_standard_strings: bool
) -> ServerFacts:
    """Join the answer to `FACTS` with what the server announced when the connection was opened.

    Args:
        answer: base64 over several lines.
        version: of the server.
        pid: of the backend, as announced.
        has_standard_strings: `standard_conforming_strings`.
    """
    facts = json.loads(b64decode(answer))
    return ServerFacts(
        version=version,
        schema=facts["schema"],
        isolation=facts["isolation"].upper(),
        max_connections=facts["most"],
        has_standard_strings=has_standard_strings,
        is_behind_pooler=facts["pid"] != pid,
        has_keys=bool(facts["keys"]),
    )
