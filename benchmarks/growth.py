"""How requests grow with the number of posts: `python benchmarks/growth.py [SIZE …]`.

Fills an embedded PostgreSQL with 10,000, 100,000 and 1,000,000 posts of demo data (or the sizes
that are given), sends each kind of request, and has the server explain the statements that were
really sent. Prints a table, and for the usual sizes writes it to `benchmarks/results/growth.md`.
Takes four minutes and 3 GB of disk. Exit code 1 where a plan reads a whole table, or where the
pages that a request looks at grow by more than half.
"""

import asyncio
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from sqlalchemy import text

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from neonkit import create_engine  # noqa: E402  # after the path
from neonkit.dsn import Dsn  # noqa: E402
from neonkit.local import LocalServer  # noqa: E402
from support.growth import MOST, PLANTED, Costs, grown, growth_of, measure  # noqa: E402

SIZES = (10_000, 100_000, 1_000_000)
REPORTED = ("?q=gardener from Riga", "?q=harbour", "?author_id=1", "?sort=title", "?total=exact")
RESULT = Path(__file__).parent / "results" / "growth.md"
TEXT = """\
# What requests cost as the table grows

`python benchmarks/growth.py` on {date}: {machine}.

The planner's settings are the default ones; the tables are as `VACUUM ANALYZE` leaves them. The
data: `neonkit_starter.demo_data`, a tenth as many users as posts. The numbers are pages (8 kB) that
the request's statements looked at, in memory or not: a count, not a time.

{promised}

The search is for a planted word whose trigrams occur nowhere else, in {planted} posts at every
size; the deep page is the one half way down the list. Promised: every plan goes by index, and at no
size looks at more than {most} times the pages that it looks at where it is cheapest.

## Reported, not promised

What finds more in more rows reads more: a search reads every row that it finds, to put them in
order.

{reported}

## Plans at {largest} posts

{plans}
"""


def _table(sizes: Sequence[int], costs: Sequence[Costs], names: Sequence[str]) -> str:
    heads = [f"{size:,} posts" for size in sizes]
    lines = [
        ["request", *heads, "growth"],
        ["---", *["---:"] * (len(heads) + 1)],
        *(
            [name, *(f"{each[name].buffers:,}" for each in costs), f"{growth_of(costs, name):.2f}"]
            for name in names
        ),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _report(sizes: Sequence[int], costs: Sequence[Costs], machine: str) -> str:
    promised = [name for name in costs[0] if name not in REPORTED]
    plans = [f"* {name}: {cost.plan}" for name, cost in costs[-1].items()]
    return TEXT.format(
        date=datetime.now(UTC).date(),
        machine=machine,
        promised=_table(sizes, costs, promised),
        planted=PLANTED,
        most=MOST,
        reported=_table(sizes, costs, REPORTED),
        largest=f"{sizes[-1]:,}",
        plans="\n".join(plans),
    )


def _faults(costs: Sequence[Costs]) -> list[str]:
    promised = [name for name in costs[0] if name not in REPORTED]
    scanned = [
        f"{name} reads a whole table"
        for each in costs
        for name in promised
        if not each[name].is_by_index
    ]
    return scanned + [f"{name} grows" for name in promised if growth_of(costs, name) > MOST]


async def _machine(server: Dsn) -> str:
    engine = create_engine(server)
    async with engine.connect() as connection:
        number = await connection.scalar(text("SHOW server_version"))
    await engine.dispose()
    system = f"{platform.system()} on {platform.machine()}, {os.cpu_count()} cores"
    return f"PostgreSQL {number}, {system}"


def _folder_in(place: str) -> Path:
    Path(place).chmod(0o755)  # PostgreSQL does not run as root, and must get in
    return Path(place) / "data"


async def main(sizes: Sequence[int]) -> int:
    """Measure, print, write; the exit code."""
    costs = []
    with tempfile.TemporaryDirectory() as place:
        async with await LocalServer.start(_folder_in(place)) as server:
            dsn = Dsn.parse(server.url)
            machine = await _machine(dsn)
            for size in sizes:
                progress = Progress(console=Console(stderr=True))
                async with grown(dsn, size, progress) as filled:
                    costs.append(await measure(filled, size, REPORTED))
    report = _report(sizes, costs, machine)
    print(report)  # noqa: T201
    if tuple(sizes) == SIZES:
        RESULT.write_text(report)
    faults = _faults(costs)
    for fault in faults:
        print(fault, file=sys.stderr)  # noqa: T201
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main([int(size) for size in sys.argv[1:]] or SIZES)))
