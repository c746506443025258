"""How a service fares in foul weather: `python -m benchmarks.foul_weather [PROGRAM…]`.

Each program serves `weather_app` with `neonkit serve`, behind the wire of `neonkit.local` where the
database is at fault, and prints one line of figures. The server has a core of its own, and the
clients have the other.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from secrets import token_urlsafe

import uvloop

from benchmarks.overload import overload
from benchmarks.weather_client import CORES, Client, at_rate, percentile, served
from neonkit.dsn import Dsn
from neonkit.local import LocalServer, WireProxy

SECRET_KEY = token_urlsafe(40)


async def cold_start(server: LocalServer, folder: Path, driver: str, wake: float) -> str:
    """50 requests a second, half of them writes, over a sleep that takes its time to end."""
    async with (
        WireProxy.start(Dsn.parse(server.url)) as wire,
        served(wire.url, folder, DATABASE_DRIVER=driver) as service,
    ):
        client, number = Client(service.port), 0

        async def ask() -> tuple[int, float]:
            nonlocal number
            number += 1
            return await client.ask("/read") if number % 2 else await client.ask("/write", "POST")

        for _ in range(20):
            await ask()
        wire.suspend(wake_seconds=wake)
        await asyncio.sleep(0.1)
        before, began = wire.arrivals, time.monotonic()
        tally = await at_rate(50, wake + 3, ask)
        backlog = time.monotonic() - began - wake - 3
        client.close()
    p99 = percentile(tally.good, 0.99)
    return (
        f"{driver}, wake-up of {wake:g} s: {tally.statuses.total()} asked, {tally.failed} failed "
        f"{dict(tally.statuses)}, p99 {p99:.2f} s, latest {max(tally.good + tally.rest):.2f} s, "
        f"{wire.arrivals - before} connects, last answer {backlog:.2f} s after the last request"
    )


PROGRAMS = {
    "cold-start-3": lambda server, folder, driver: cold_start(server, folder, driver, 3),
    "cold-start-10": lambda server, folder, driver: cold_start(server, folder, driver, 10),
    "cold-start-30": lambda server, folder, driver: cold_start(server, folder, driver, 30),
    "overload-cpu": lambda server, folder, driver: overload(
        server, folder, driver, "/read", "the processor is the limit"
    ),
    "overload-pool": lambda server, folder, driver: overload(
        server, folder, driver, "/hold", "the pool is the limit"
    ),
}


async def main(programs: list[str], drivers: list[str]) -> None:
    """Run them, one after the other."""
    if len(CORES) > 1:
        os.sched_setaffinity(0, set(CORES[1:]))
    os.environ["SECRET_KEY"] = SECRET_KEY
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = await LocalServer.start(folder / "postgres", is_durable=False)
        try:
            await _prepare(server)
            for program in programs:
                for driver in drivers:
                    line = await PROGRAMS[program](server, folder, driver)
                    sys.stdout.write(f"{line}\n")
                    sys.stdout.flush()
        finally:
            await server.stop()


async def _prepare(server: LocalServer) -> None:
    import asyncpg

    connection = await asyncpg.connect(server.url)
    await connection.execute("CREATE TABLE IF NOT EXISTS weather AS SELECT 0 AS n")
    await connection.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", nargs="*", default=list(PROGRAMS))
    parser.add_argument("--driver", action="append", choices=["asyncpg", "psycopg"])
    options = parser.parse_args()
    uvloop.run(main(options.programs, options.driver or ["asyncpg", "psycopg"]))
