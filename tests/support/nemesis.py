"""A nemesis: faults of a network and its database, drawn from a seed and counted."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from sqlalchemy import text

from neonkit import Database
from neonkit.local import Refusal, WireProxy
from neonkit.local._conversation import Moment
from neonkit.local._network_faults import When

_TERMINATE = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
KINDS = ("tear", "cut", "suspend", "freeze", "refuse", "terminate", "slice", "delay")
_WEIGHTS = (12, 2, 1, 1, 1, 2, 1, 1)
_MOMENTS: tuple[Moment, ...] = ("write", "write", "statement")
_WORDS = (Refusal.UNREACHABLE, Refusal.TOO_MANY_CONNECTIONS, Refusal.INTERNAL)


@dataclass(frozen=True)
class Misfortune:
    """One fault.

    Attributes:
        kind: one of `KINDS`; `tear` is a connection torn at a statement that is sent on its own.
        moment: which statements it may be.
        when: on which side of it.
        words: what a new connection is refused with.
        seconds: how long it lasts.
        pause: how many requests are asked before it.
    """

    kind: str
    moment: Moment
    when: When
    words: str
    seconds: float
    pause: int


def draw(seed: int, *, pause: int, longest: float) -> Iterator[Misfortune]:
    """Faults without end: the same for the same seed.

    Args:
        seed: to draw them from.
        pause: how many requests are asked between two, on average.
        longest: seconds that one lasts at most.
    """
    chance = random.Random(seed)
    while True:
        (kind,) = chance.choices(KINDS, _WEIGHTS)
        yield Misfortune(
            kind,
            chance.choice(_MOMENTS),
            chance.choice(get_args(When)),
            chance.choice(_WORDS),
            longest * chance.random() ** 3,  # most are short
            chance.randint(1, 2 * pause - 1),
        )


class Nemesis:
    """Lets one fault after the other befall a wire, in step with what is asked of the app.

    Not by the clock: a slow machine has as many faults as a fast one.

    Args:
        wire: between the app and its database.
        past_it: the same database, past the wire.

    Attributes:
        happened: how many of each kind really did.
    """

    def __init__(self, wire: WireProxy, past_it: Database) -> None:
        self._wire = wire
        self._past_it = past_it
        self._asked = asyncio.Semaphore(0)
        self.happened: Counter[str] = Counter()

    def note_request(self) -> None:
        """Note that something is asked of the app."""
        self._asked.release()

    async def rage(self, faults: Iterator[Misfortune]) -> None:
        """Do so until it is cancelled; then all is calm again."""
        try:
            for fault in faults:
                for _ in range(fault.pause):
                    await self._asked.acquire()
                await getattr(self, f"_{fault.kind}")(fault)
        finally:
            self._wire.spare()
            self._wire.thaw()
            self._wire.admit()
            self._wire.wake()
            self._wire.slice_bytes, self._wire.delay = None, 0.0

    async def _tear(self, fault: Misfortune) -> None:
        before = self._wire.cuts
        self._wire.cut_at(fault.moment, when=fault.when)
        while self._wire.cuts == before:  # noqa: ASYNC110  # the wire tells nobody
            await asyncio.sleep(0.002)
        self.happened[f"{fault.moment} torn {fault.when}"] += 1

    async def _cut(self, _fault: Misfortune) -> None:
        self._wire.cut()
        self.happened["cut"] += 1

    async def _suspend(self, fault: Misfortune) -> None:
        self._wire.suspend(wake_seconds=fault.seconds)
        self.happened["suspend"] += 1

    async def _freeze(self, fault: Misfortune) -> None:
        self._wire.freeze()
        await asyncio.sleep(fault.seconds)
        self._wire.thaw()
        self.happened["freeze"] += 1

    async def _refuse(self, fault: Misfortune) -> None:
        self._wire.refuse(fault.words)
        self._wire.cut()
        await asyncio.sleep(fault.seconds)
        self._wire.admit()
        self.happened["refuse"] += 1

    async def _terminate(self, _fault: Misfortune) -> None:
        ended = (await self._past_it.execute(_TERMINATE)).all()
        self.happened["terminate"] += bool(ended)

    async def _slice(self, fault: Misfortune) -> None:
        self._wire.slice_bytes = 1
        await asyncio.sleep(fault.seconds / 5)
        self._wire.slice_bytes = None
        self.happened["slice"] += 1

    async def _delay(self, fault: Misfortune) -> None:
        self._wire.delay = fault.seconds / 5
        await asyncio.sleep(fault.seconds)
        self._wire.delay = 0.0
        self.happened["delay"] += 1
