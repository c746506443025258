"""Imports on the way to a running server."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def imported_for_good() -> Iterator[None]:
    """Keep garbage collection away from what the block imports, then and later.

    Modules stay as long as the process: to look for garbage among them took a sixth of a start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
