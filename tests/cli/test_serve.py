"""`neonkit serve`: ready once, drained when told to end, refused early where it is set up wrong."""

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli.conftest import Launch, Run


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_drains(launch: "Launch", production: dict[str, str], workers: str) -> None:
    """Readiness is 503 at once, new requests are served a while, running ones finish, exit 0."""
    env = {**production, "DRAIN_SECONDS": "1.5", "WORKERS": workers}
    service = launch("serve", "notes:app", env=env)
    service.wait_until(service.is_ready)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(service.get, "/slow?seconds=3")
        time.sleep(0.3)
        service.terminate()
        service.wait_for("draining", count=int(workers))
        refused, served = service.get("/health/ready"), service.get("/pid")
        code = service.end()
    assert refused.status == 503
    assert served.status == 200
    assert served.headers["Connection"] == "close"
    assert slow.result().status == 200
    assert code == 0
    assert "Traceback" not in service.text
    assert production["NEON_DATABASE_URL"].split(":")[2].split("@")[0] not in service.text


def test_one_line_says_that_it_is_ready(launch: "Launch", production: dict[str, str]) -> None:
    """With several workers too, there is one line, and it comes when all of them serve."""
    service = launch("serve", "notes:app", "--workers", "2", env=production)
    service.wait_until(service.is_ready)
    assert service.text.count("neonkit serving on http://127.0.0.1:") == 1
    assert f"(2 workers, pid {service.process.pid})" in service.text


def test_the_app_is_left_out_of_garbage_collections(
    launch: "Launch", production: dict[str, str]
) -> None:
    """What was imported and built before the first request is not walked through in one."""
    service = launch("serve", "notes:app", env=production)
    service.wait_until(service.is_ready)

    frozen = service.get("/frozen").json()
    assert isinstance(frozen, int)
    assert frozen > 50_000


def test_connections_are_refused_after_the_drain(
    launch: "Launch", production: dict[str, str]
) -> None:
    """While running requests finish, the port takes no new ones."""
    service = launch("serve", "notes:app", env={**production, "DRAIN_SECONDS": "0.2"})
    service.wait_until(service.is_ready)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(service.get, "/slow?seconds=2.5")
        time.sleep(0.3)
        service.terminate()
        time.sleep(1)
        with pytest.raises(ConnectionRefusedError):
            service.get("/pid")
        assert slow.result().status == 200


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_signal_hurries(
    launch: "Launch", production: dict[str, str], workers: str
) -> None:
    """SIGTERM twice ends the wait for new requests, and the exit code is 0 still."""
    env = {**production, "DRAIN_SECONDS": "40", "SHUTDOWN_TIMEOUT": "60", "WORKERS": workers}
    service = launch("serve", "notes:app", env=env)
    service.wait_until(service.is_ready)
    service.terminate()
    service.wait_for("draining", count=int(workers))
    service.terminate()
    assert service.end() == 0


def test_shutdown_timeout_bounds_requests_that_never_end(
    launch: "Launch", production: dict[str, str]
) -> None:
    """What runs shortly before SHUTDOWN_TIMEOUT is dropped, the database is closed, exit 0."""
    env = {**production, "DRAIN_SECONDS": "0.1", "SHUTDOWN_TIMEOUT": "3"}
    service = launch("serve", "notes:app", env=env)
    service.wait_until(service.is_ready)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(service.get, "/slow?seconds=14")
        time.sleep(0.3)
        started = time.monotonic()
        service.terminate()
        assert service.end() == 0
        assert time.monotonic() - started < 3.5
        assert slow.exception() is not None or slow.result().status >= 500


def test_shutdown_timeout_bounds_an_event_loop_that_is_stuck(
    launch: "Launch", production: dict[str, str]
) -> None:
    """A handler that blocks the loop cannot keep the process: it ends with 1, and says why."""
    env = {**production, "DRAIN_SECONDS": "0", "SHUTDOWN_TIMEOUT": "1"}
    service = launch("serve", "notes:app", env=env)
    service.wait_until(service.is_ready)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(service.get, "/stuck?seconds=20")
        time.sleep(0.5)
        service.terminate()
        assert service.end() == 1
    assert "SHUTDOWN_TIMEOUT" in service.text


def test_a_killed_worker_is_replaced(launch: "Launch", production: dict[str, str]) -> None:
    """Kill -9 of a worker costs the requests that it ran, and another one takes its place."""
    env = {**production, "DRAIN_SECONDS": "0"}
    service = launch("serve", "notes:app", "--workers", "2", env=env)
    service.wait_until(service.is_ready)
    victim = service.get("/pid").json()
    assert isinstance(victim, int)
    os.kill(victim, signal.SIGKILL)
    service.wait_for("starting another")
    service.wait_until(lambda: len(service.workers() - {victim}) == 2)
    assert service.get("/pid").json() != victim
    service.wait_until(service.is_ready)
    service.terminate()
    assert service.end() == 0


def test_workers_end_with_their_parent(launch: "Launch", production: dict[str, str]) -> None:
    """Kill -9 of the parent frees the port: no worker goes on without it."""
    service = launch("serve", "notes:app", "--workers", "2", env=production)
    service.wait_until(service.is_ready)
    workers = service.workers()
    assert len(workers) == 2
    service.process.kill()
    service.end()
    service.wait_until(lambda: not service.alive(workers))
    with pytest.raises(ConnectionRefusedError):
        service.get("/pid")


