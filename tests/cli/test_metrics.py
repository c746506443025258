"""`/metrics` of several workers: whichever is asked tells of all."""

import os
import re
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.conftest import Launch, Service

_TOKEN = "kR4tVw7qLm2xZs9b"
_POOL = "database_pool_size"
_REQUESTS = r'http_request_duration_seconds_count{method="GET",route="/pid",status="200"}'


def _number(service: "Service", name: str) -> float:
    answer = service.get("/metrics", {"Authorization": f"Bearer {_TOKEN}"})
    assert answer.status == 200
    found = re.search(rf"^{re.escape(name)} (\S+)$", answer.body.decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_four_workers_add_up(launch: "Launch", production: dict[str, str], tmp_path: Path) -> None:
    """Counts are of all workers, also of one that died; the pools are of those that live."""
    env = {
        **production,
        "METRICS_TOKEN": _TOKEN,
        "POOL_SIZE": "2",
        "MAX_OVERFLOW": "1",
        "DRAIN_SECONDS": "0",
        "TMPDIR": str(tmp_path),
    }
    service = launch("serve", "notes:app", "--workers", "4", env=env)
    service.wait_until(service.is_ready)
    served: Counter[object] = Counter()
    while len(served) < 4:
        served[service.get("/pid").json()] += 1
    count = sum(served.values())
    assert {_number(service, _REQUESTS) for _ in range(8)} == {count}
    service.wait_until(lambda: _number(service, _POOL) == 4 * 3)

    victim = min(service.workers())
    os.kill(victim, signal.SIGKILL)
    service.wait_until(lambda: victim not in service.workers() and len(service.workers()) == 4)
    service.wait_until(lambda: _number(service, _POOL) == 4 * 3)
    assert _number(service, _REQUESTS) == count

    service.terminate()
    assert service.end() == 0
    assert list(tmp_path.glob("neonkit-metrics-*")) == []
