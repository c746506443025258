"""`python -m benchmarks.bench`: measure, and write what was found; `--help` has the options."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import uvloop

from benchmarks.bench.load import Plan
from benchmarks.bench.operations import QUICK, Rows
from benchmarks.bench.report import README, in_readme, page
from benchmarks.bench.results import Results
from benchmarks.bench.run import Scope, run
from benchmarks.bench.servers import ROOT

RESULTS = ROOT / "benchmarks" / "results"
_QUICK = Scope(
    QUICK,
    Plan(connections=4, warm=0.1, seconds=0.3),
    rounds=1,
    delays=(),
    rows=Rows(users=200, posts=1000, accounts=20),
)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201  # a command's progress


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each cell and round")
    parser.add_argument("--rounds", type=int, default=3, help="how often each cell is measured")
    parser.add_argument("--quick", action="store_true", help="a few cells: does it work at all?")
    parser.add_argument("--report", action="store_true", help="write the pages again, run nothing")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the results go")
    return parser.parse_args()


def main() -> None:
    """Run as the options say, and write results, page and README's table."""
    options = _options()
    if not options.report:
        plan = Plan(seconds=options.seconds)
        scope = _QUICK if options.quick else Scope(plan=plan, rounds=options.rounds)
        with (
            tempfile.TemporaryDirectory() as folder,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            results = runner.run(run(scope, Path(folder), _say))
        results.save(options.output)
    results = Results.load(options.output)
    (options.output / "bench.md").write_text(page(results))
    if options.output == RESULTS:
        README.write_text(in_readme(results, README.read_text()))
    print(page(results))  # noqa: T201  # what was asked for


if __name__ == "__main__":
    main()
