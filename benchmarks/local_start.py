"""How long the embedded PostgreSQL takes to be ready: `python benchmarks/local_start.py`.

Cold is the first start in a folder (initdb, extensions, server), warm every later one. Prints the
median, minimum and maximum of ten runs of each, in milliseconds.
"""

import asyncio
import platform
import statistics
import tempfile
import time
from pathlib import Path

from neonkit.local import LocalServer, find_binaries

RUNS = 10
_UNTIL_GONE = 0.3  # seconds that a stopped server surely needs no longer to end


async def _start(folder: Path) -> float:
    started = time.perf_counter()
    async with await LocalServer.start(folder):
        taken = (time.perf_counter() - started) * 1000
    await asyncio.sleep(_UNTIL_GONE)
    return taken


async def main() -> None:
    """Measure and print."""
    binaries = find_binaries()
    print(f"PostgreSQL {binaries.major()} ({binaries.source}), {platform.platform()}")  # noqa: T201
    with tempfile.TemporaryDirectory() as place:
        cold = [await _start(Path(place) / str(run)) for run in range(RUNS)]
        warm = [await _start(Path(place) / "0") for _ in range(RUNS)]
    for name, times in (("cold", cold), ("warm", warm)):
        middle = statistics.median(times)
        print(f"{name}: {middle:.0f} ms (min {min(times):.0f}, max {max(times):.0f})")  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
