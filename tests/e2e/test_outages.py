"""The database goes away and comes back; so does the process that owns the embedded one."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from support.outside import PASSWORD, OutsidePostgres, Served, serving

ROUNDS = 10
SESSIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


def _register(served: Served, name: str) -> int:
    body = {
        "username": name,
        "email": f"{name}@example.com",
        "password": "a long and winding password",
    }
    request = Request(
        f"{served.url}/api/v1/users",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urlopen(request, timeout=20) as response:
            status: int = response.status
            return status
    except HTTPError as error:
        return error.code
    except (URLError, OSError):
        return 0


def test_a_database_that_comes_and_goes(tmp_path: Path, outside: OutsidePostgres) -> None:
    """Readiness tells the truth within 2 s both ways, ten times; nothing leaks, nothing is left."""
    with serving(
        tmp_path, "neonkit", "serve", "neonkit_starter.app:app",
        ENVIRONMENT="development", NEON_DATABASE_URL=outside.url, DRAIN_SECONDS="0",
        LOG_FORMAT="json", REQUEST_TIMEOUT="6", CONNECT_TIMEOUT="3",
    ) as served:  # fmt: skip
        served.wait_for("/health/ready", 200, 90)
        answers = []
        for round_ in range(ROUNDS):
            assert _register(served, f"before{round_}") == 201
            outside.stop()
            answers.append(served.wait_for("/health/ready", 503, 2))
            assert served.get("/health/live")[0] == 200
            during = threading.Thread(target=_register, args=(served, f"during{round_}"))
            during.start()
            outside.start()
            answers.append(served.wait_for("/health/ready", 200, 2))
            during.join()
            assert _register(served, f"during{round_}") == 409
        assert int(outside.query(SESSIONS)) <= 5 + 10 + 1
        idle = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        assert outside.query(idle) == "0"
        printed = "".join(answers) + served.output.read_text()
    assert set(answers) == {
        '{"status":"not_ready","checks":{"database":"failed"}}',
        '{"status":"ready","checks":{"database":"ok"}}',
    }
    for secret in ("Traceback", PASSWORD, f"127.0.0.1:{outside.port}", f'"{outside.port}'):
        assert secret not in printed


def test_away_at_start(tmp_path: Path, outside: OutsidePostgres) -> None:
    """`serve` listens although the database is away, says so, and starts when it is back."""
    subprocess.run(
        [sys.executable, "-m", "neonkit", "migrate", "neonkit_starter.app:app"],
        cwd=tmp_path,
        env={**os.environ, "NEON_DATABASE_URL": outside.url},
        check=True,
    )
    outside.stop()
    with serving(
        tmp_path, "neonkit", "serve", "neonkit_starter.app:app",
        ENVIRONMENT="production", NEON_DATABASE_URL=outside.url, DRAIN_SECONDS="0",
        SECRET_KEY="an0ther-l0ng-and-quite-r4ndom-signing-key",
    ) as served:  # fmt: skip
        served.wait_for("/health/live", 200, 10)
        assert served.get("/health/startup")[0] == 503
        assert json.loads(served.wait_for("/health/ready", 503, 2))["checks"] == {
            "database": "failed",
            "migrations": "unknown",
        }
        outside.start()
        served.wait_for("/health/startup", 200, 90)
        served.wait_for("/health/ready", 200, 2)
        assert "Traceback" not in served.output.read_text()


@contextmanager
def _registering(served: Served, prefix: str, made: list[str]) -> Iterator[None]:
    """Make users for the block, and remember those that were answered 201."""
    has_ended = threading.Event()

    def make() -> None:
        number = 0
        while not has_ended.is_set():
            number += 1
            if _register(served, f"{prefix}{number}") == 201:
                made.append(f"{prefix}{number}")

    threads = [threading.Thread(target=make)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        has_ended.set()
        for thread in threads:
            thread.join()


def _processes_in(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("whole_group", [False, True])
def test_kill_9_while_users_are_made(tmp_path: Path, *, whole_group: bool) -> None:
    """No PostgreSQL is left after 1 s, and every user that was answered 201 is there again."""
    made: list[str] = []
    command = ("neonkit", "dev", "neonkit_starter.app:app")
    with serving(tmp_path, *command, RATE_LIMIT_ENABLED="false") as served:
        served.wait_for("/health/ready", 200, 90)
        with _registering(served, "user", made):
            time.sleep(1)
            if whole_group:
                os.killpg(served.process.pid, signal.SIGKILL)
            else:
                served.process.kill()
            deadline = time.monotonic() + 1
            while any("postgres" in line for line in _processes_in(tmp_path / ".neonkit")):
                assert time.monotonic() < deadline, _processes_in(tmp_path)
                time.sleep(0.01)
    assert made
    with serving(tmp_path, *command, RATE_LIMIT_ENABLED="false") as served:
        served.wait_for("/health/ready", 200, 90)
        assert [name for name in made if _register(served, name) != 409] == []
