"""What parsing costs before anybody has signed in: `python benchmarks/parsing.py`.

Sends inputs of 1,000 to 64,000 bytes to every place where a client's bytes are parsed without
knowing the client, and prints milliseconds of the processor and the most memory at a time. Exit
code 1 where twice the bytes take three times as long.
"""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.parsing import MOST, SIZES, cost_of, growth_of, places  # after the path


def main() -> int:
    """Measure every place, and print the table."""
    table = Table("place", *(f"{size:,}" for size in SIZES), "kB", "growth", title="milliseconds")
    worst = 0.0
    for name, make in places():
        costs = [cost_of(make, size) for size in SIZES]
        growth = growth_of(costs)
        worst = max(worst, growth)
        times = [f"{cost.seconds * 1000:.1f}" for cost in costs]
        table.add_row(name, *times, str(costs[-1].kilobytes), f"{growth:.1f}")
    Console(width=140).print(table)
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
