"""How quickly hostile requests are refused, and what they leave in memory.

`python benchmarks/hostile.py` serves the starter by `neonkit serve`, with an embedded PostgreSQL,
sends it the table of `tests/e2e/test_hostile_inputs.py` ten times over TCP, and prints what each
section took, the slowest rows (those that hash a password), and how the server's memory grew. Exit
code 1 where a row was answered otherwise than the table says.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from neonkit.local import LocalServer
from support.hostile import ADMIN, KEY, ROWS, Stage  # after the path
from support.outside import Served, serving

ROUNDS = 10


def _resident(served: Served) -> int:
    """MiB of the server process."""
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


def _measure(served: Served) -> int:
    served.wait_for("/health/startup", 200, 60)
    stage = Stage(served.url)
    stage.set_up()
    wrong = [name for name, row in ROWS.items() if stage.answer_to(row).told != row.told]
    before, times = _resident(served), defaultdict[str, list[float]](list)
    for _ in range(ROUNDS):
        for name, row in ROWS.items():
            for ask in row.before:
                stage.send(ask, "0")
            started = time.perf_counter()
            stage.send(row.sent, "0")
            took = (time.perf_counter() - started) * 1000
            for group in ("all", name[:3], name):
                times[group].append(took)
    for section, each in [(name, times[name]) for name in sorted(times) if name not in ROWS]:
        p99 = statistics.quantiles(each, n=100)[98]
        sys.stdout.write(
            f"{section}: {len(each):,} requests, p50 {statistics.median(each):.1f} ms, "
            f"p99 {p99:.1f} ms, at most {max(each):.1f} ms\n"
        )
    sys.stdout.write(
        f"memory: {before} MiB after the first round, {_resident(served)} after the last\n"
    )
    for name in wrong:
        sys.stdout.write(f"answered otherwise: {name}\n")
    return int(bool(wrong))


def main() -> int:
    """Serve, send and print."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)  # PostgreSQL does not run as root, and must get in
        server = asyncio.run(LocalServer.start(Path(place) / "data", is_durable=False))
        variables = {
            "ENVIRONMENT": "development",
            "NEON_DATABASE_URL": server.url,
            "SECRET_KEY": KEY,
            "RATE_LIMIT_ENABLED": "false",
            **{f"FIRST_ADMIN_{name.upper()}": value for name, value in ADMIN.items()},
        }
        command = ("neonkit", "serve", "neonkit_starter.app:app")
        try:
            with serving(Path(place), *command, **variables) as served:
                return _measure(served)
        finally:
            asyncio.run(server.stop())


if __name__ == "__main__":
    sys.exit(main())
