"""SQLAlchemy's pool behind one bounded queue that tells a busy database from one that is away."""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event, exc
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlalchemy.util import await_

from neonkit._seams.sqlalchemy import is_outdated, listeners_of
from neonkit.db._scope import current_scope
from neonkit.db._wire.connection import UnitOfWorkConnection
from neonkit.db._wire.connector import Connector
from neonkit.db._wire.openings import IN_VAIN
from neonkit.db._wire.waiting_line import Place, WaitingLine
from neonkit.errors import ConfigurationError, OverloadedError

# SQLAlchemy's log of each connection that is replaced would be `neonkit`'s, by the name of `Pool`
logging.getLogger(__name__).setLevel(logging.WARNING)

OUR_LISTENERS = {"checkout": 1, "checkin": 1, "reset": 0}
"""How many listen to a pool's connections coming and going: those of `replace_stale`."""

_WAITING_PER_SLOT = 20
_WAITING_WHILE_AWAY = 1000
_BUSY = "every connection stayed busy for {:g} s"
_IDLE_SINCE = "neonkit.idle_since"
_STRANGER = (
    "a listener of do_connect opened a connection by itself: an engine of neonkit.create_engine "
    "opens them by its URL, and by create_engine(…, password=…) where the password changes"
)


@dataclass(frozen=True)
class PoolUse:
    """How busy a pool is at this moment.

    Attributes:
        size: how many connections may be open at most.
        checked_out: how many are in use, or being opened.
        waiting: how many requests wait for one.
    """

    size: int
    checked_out: int
    waiting: int


class Pool(AsyncAdaptedQueuePool):
    """Keeps every connection that it opened, and bounds who may wait for one.

    While the database answers, a request waits `timeout` seconds, at most 20 requests per slot.
    While it is *away* (no usable connection, and the last attempt failed or still runs) the
    wait is bounded by the request's deadline, at most 1,000 requests in all. When it is back,
    clocks and count begin anew for those who wait, and nobody loses their place.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._line = WaitingLine(self.size())
        self._began = float("-inf")
        self.idle_seconds = float("inf")

    def recreate(self) -> "Pool":
        """Make an empty one of the same kind."""
        another: Any = super().recreate()
        another.idle_seconds = self.idle_seconds
        made: Pool = another
        return made

    @property
    def _connector(self) -> Connector[Any]:
        return self._dialect.connector  # type: ignore[attr-defined,no-any-return]  # our dialect

    @property
    def use(self) -> PoolUse:
        """How busy it is."""
        return PoolUse(self.size(), self.checkedout(), len(self._line))

    @property
    def is_away(self) -> bool:
        """True if there is no usable connection, and none could be opened when last tried."""
        opening = self._connector.openings.waiting
        usable = self.checkedin() + self.checkedout() - opening
        return usable <= 0 and (self._connector.health.is_failing or opening > 0)

    @property
    def is_full(self) -> bool:
        """True if as many wait for a connection as may: the next one is refused."""
        if not self._line:
            return False
        self._begin_anew_if_back()
        if self.is_away:
            return len(self._line) >= _WAITING_WHILE_AWAY
        return self._line.counted >= _WAITING_PER_SLOT * self.size()

    @property
    def is_heard(self) -> bool:
        """True if anybody but us listens to its connections coming and going."""
        return any(len(listeners_of(self, name)) > ours for name, ours in OUR_LISTENERS.items())

    def take_idle(self) -> ConnectionPoolEntry | None:
        """Take a connection that lies idle and is known to be well; `None` where none does.

        Nobody hears of it, and no place of SQLAlchemy's is made around it: `give_back` ends that.
        """
        if not self.checkedin() or not self._line.take_free():
            return None
        record = super()._do_get()
        wire: Any = record.dbapi_connection
        if wire is None or is_outdated(record, self) or self.is_stale(wire, record):
            self._do_return_conn(record)
            return None
        record.info.pop(_IDLE_SINCE, None)
        return record

    def give_back(self, record: ConnectionPoolEntry) -> None:
        """Take back what `take_idle` gave."""
        record.info[_IDLE_SINCE] = time.monotonic()
        self._do_return_conn(record)

    def is_stale(self, connection: UnitOfWorkConnection, record: ConnectionPoolEntry) -> bool:
        """True if the server closed a connection, another found it silent, or it idled too long."""
        since = record.info.get(_IDLE_SINCE)
        if since is None:
            return False  # just opened: SQLAlchemy would give up, and its error is nobody's fault
        idle = time.monotonic() - since
        return connection.is_known_closed or connection.is_suspect or idle > self.idle_seconds

    def dispose(self) -> None:
        """Close what is idle or about to be opened."""
        super().dispose()
        self._connector.openings.close()

    def _do_get(self) -> ConnectionPoolEntry:
        if not self._line.take_free():
            if self.is_full:
                raise OverloadedError
            await_(self._wait_in_line())
        try:
            return super()._do_get()  # there is one for each slot: it does not wait
        except BaseException:
            self._line.give_back()
            raise

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        super()._do_return_conn(record)
        self._line.give_back()

    def _begin_anew_if_back(self) -> None:
        if self._connector.health.back_at > self._began:
            self._began = self._connector.health.back_at
            self._line.begin_anew()

    async def _wait_in_line(self) -> None:
        place = self._line.enter()
        began, has_slot = place.since, False
        try:
            while not place.turn.done():
                await asyncio.wait({place.turn}, timeout=self._patience_of(place))
            has_slot = True
        finally:
            if not has_slot:
                self._line.leave(place)
            self._connector.health.witness.count_wait("queue", time.monotonic() - began)

    def _patience_of(self, place: Place) -> float:
        """Seconds until a look at how things stand is due.

        Raises:
            TimeoutError: the request's time is up, and the database is away.
            sqlalchemy.exc.TimeoutError: it is not, and the pool stayed busy.
        """
        self._begin_anew_if_back()
        remaining = current_scope().remaining()
        patience = place.since + self.timeout() - time.monotonic()
        if self.is_away:
            if remaining == 0.0:
                raise TimeoutError(IN_VAIN)
            patience = self.timeout()
        elif patience <= 0 or remaining == 0.0:
            raise exc.TimeoutError(_BUSY.format(self.timeout()))
        return patience if remaining is None else min(patience, remaining)


def refuse_strangers(pool: Pool) -> None:
    """Refuse a connection that a listener of `do_connect` has opened by itself."""

    def check(connection: object, _record: ConnectionPoolEntry) -> None:
        if not isinstance(connection, UnitOfWorkConnection):
            raise ConfigurationError(_STRANGER)

    event.listen(pool, "connect", check, insert=True)


def replace_stale(pool: Pool, idle_seconds: float) -> None:
    """Replace a connection at checkout that the server closed, or that idled too long.

    Both are known here without a round trip. A peer that vanished silently is not; the kernel or
    the bound on every wait finds that one, and all that were opened before are replaced.
    """
    pool.idle_seconds = idle_seconds

    def remember(_connection: UnitOfWorkConnection | None, record: ConnectionPoolEntry) -> None:
        record.info[_IDLE_SINCE] = time.monotonic()

    def check(
        connection: UnitOfWorkConnection, record: ConnectionPoolEntry, _proxy: object
    ) -> None:
        connection.enter_service()
        is_stale = pool.is_stale(connection, record)
        record.info.pop(_IDLE_SINCE, None)
        if is_stale:
            raise exc.DisconnectionError

    event.listen(pool, "checkin", remember)
    event.listen(pool, "checkout", check)
