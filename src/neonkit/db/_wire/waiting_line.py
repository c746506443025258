"""The line in front of the pool: who came first is served first, whatever happens meanwhile."""

import asyncio
import time
from dataclasses import dataclass, field


@dataclass(eq=False)
class Place:
    """A place in the line.

    Attributes:
        since: when its clock began, on the monotonic clock.
        is_counted: whether it counts towards the bound of a busy database.
        turn: ends when a slot is its own.
    """

    since: float = field(default_factory=time.monotonic)
    is_counted: bool = True
    turn: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class WaitingLine:
    """Slots, and who waits for one.

    Args:
        slots: how many there are.

    Attributes:
        counted: how many wait since the line began anew.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._places: dict[Place, None] = {}
        self.counted = 0

    def __len__(self) -> int:
        return len(self._places)

    def take_free(self) -> bool:
        """Take a slot that nobody waits for, if there is one."""
        if self._free == 0 or self._places:
            return False
        self._free -= 1
        return True

    def enter(self) -> Place:
        """Stand at the end."""
        place = Place()
        self._places[place] = None
        self.counted += 1
        return place

    def leave(self, place: Place) -> None:
        """Go, with or without the slot that may have come meanwhile."""
        if place in self._places:
            self._remove(place)
        elif place.turn.done():
            self.give_back()

    def give_back(self) -> None:
        """Give a slot to whoever is first."""
        first = next(iter(self._places), None)
        if first is None:
            self._free += 1
            return
        self._remove(first)
        first.turn.set_result(None)

    def begin_anew(self) -> None:
        """Let the clocks of all begin now, and count none of them."""
        for place in self._places:
            place.since, place.is_counted = time.monotonic(), False
        self.counted = 0

    def _remove(self, place: Place) -> None:
        del self._places[place]
        self.counted -= place.is_counted
