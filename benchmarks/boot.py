"""How long a process takes to its first row: `python benchmarks/boot.py [ROUNDS]`.

Starts three apps that read one row of the same database, one after the other in each round: FastAPI
on asyncpg with SQL by hand, FastAPI and SQLModel on SQLAlchemy's own engine, and the same with
neonkit; each as its users start it, its bytecode in place. Beside them `import neonkit` and
`neonkit --help`. Prints medians, and the medians of the rounds' own ratios; with the usual rounds
they are written to `benchmarks/results/boot.md`. Takes a minute, and wants a quiet machine: a busy
one stretches the seconds, though not the processor's time.
"""

import asyncio
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

from sqlalchemy import text

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.bench.ports import free_port  # noqa: E402  # after the path
from neonkit import create_engine  # noqa: E402  # after the path
from neonkit.db import bring_schema  # noqa: E402  # after the path
from neonkit.local import LocalServer  # noqa: E402  # after the path

RESULT = Path(__file__).parent / "results" / "boot.md"
ROUNDS = 15
PATIENCE = 60.0  # seconds
NOTHING = "Python, nothing imported"
COMMANDS = {
    NOTHING: ("-c", "pass"),
    "`import neonkit`": ("-c", "import neonkit"),
    "`neonkit --help`": ("-m", "neonkit", "--help"),
}
BY_HAND, STOCK, OURS = "FastAPI, asyncpg, SQL by hand", "FastAPI, SQLModel, asyncpg", "neonkit"
_UVICORN = ("-m", "uvicorn", "--no-access-log")
APPS = {
    BY_HAND: (*_UVICORN, "benchmarks.boot_apps.by_hand:app"),
    STOCK: (*_UVICORN, "benchmarks.boot_apps.stock:app"),
    OURS: ("-m", "neonkit", "serve", "benchmarks.boot_apps.ours:app"),
}
SETTINGS = {
    "ENVIRONMENT": "production",
    "SECRET_KEY": "benchmarks-sign-nothing-that-anybody-trusts-7f3a91",
    "DRAIN_SECONDS": "0",
}
TEXT = """\
# What a start costs

`python benchmarks/boot.py` on {date}: CPython {python}, {system}, {cores} cores.

Milliseconds, medians of {rounds} rounds in which they took turns; each ratio is the median of the
rounds' own. From the start of the process to its end, or to the first row over HTTP, of a database
on the same machine. Where Python alone takes far more than 15 ms, other things ran on the machine:
the processor's time is then what to go by.

| process | ms | of the processor |
| --- | ---: | ---: |
{processes}

| ratio, to the first row | of the ms | of the processor's |
| --- | ---: | ---: |
{ratios}
"""


class Cost(NamedTuple):
    """What a start took, in milliseconds."""

    passed: float
    of_processor: float


Round = dict[str, Cost]


def run(arguments: tuple[str, ...], environment: Mapping[str, str]) -> Cost:
    """Run Python to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    command = [sys.executable, *arguments]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  # our own
    passed = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(passed * 1000, used * 1000)


def first_row(arguments: tuple[str, ...], environment: Mapping[str, str]) -> Cost:
    """Start an app, and end it once it has answered with the row."""
    port = free_port()
    command = [sys.executable, *arguments, "--port", str(port)]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)  # noqa: S603  # our own
    try:
        while not _has_answered(port):
            if process.poll() is not None or time.perf_counter() - started > PATIENCE:
                raise RuntimeError(f"it does not start: {command}")
            time.sleep(0.005)
        passed = time.perf_counter() - started
        used = time.clock_gettime(~process.pid << 3 | 2)  # as clock_getcpuclockid(3) makes it
    finally:
        process.terminate()
        process.wait(PATIENCE)
    return Cost(passed * 1000, used * 1000)


def _has_answered(port: int) -> bool:
    try:
        with urlopen(
            f"http://127.0.0.1:{port}/notes/1", timeout=PATIENCE
        ) as answer:  # this machine
            return b"first" in answer.read()
    except URLError:
        return False


def one_round(environment: Mapping[str, str]) -> Round:
    """Measure each once."""
    commands = {name: run(each, environment) for name, each in COMMANDS.items()}
    return commands | {name: first_row(each, environment) for name, each in APPS.items()}


def report(rounds: list[Round]) -> str:
    """Write the page."""

    def middle(name: str, column: int) -> str:
        return f"{statistics.median(each[name][column] for each in rounds):,.0f}"

    def ratio(of: str, to: str, column: int) -> str:
        middle = statistics.median(each[of][column] / each[to][column] for each in rounds)
        return f"{middle:.2f}"

    names = [*COMMANDS, *(f"{name}, to the first row" for name in APPS)]
    processes = [
        f"| {shown} | {middle(name, 0)} | {middle(name, 1)} |"
        for shown, name in zip(names, rounds[0], strict=True)
    ]
    ratios = [
        f"| neonkit to {to} | {ratio(OURS, to, 0)} | {ratio(OURS, to, 1)} |"
        for to in (STOCK, BY_HAND)
    ]
    return TEXT.format(
        date=datetime.now(UTC).date(),
        python=platform.python_version(),
        system=f"{platform.system()} on {platform.machine()}",
        cores=os.cpu_count(),
        rounds=len(rounds),
        processes="\n".join(processes),
        ratios="\n".join(ratios),
    )


@asynccontextmanager
async def note() -> AsyncIterator[str]:
    """Run a PostgreSQL with the one row."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        async with await LocalServer.start(Path(place), is_durable=False) as server:
            engine = create_engine(server.url)
            async with engine.begin() as connection:
                await bring_schema(connection)
                await connection.execute(text("CREATE TABLE note (id serial, title text)"))
                await connection.execute(text("INSERT INTO note (title) VALUES ('first')"))
            await engine.dispose()
            yield server.url


async def measure(rounds: int) -> list[Round]:
    """Run the rounds, after one that writes the bytecode."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with tempfile.TemporaryDirectory() as bytecode:
        async with note() as url:
            own = {"NEON_DATABASE_URL": url, "PYTHONPYCACHEPREFIX": bytecode}
            environment = kept | SETTINGS | own
            one_round(environment)
            return [one_round(environment) for _ in range(rounds)]


def main(rounds: int) -> None:
    """Measure and print."""
    page = report(asyncio.run(measure(rounds)))
    print(page, end="")  # noqa: T201
    if rounds == ROUNDS:
        RESULT.write_text(page)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else ROUNDS)
