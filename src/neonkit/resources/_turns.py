"""Turns: reads of a whole table, which requests may have a few of at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from neonkit.db import current_scope
from neonkit.errors import OverloadedError
from neonkit.resources._page import PageRequest
from neonkit.resources._search import has_trigram

AT_A_TIME = 3
"""How many a process sends together: more would take the connections of everybody else."""

_PATIENCE = 1.0  # seconds until who waits for a turn is told to come back
_BUSY = "Too many lists are being read as a whole; ask again shortly, for less of it."

_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


@asynccontextmanager
async def turn_of(page: PageRequest) -> AsyncIterator[None]:
    """Wait for a turn, where a request's page takes a read of the whole table.

    So it is where a `q` is too short for an index, and where somebody who is not signed in has all
    rows counted. A script, a task or a socket waits for nobody.

    Raises:
        OverloadedError: others are before it for longer than it may wait.
    """
    if not _is_bounded(page):
        yield
        return
    turns = _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(AT_A_TIME))
    try:
        async with asyncio.timeout(_PATIENCE):
            await turns.acquire()
    except TimeoutError:
        raise OverloadedError(_BUSY) from None
    try:
        yield
    finally:
        turns.release()


def _is_bounded(page: PageRequest) -> bool:
    scope = current_scope()
    if scope.deadline is None:
        return False
    is_short = page.q is not None and not has_trigram(page.q)
    return is_short or (page.total == "exact" and scope.guard is None)
