"""SQLAlchemy's pool behind one bounded queue that tells a busy database from one that is away."""

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event, exc
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

from neonkit.db._scope import current_scope
from neonkit.db._wire.connection import UnitOfWorkConnection
from neonkit.db._wire.connector import Connector
from neonkit.errors import OverloadedError

_WAITING_PER_SLOT = 20
_WAITING_WHILE_AWAY = 1000
_IDLE_SINCE = "neonkit.idle_since"


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
    wait is bounded by the request's deadline, at most 1,000 requests in all.
    """

    _waiting = 0

    @property
    def _connector(self) -> Connector[Any]:
        return self._dialect.connector  # type: ignore[attr-defined,no-any-return]  # our dialect

    @property
    def use(self) -> PoolUse:
        """How busy it is."""
        return PoolUse(self.size(), self.checkedout(), self._waiting)

    @property
    def is_away(self) -> bool:
        """True if there is no usable connection, and none could be opened when last tried."""
        usable = self.checkedin() + self.checkedout() - self._connector.connecting
        return usable <= 0 and (self._connector.health.is_failing or self._connector.connecting > 0)

    def _do_get(self) -> ConnectionPoolEntry:
        limit = _WAITING_WHILE_AWAY if self.is_away else _WAITING_PER_SLOT * self.size()
        if self._waiting >= limit:
            raise OverloadedError
        self._waiting += 1
        try:
            return self._wait_for_slot()
        finally:
            self._waiting -= 1

    def _wait_for_slot(self) -> ConnectionPoolEntry:
        while True:
            try:
                return super()._do_get()
            except exc.TimeoutError:
                if not self.is_away or current_scope().remaining() == 0.0:
                    raise


def replace_stale(pool: Pool, idle_seconds: float) -> None:
    """Replace a connection at checkout that the server closed, or that idled too long.

    Both are known here without a round trip. A peer that vanished silently is not; the bound
    on every wait finds that one.
    """

    def remember(_connection: UnitOfWorkConnection | None, record: ConnectionPoolEntry) -> None:
        record.info[_IDLE_SINCE] = time.monotonic()

    def check(
        connection: UnitOfWorkConnection, record: ConnectionPoolEntry, _proxy: object
    ) -> None:
        idle = time.monotonic() - record.info.pop(_IDLE_SINCE, time.monotonic())
        if connection.is_known_closed or idle > idle_seconds:
            raise exc.DisconnectionError

    event.listen(pool, "checkin", remember)
    event.listen(pool, "checkout", check)
