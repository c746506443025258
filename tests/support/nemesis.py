"""A nemesis: faults of a network and its database, drawn from a seed and counted."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from neonkit import Database
from neonkit.local import WireProxy
from neonkit.local._network_faults import When

_TERMINATE = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
KINDS = ("tear", "cut", "suspend", "freeze", "refuse", "terminate", "slice", "delay")
_WEIGHTS = (12, 2, 1, 1, 1, 2, 1, 1)


@dataclass(frozen=True)
class Misfortune:
    """One fault.

    Attributes:
        kind: one of `KINDS`; `tear` is a connection torn at a statement that commits.
        when: on which side of the statement.
        seconds: how long it lasts.
        pause: seconds until the next one.
    """

    kind: str
    when: When
    seconds: float
    pause: float


def draw(seed: int, *, pause: float = 0.15) -> Iterator[Misfortune]:
    """Faults without end: the same for the same seed."""
    chance = random.Random(seed)
    while True:
        (kind,) = chance.choices(KINDS, _WEIGHTS)
        when: When = chance.choice(get_args(When))
        yield Misfortune(kind, when, chance.uniform(0.05, 0.5), chance.uniform(0, 2 * pause))


class Nemesis:
    """Lets one fault after the other befall a wire.

    Args:
        wire: between the app and its database.
        db: a way of its own to the database.

    Attributes:
        happened: how many of each kind really did.
    """

    def __init__(self, wire: WireProxy, db: Database) -> None:
        self._wire = wire
        self._db = db
        self.happened: Counter[str] = Counter()

    async def rage(self, faults: Iterator[Misfortune]) -> None:
        """Do so until it is cancelled; then all is calm again."""
        try:
            for fault in faults:
                await getattr(self, f"_{fault.kind}")(fault)
                await asyncio.sleep(fault.pause)
        finally:
            self._wire.thaw()
            self._wire.admit()
            self._wire.wake()
            self._wire.slice_bytes, self._wire.delay = None, 0.0

    async def _tear(self, fault: Misfortune) -> None:
        before = self._wire.cuts
        self._wire.cut_at("statement", when=fault.when)
        for _ in range(20):
            if self._wire.cuts > before:
                self.happened[f"tear {fault.when}"] += 1
                return
            await asyncio.sleep(0.01)

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
        self._wire.refuse()
        self._wire.cut()
        await asyncio.sleep(fault.seconds)
        self._wire.admit()
        self.happened["refuse"] += 1

    async def _terminate(self, _fault: Misfortune) -> None:
        try:
            ended = (await self._db.execute(_TERMINATE)).all()
        except DBAPIError:
            return
        self.happened["terminate"] += len(ended)

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