@pytest.mark.parametrize(
    ("env", "names"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY is not set"),
        ({"NEON_DATABASE_URL": ""}, "NEON_DATABASE_URL is not set"),
        ({"LOCK_TIMEOUT": "9"}, "LOCK_TIMEOUT (9) must be smaller than STATEMENT_TIMEOUT (5)"),
        ({"PORT": "99999"}, "PORT"),
    ],
)
def test_wrong_settings_are_one_line(
    run_neonkit: "Run", production: dict[str, str], env: dict[str, str], names: str
) -> None:
    """It refuses before it listens: one line that names the variable, exit code 2, no traceback."""
    done = run_neonkit("serve", "notes:app", env={**production, **env})
    assert (done.code, done.output) == (2, "")
    assert done.error.startswith("neonkit: ")
    assert names in done.error
    assert len(done.error.splitlines()) == 1


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("app", "says"),
    [
        ("notes", "notes:app"),
        ("notes.py", "notes:app"),
        ("./notes.py:app", "notes:app"),
        ("missing:app", "no module 'missing'"),
        ("notes:missing", "did you mean notes:app?"),
        ("notes:os.sep", "not an ASGI app"),
        ("a b:c", "module:attribute"),
    ],
)
def test_a_wrong_app_is_one_line(
    run_neonkit: "Run", production: dict[str, str], app: str, says: str, workers: str
) -> None:
    """A mistyped app is answered with the fix, from one worker or many: exit code 2, once."""
    env = {**production, "PORT": "0"}
    done = run_neonkit("serve", app, "--workers", workers, env=env)
    assert (done.code, done.output) == (2, "")
    assert says in done.error
    assert done.error.count("neonkit: ") == 1
    assert "Traceback" not in done.error


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_app_that_cannot_be_imported_shows_its_own_traceback(
    run_neonkit: "Run", production: dict[str, str], tmp_path: Path, workers: str
) -> None:
    """A mistake inside of the app is logged as its author needs it, and the exit code is 1."""
    (tmp_path / "broken.py").write_text("import not_there\n")
    env = {**production, "PORT": "0", "LOG_FORMAT": "json"}
    done = run_neonkit("serve", "broken:app", "--workers", workers, env=env)
    assert done.code == 1
    assert "No module named 'not_there'" in done.error
    assert "broken:app cannot be imported" in done.error


def test_the_app_is_the_projects_entrypoint(
    launch: "Launch", production: dict[str, str], tmp_path: Path
) -> None:
    """Without APP, `[tool.fastapi] entrypoint` of pyproject.toml says what to run."""
    (tmp_path / "pyproject.toml").write_text('[tool.fastapi]\nentrypoint = "notes:app"\n')
    service = launch("serve", env={**production, "DRAIN_SECONDS": "0"})
    assert service.get("/pid").json() == service.process.pid
    service.terminate()
    assert service.end() == 0


@pytest.mark.parametrize(
    "content", ["[tool.fastapi\n", "[tool.fastapi]\nentrypoint = 3\n", "tool = 1\n", "\xff"]
)
def test_a_broken_pyproject_is_one_line(
    run_neonkit: "Run", production: dict[str, str], tmp_path: Path, content: str
) -> None:
    """A pyproject.toml that cannot be read is named, without a traceback."""
    (tmp_path / "pyproject.toml").write_bytes(content.encode("latin-1"))
    done = run_neonkit("serve", env=production)
    assert done.code == 2
    assert "pyproject.toml" in done.error
    assert len(done.error.splitlines()) == 1


def test_a_port_that_is_taken_is_one_line(run_neonkit: "Run", production: dict[str, str]) -> None:
    """It says which port, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = run_neonkit("serve", "notes:app", "--port", port, env=production)
    assert done.code == 2
    assert f"port {port} of 127.0.0.1 is taken" in done.error
    assert len(done.error.splitlines()) == 1


def test_a_port_out_of_range_is_a_usage_error(run_neonkit: "Run") -> None:
    """The command line itself refuses it, with exit code 2."""
    done = run_neonkit("serve", "--port", "65536")
    assert done.code == 2
    assert "--port" in done.error
    assert "Traceback" not in done.error


@pytest.mark.parametrize(("trusted", "client"), [("", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.7")])
def test_forwarded_headers_count_from_trusted_proxies_only(
    launch: "Launch", production: dict[str, str], trusted: str, client: str
) -> None:
    """Nobody may say who they are for, unless TRUSTED_PROXIES names them; no Server header."""
    env = {**production, "TRUSTED_PROXIES": trusted, "FORWARDED_ALLOW_IPS": "*"}
    service = launch("serve", "notes:app", env=env)
    answer = service.get("/client", {"X-Forwarded-For": "203.0.113.7"})
    assert answer.json() == client
    assert "Server" not in answer.headers


def test_it_serves_while_the_database_is_away(launch: "Launch", production: dict[str, str]) -> None:
    """A database that cannot be reached makes readiness 503; the process listens all the same."""
    env = {
        **production,
        "NEON_DATABASE_URL": "postgresql://ann:hidden-word@127.0.0.1:1/app",
        "DRAIN_SECONDS": "0",
    }
    service = launch("serve", "notes:app", env=env)
    assert service.get("/health/live").status == 200
    assert service.get("/health/ready").status == 503
    service.terminate()
    assert service.end() == 0
    assert "hidden-word" not in service.text
    assert "Traceback" not in service.text
