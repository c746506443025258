"""Turns: reads that cost much, which requests may have a few of at a time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

from neonkit.db import current_scope
from neonkit.errors import OverloadedError
from neonkit.resources._listing import Listing
from neonkit.resources._page import PageRequest
from neonkit.resources._search import has_trigram

AT_A_TIME = 3
"""How many reads of a whole table a process sends together: more would take the connections of
everybody else."""
LARGE_AT_A_TIME = 1
"""How many large pages it reads together: more would be no faster, and fill its memory."""

_LARGE = 512 * 1024  # characters of a page
_PATIENCE = 1.0  # seconds until who waits for a turn is told to come back
_MEASURED = 3  # rows of a page
_WHOLE = "Too many lists are being read as a whole; ask again shortly, for less of it."
_PAGES = "Too many large pages are being read; ask again shortly, for a smaller one."

_row_sizes: WeakKeyDictionary[Listing, int] = WeakKeyDictionary()
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Semaphore]] = (
    WeakKeyDictionary()
)


@asynccontextmanager
async def turn_of(page: PageRequest, listing: Listing) -> AsyncIterator[None]:
    """Wait for a turn, where a request's page takes a read of the whole table, or is large.

    It reads the whole table where a `q` is too short for an index, and where somebody who is not
    signed in has all rows counted. It is large as the rows of the list were, when last seen. A
    script, a task or a socket waits for nobody.

    Raises:
        OverloadedError: others are before it for longer than it may wait.
    """
    scope = current_scope()
    if scope.deadline is None:
        yield
    elif _reads_all(page, is_anonymous=scope.guard is None):
        async with _turn(_WHOLE, AT_A_TIME):
            yield
    elif page.limit * _row_sizes.get(listing, 0) > _LARGE:
        async with _turn(_PAGES, LARGE_AT_A_TIME):
            yield
    else:
        yield


def note_rows(listing: Listing, rows: Sequence[Sequence[Any]]) -> None:
    """Remember how large the rows of a list are, by a few of them."""
    step = max(1, len(rows) // _MEASURED)
    sizes = [_size_of(row) for row in rows[::step][:_MEASURED]]
    if sizes:
        _row_sizes[listing] = max(sizes)


def _size_of(row: Sequence[Any]) -> int:
    """Characters and bytes of a row, and of the entities in it."""
    entities = (vars(value).values() for value in row if hasattr(value, "__dict__"))
    values = chain(row, *entities)
    return sum(len(value) for value in values if isinstance(value, str | bytes))


@asynccontextmanager
async def _turn(refusal: str, at_a_time: int) -> AsyncIterator[None]:
    turns = _turns.setdefault(asyncio.get_running_loop(), {})
    turn = turns.setdefault(refusal, asyncio.Semaphore(at_a_time))
    try:
        async with asyncio.timeout(_PATIENCE):
            await turn.acquire()
    except TimeoutError:
        raise OverloadedError(refusal) from None
    try:
        yield
    finally:
        turn.release()


def _reads_all(page: PageRequest, *, is_anonymous: bool) -> bool:
    is_short = page.q is not None and not has_trigram(page.q)
    return is_short or (page.total == "exact" and is_anonymous)
