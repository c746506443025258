"""The benchmark runs, and counts what it should."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_quick_run_counts_and_measures_every_cell(tmp_path: Path) -> None:
    """`--quick` counts the known round trips on each road, and each cell has answers."""
    command = [sys.executable, "-m", "benchmarks.bench", "--quick", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    results = json.loads((tmp_path / "bench.json").read_text())
    trips = results["trips"]
    # means: a connection that the guide is still opening may add a trip to one request
    assert [round(trips[name]["source"]) for name in trips] == [6, 12, 8]
    assert [trips[name]["raw"] for name in trips] == [1, 1, 1]
    assert [trips[name]["plain"] for name in ("read one", "create")] == [1, 1]
    assert trips["transfer (bare)"]["starter"] == 1
    samples = [dict(zip(results["columns"], row, strict=True)) for row in results["samples"]]
    cells = {(each["operation"], each["road"]) for each in samples if each["requests"] > 0}
    assert cells == {(name, road) for name, roads in trips.items() for road in roads}
    assert (tmp_path / "bench.md").read_text() == done.stdout[:-1]
