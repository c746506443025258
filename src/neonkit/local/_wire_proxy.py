"""The wire between an app and PostgreSQL: it counts round trips, and it can be a bad one."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from threading import Thread
from typing import Self, TypeVar

from neonkit.dsn import Dsn
from neonkit.local._conversation import Moment
from neonkit.local._dropped_packets import AnySocket, drop_arrivals, let_arrive
from neonkit.local._idle_timer import IdleTimer
from neonkit.local._listening_address import ListeningAddress, Tls
from neonkit.local._network_faults import Cut, NetworkFaults, Refusal, When
from neonkit.local._pooler import LocalPooler, find_pgbouncer
from neonkit.local._protocol_messages import error_message
from neonkit.local._proxied_session import ProxiedSession
from neonkit.local._round_trips import Trip, Trips
from neonkit.local._tls_request import Streams

Result = TypeVar("Result")

_SHUTDOWN = error_message("FATAL", "57P01", "terminating connection due to administrator command")
_BACKLOG = 1024
_WITHOUT_TLS = ("disable", "allow", "prefer")


class WireProxy:
    """A TCP port of this machine that leads to a PostgreSQL server, and what passes through it.

    It runs in a thread and an event loop of its own, so a test may block. Every method and
    property may be used from any thread, and has taken effect when it returns.

    A *round trip* is a send and a wait: `BEGIN`, `COMMIT`, a prepare and a ping are one each,
    a pipeline is one, however many statements it holds. Statements are kept as text; parameter
    values are never looked at.

    What a client sends before it can have seen all answers, it sent without waiting for them. On a
    fast machine a pipeline of several Syncs may see them early: a `delay` of some milliseconds
    makes its count exact.

    Attributes:
        dsn: where to connect instead of the target.
        target: where it leads to, for whoever wants to go past it.
        pooled_dsn: the same through the pooler, on a wire like Neon; on another one just `dsn`.
        has_pooler: whether there is one.
        trips: round trips so far, on all connections, after their login.
        connecting: round trips so far to open connections.
        arrivals: connections so far that clients tried to open.
    """

    def __init__(self, entrances: tuple[ListeningAddress, ...]) -> None:
        self._entrances = entrances
        self.target = entrances[0].target
        self.has_pooler = self.target != entrances[-1].target
        self._readers: list[Trips] = []
        self._sessions: dict[asyncio.Task[None], ProxiedSession] = {}
        self.arrivals = 0
        self._wake_seconds: float | None = None
        self.trips = 0
        self.connecting = 0

    @classmethod
    @asynccontextmanager
    async def start(cls, target: Dsn, *, tls: Tls = None) -> AsyncIterator[Self]:
        """Open a wire to `target` for the block; every connection is closed at its end.

        Args:
            target: the server. Its TLS is kept up; a client's channel binding ends at the wire.
            tls: a server's context with a certificate, such as `Certificate.context`'s, ends the
                TLS of clients, so that `sslmode=require` works. `pass` lets it through to the
                target: then nothing inside is seen, to be counted or cut at, and a client is
                refused and suspended without a word. By default TLS is declined.
        """
        async with cls._open(ListeningAddress(target, tls)) as wire:
            yield wire

    @classmethod
    @asynccontextmanager
    async def like_neon(
        cls, target: Dsn, *, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[Self]:
        """Open a wire that plays Neon, with a direct and a pooled address, for the block.

        Start-up parameters that Neon's proxy drops are dropped, and a login that fails ends with
        its words and XX000, whatever the server says. Without TLS a client is refused, if `tls`
        is there. The pooled address leads through a PgBouncer like Neon's where a new enough one
        is installed and the target does not ask for TLS; else straight to the target, which
        `has_pooler` tells. When the database falls asleep, its clients hear nothing.

        Args:
            target: the server.
            tls: ends the TLS of clients.
        """
        async with AsyncExitStack() as stack:
            behind = target
            pooler = await asyncio.to_thread(find_pgbouncer)
            if pooler is not None and target.sslmode in _WITHOUT_TLS:
                behind = (await stack.enter_async_context(LocalPooler.start(target))).dsn
            direct = ListeningAddress(target, tls, is_neon=True)
            pooled = ListeningAddress(behind, tls, is_neon=True, is_pooled=True)
            yield await stack.enter_async_context(cls._open(direct, pooled))

    @classmethod
    @asynccontextmanager
    async def _open(cls, *entrances: ListeningAddress) -> AsyncIterator[Self]:
        wire = cls(entrances)
        started: Future[Callable[[], object]] = Future()
        thread = Thread(target=wire._live, args=(started,), name="neonkit-wire", daemon=True)
        thread.start()
        stop = await asyncio.wrap_future(started)
        try:
            yield wire
        finally:
            stop()
            await asyncio.to_thread(thread.join)

    @property
    def url(self) -> str:
        """`dsn` as text, password included."""
        return self.dsn.for_libpq()

    @property
    def pooled_url(self) -> str:
        """`pooled_dsn` as text, password included."""
        return self.pooled_dsn.for_libpq()

    @property
    def delay(self) -> float:
        """Seconds that each round trip takes longer; the timer may add a millisecond. 0 at first.

        Opening a connection is delayed by as many round trips as it takes.
        """
        return self._faults.delay

    @delay.setter
    def delay(self, seconds: float) -> None:
        self._faults.delay = seconds

    @property
    def slice_bytes(self) -> int | None:
        """How many bytes are written at once, in both directions; `None`, at first: all."""
        return self._faults.slice_bytes

    @slice_bytes.setter
    def slice_bytes(self, size: int | None) -> None:
        self._faults.slice_bytes = size

    @property
    def cuts(self) -> int:
        """How many connections were torn where `cut_at` said so."""
        return self._faults.cuts

    @contextmanager
    def counting(self) -> Iterator[Trips]:
        """Collect the round trips of the block, on all connections."""
        trips = Trips()
        self._call(lambda: self._readers.append(trips))
        try:
            yield trips
        finally:
            self._call(lambda: self._readers.remove(trips))

    def cut_at(self, moment: Moment, *, when: When = "before") -> None:
        """Tear one connection: the next that comes to this moment.

        Args:
            moment: `commit`: COMMIT or END, in a multi-statement query too. `begin`: BEGIN or
                START TRANSACTION. `statement`: one outside of a transaction, which commits by
                itself. `write`: one of these whose text says INSERT, UPDATE, DELETE or MERGE.
            when: `before`: the server never hears of it. `after`: it is done, and the client
                hears nothing of it. `during`: it is done, and the client gets half of the word.
        """
        cut = Cut(moment, when)
        self._call(lambda: setattr(self._faults, "cut", cut))

    def spare(self) -> None:
        """Tear nothing after all, where `cut_at` has not torn yet."""
        self._call(lambda: setattr(self._faults, "cut", None))

    def freeze(self) -> None:
        """Hold everything, without a word and without closing: what a lost network looks like."""
        self._call(self._faults.calm.clear)

    def thaw(self) -> None:
        """Let go on what was held, new connections too."""
        self._call(self._faults.calm.set)

    def unplug(self) -> None:
        """Drop what clients send before it is acknowledged: what a pulled cable looks like.

        On Linux alone. `freeze` acknowledges, and says nothing.
        """
        self._call(lambda: self._for_each_socket(drop_arrivals))

    def plug_in(self) -> None:
        """Let arrive what clients send, and send again."""
        self._call(lambda: self._for_each_socket(let_arrive))

    def _for_each_socket(self, act: Callable[[AnySocket], None]) -> None:
        for server in self._servers:
            for listening in server.sockets:
                act(listening)
        for session in self._sessions.values():
            act(session.client_socket)

    def refuse(
        self,
        text: str = Refusal.UNREACHABLE,
        *,
        times: int | None = None,
        sqlstate: str | None = None,
    ) -> None:
        """Let no new connection in, and tell it so as Neon does: an ERROR with SQLSTATE XX000.

        Args:
            text: one of `Refusal`, or another.
            times: how many; all until `admit` by default.
            sqlstate: says FATAL with this code instead, as PostgreSQL itself does.
        """
        words = error_message("FATAL" if sqlstate else "ERROR", sqlstate or "XX000", text)

        def refuse() -> None:
            self._faults.refusal, self._faults.refusals_left = words, times

        self._call(refuse)

    def admit(self) -> None:
        """Let new connections in again."""
        self._call(lambda: setattr(self._faults, "refusal", None))

    def suspend_when_idle(self, after: float | None, *, wake_seconds: float | None = 0.3) -> None:
        """Let the database fall asleep by itself, as `suspend` does, whenever nobody uses it.

        A running statement and an open transaction are use, as on Neon; an open connection is
        none.

        Args:
            after: so many seconds; never for `None`.
            wake_seconds: as for `suspend`.
        """

        def arrange() -> None:
            self._wake_seconds = wake_seconds
            self._idleness.tell_after(after)

        self._call(arrange)

    def suspend(self, *, wake_seconds: float | None = 0.3) -> None:
        """Let the database fall asleep: every connection ends with 57P01.

        Args:
            wake_seconds: the next connection wakes it and waits that long, as on Neon, and
                those that come meanwhile wait with it. `None`: it is refused, until `wake`.
        """
        self._call(lambda: self._suspend(wake_seconds))

    def _suspend(self, wake_seconds: float | None) -> None:
        self._faults.sleep(wake_seconds)
        self._end_sessions(_SHUTDOWN)

    def _suspend_if_awake(self) -> None:
        if self._faults.awake.is_set():
            self._suspend(self._wake_seconds)

    def wake(self, *, after: float = 0.0) -> None:
        """Wake a suspended database some seconds from now; who connects before that waits."""
        self._call(lambda: self._faults.wake(after))

    def cut(self, *, sqlstate: str | None = None) -> None:
        """Close every connection without a word, as Neon's pooler does when it suspends.

        Args:
            sqlstate: says FATAL with this code before, as PostgreSQL itself does.
        """
        parting = error_message("FATAL", sqlstate, "terminating connection") if sqlstate else b""
        self._call(lambda: self._end_sessions(parting))

    def note_trip(self, trip: Trip) -> None:
        """Count a round trip; sessions call it."""
        self.trips += 1
        for reader in self._readers:
            reader.trips.append(trip)

    def note_use(self) -> None:
        """Note that something passes; sessions call it."""
        self._idleness.note_use()

    def note_connecting(self) -> None:
        """Count a round trip of opening a connection; sessions call it."""
        self._idleness.note_use()
        self.connecting += 1
        for reader in self._readers:
            reader.connecting += 1

    def _live(self, started: "Future[Callable[[], object]]") -> None:
        try:
            asyncio.run(self._serve(started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _serve(self, started: "Future[Callable[[], object]]") -> None:
        self._loop, may_stop = asyncio.get_running_loop(), asyncio.Event()
        self._faults = NetworkFaults()
        self._idleness = IdleTimer(
            lambda: any(session.is_busy for session in self._sessions.values()),
            self._suspend_if_awake,
        )
        servers = self._servers = [
            await asyncio.start_server(
                partial(self._accept, entrance), "127.0.0.1", 0, backlog=_BACKLOG
            )
            for entrance in self._entrances
        ]
        addresses = [
            entrance.address(server.sockets[0].getsockname()[1])
            for entrance, server in zip(self._entrances, servers, strict=True)
        ]
        self.dsn, self.pooled_dsn = addresses[0], addresses[-1]
        started.set_result(lambda: self._loop.call_soon_threadsafe(may_stop.set))
        await may_stop.wait()
        for server in servers:
            server.close()
        self._end_sessions(b"")
        await asyncio.gather(*self._sessions, return_exceptions=True)

    def _accept(
        self, entrance: ListeningAddress, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.arrivals += 1
        client: Streams = reader, writer
        session = ProxiedSession(self.arrivals, client, entrance)
        task = self._loop.create_task(session.run(self._faults, self))
        self._sessions[task] = session
        task.add_done_callback(self._sessions.pop)
        # one that was ended before it could begin closes nothing by itself
        task.add_done_callback(lambda _: writer.close())

    def _end_sessions(self, parting: bytes) -> None:
        for task, session in list(self._sessions.items()):
            session.end(parting)
            task.cancel()

    def _call(self, action: Callable[[], Result]) -> Result:
        async def act() -> Result:
            return action()

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result()
