"""What parsing costs before anybody has signed in: `python benchmarks/parsing.py`.

Sends inputs of 1,000 to 64,000 bytes to every place where a client's bytes are parsed without
knowing the client, and writes `benchmarks/results/parsing.md`: milliseconds of the processor, and
the most memory at a time. Exit code 1 where twice the bytes take three times as long.
"""

import gc
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.parsing import MOST, SIZES, Cost, cost_of, growth_of, places  # after the path

RESULT = Path(__file__).parent / "results" / "parsing.md"
TEXT = """\
# What parsing costs before anybody has signed in

`python benchmarks/parsing.py` on {date}: {machine}.

Milliseconds of the processor, the best of four runs, for so many bytes in one place of a request
that goes through the whole app; kB is the most memory at a time, for the largest. Growth is the
greatest factor from one size to the next, where less than 4 ms counts as 4 ms. What the app refuses
unread (a target over 8 KiB, header lines over 32 KiB, a body over 64 KiB) costs next to nothing
beyond its bound. A login hashes its password whatever it is: its row begins with what that takes.

{table}
"""


def _row(name: str, costs: list[Cost]) -> str:
    times = " | ".join(f"{cost.seconds * 1000:.1f}" for cost in costs)
    return f"| {name} | {times} | {costs[-1].kilobytes:,} | {growth_of(costs):.1f} |"


def main() -> int:
    """Measure every place, print the page and write it."""
    found = {}
    for name, make in places():
        gc.freeze()  # or each run would look through all that was imported
        found[name] = [cost_of(make, size) for size in SIZES]
    sizes = " | ".join(f"{size:,}" for size in SIZES)
    lines = [f"| place | {sizes} | kB | growth |", "| --- |" + " ---: |" * (len(SIZES) + 2)]
    page = TEXT.format(
        date=datetime.now(UTC).date(),
        machine=f"CPython {platform.python_version()}, {platform.system()} on "
        f"{platform.machine()}, {os.cpu_count()} cores",
        table="\n".join([*lines, *(_row(name, costs) for name, costs in found.items())]),
    )
    sys.stdout.write(page)
    RESULT.write_text(page, encoding="utf-8")
    return int(max(map(growth_of, found.values())) > MOST)


if __name__ == "__main__":
    sys.exit(main())
