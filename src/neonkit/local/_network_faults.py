"""The faults of a wire: delay, slices, standstill, cuts, refusals, sleep."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from neonkit.local._conversation import Moment
from neonkit.local._protocol_messages import error_message

When = Literal["before", "after", "during"]


class Refusal(StrEnum):
    """The words of Neon's proxy when it does not let a client in."""

    UNREACHABLE = "Couldn't connect to compute node"
    CONTROL_PLANE = "Control plane request failed"
    NOT_FOUND = "Control plane request failed: endpoint cannot be found"
    DISABLED = "Control plane request failed: endpoint is disabled"
    UNAVAILABLE = (
        "Control plane request failed: endpoint is temporarily unavailable. Check your quotas "
        "and/or contact our support."
    )
    TOO_MANY_ATTEMPTS = "Too many connections attempts"
    TOO_MANY_CONNECTIONS = "Too many connections to this endpoint. Please try again later."
    COMPUTE_TIME_QUOTA = (
        "Your account or project has exceeded the compute time quota. Upgrade your plan to "
        "increase limits."
    )
    POOL_FULL = "no more connections allowed (max_client_conn)"
    INSECURE = "connection is insecure (try using `sslmode=require`)"
    INTERNAL = "Internal error"


def words_of(refusal: Refusal) -> bytes:
    """A refusal as Neon's proxy sends it."""
    return error_message("ERROR", "XX000", refusal)


@dataclass(frozen=True)
class Cut:
    """Where the next session that comes there is torn.

    Attributes:
        moment: what the client asks for.
        when: on which side of it.
    """

    moment: Moment
    when: When

    @property
    def moments(self) -> tuple[Moment, ...]:
        """The moments that count as this one: a write is a statement too."""
        return ("statement", "write") if self.moment == "statement" else (self.moment,)


class NetworkFaults:
    """The state of one wire, read by all of its sessions in the wire's own event loop.

    Attributes:
        delay: seconds that a round trip takes longer; half in each direction.
        slice_bytes: how many bytes are written at once; `None` for all that are there.
        cut: to be taken by one session.
        cuts: how many were taken.
        refusal: the message that a new connection is answered with; `None` lets it in.
        refusals_left: how many are told so; `None` for all.
        calm: cleared while nothing moves.
        awake: cleared while the database sleeps.
        wake_seconds: how long the first connection of a sleeping database waits; `None` refuses
            it.
    """

    def __init__(self) -> None:
        self.delay = 0.0
        self.slice_bytes: int | None = None
        self.cut: Cut | None = None
        self.cuts = 0
        self.refusal: bytes | None = None
        self.refusals_left: int | None = None
        self.calm = asyncio.Event()
        self.calm.set()
        self.awake = asyncio.Event()
        self.awake.set()
        self.wake_seconds: float | None = None
        self._alarm: asyncio.TimerHandle | None = None

    def sleep(self, wake_seconds: float | None) -> None:
        """Let the database sleep."""
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None
        self.wake_seconds = wake_seconds
        self.awake.clear()

    def wake(self, after: float) -> None:
        """Wake it, some seconds from now."""
        if self._alarm:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_later(after, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self.awake.set()

    async def admit(self) -> bytes | None:
        """Wait as a login does; give the message that a client is refused with."""
        if not self.awake.is_set():
            if self._alarm is None:
                if self.wake_seconds is None:
                    return words_of(Refusal.UNREACHABLE)
                self.wake(self.wake_seconds)
            await self.awake.wait()
        if self.refusal is None or self.refusals_left == 0:
            return None
        if self.refusals_left is not None:
            self.refusals_left -= 1
        return self.refusal

    def take_cut(self, moment: Moment | None) -> When | None:
        """Claim the cut at this moment for a session; only the first that comes there gets it."""
        if self.cut is None or moment not in self.cut.moments:
            return None
        when, self.cut = self.cut.when, None
        self.cuts += 1
        return when


class Line:
    """One direction of a session: what is put in comes out `delay / 2` later, in order.

    It holds sixteen chunks; who puts in more waits.
    """

    def __init__(self, faults: NetworkFaults) -> None:
        self._faults = faults
        self._chunks: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue(maxsize=16)

    async def put(self, data: bytes | None) -> None:
        """Put bytes in; `None` is the end."""
        due = asyncio.get_running_loop().time() + self._faults.delay / 2
        await self._chunks.put((due, data))

    async def get(self) -> bytes | None:
        """Take the next bytes when their time has come, and not while nothing moves."""
        due, data = await self._chunks.get()
        wait = due - asyncio.get_running_loop().time()
        if wait > 0:
            await asyncio.sleep(wait)
        await self._faults.calm.wait()
        return data

    async def send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Write bytes, sliced where that is wanted, no faster than they are read."""
        step = self._faults.slice_bytes or max(len(data), 1)
        for start in range(0, len(data), step):
            writer.write(data[start : start + step])
            await writer.drain()
            if step < len(data):
                await asyncio.sleep(0)
