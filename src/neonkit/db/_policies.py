"""Policies of the database room: frozen values, comparable, safe to print."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PoolPolicy:
    """How many connections one process keeps, and for how long.

    Attributes:
        size: connections kept (`POOL_SIZE`).
        overflow: connections on top of `size` (`MAX_OVERFLOW`); once opened they are kept too,
            because a pool that closes them reconnects under steady load.
        recycle: seconds after which an idle connection is replaced when next wanted. Below
            Neon's five minutes of idleness before a compute suspends.
        timeout: seconds a request waits for a busy pool.
    """

    size: int = 5
    overflow: int = 10
    recycle: float = 240.0
    timeout: float = 5.0

    @property
    def capacity(self) -> int:
        """The most connections that this pool ever holds."""
        return self.size + self.overflow


@dataclass(frozen=True)
class TimeoutPolicy:
    """The bounds on each wait, in seconds. Each is smaller than the one that contains it.

    Attributes:
        connect: one connection attempt, over all addresses of the host.
        statement: one statement, on the server (`statement_timeout`) and here.
        lock: one wait for a lock, on the server (`lock_timeout`).
        request: one request; connection attempts repeat until then.
    """

    connect: float = 12.0
    statement: float = 5.0
    lock: float = 2.0
    request: float = 15.0
