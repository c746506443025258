"""`neonkit dev`: one command from nothing to a running app, and nothing left when it ends."""

import asyncio
import http.client
import re
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from neonkit.dsn import Dsn
from support.needed import need_openssl
from support.poolers import need_pgbouncer

if TYPE_CHECKING:
    from cli.conftest import Launch, Run, Service


def _has_ended(data: Path) -> bool:
    """Whether the embedded server of a folder takes no connections any more."""
    try:
        port = int((data / "postmaster.pid").read_text().splitlines()[3])
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except (FileNotFoundError, ConnectionRefusedError):
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_runs_on_nothing_and_leaves_nothing(
    launch: "Launch", run_neonkit: "Run", tmp_path: Path, number: signal.Signals
) -> None:
    """Without a URL there is an embedded database; the end is quiet, complete, and exit 0."""
    service = launch("dev", "notes:app", env={})
    service.wait_until(service.is_ready)
    for path in ("/docs", "/health/ready", "/pid"):
        assert service.get(path).status == 200
    service.wait_for("GET /pid")
    text = service.text
    for name in ("API", "Docs", "Health", "Database"):
        assert f"\n{name}" in f"\n{text}"
    assert f"http://127.0.0.1:{service.port}/docs" in text
    assert ".neonkit/postgres" in text
    (worker,) = service.workers()
    url = run_neonkit("url")
    assert (url.code, url.error) == (0, "")
    assert asyncio.run(_answer(url.output.strip())) == "postgres"
    assert url.output.strip() not in service.text
    service.process.send_signal(number)
    assert service.end() == 0
    assert service.text == text
    assert not service.alive({worker})
    data = tmp_path / ".neonkit" / "postgres" / "data"
    service.wait_until(lambda: _has_ended(data))
    ended = run_neonkit("url")
    assert (ended.code, ended.output) == (1, "")
    assert "start `neonkit dev` here" in ended.error


async def _answer(url: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SELECT current_user")
    finally:
        await connection.close()


def test_no_url_where_nothing_ever_ran(run_neonkit: "Run", tmp_path: Path) -> None:
    """It makes and starts nothing."""
    done = run_neonkit("url")
    assert (done.code, done.output) == (1, "")
    assert len(done.error.splitlines()) == 1
    assert not (tmp_path / ".neonkit").exists()


def test_killed_it_leaves_no_server_behind(launch: "Launch", tmp_path: Path) -> None:
    """Kill -9 of the command ends the serving process and PostgreSQL too."""
    service = launch("dev", "notes:app", env={})
    service.wait_until(service.is_ready)
    workers = service.workers()
    assert len(workers) == 1
    service.process.kill()
    service.end()
    service.wait_until(lambda: not service.alive(workers))
    service.wait_until(lambda: _has_ended(tmp_path / ".neonkit" / "postgres" / "data"))


def test_a_change_reloads_and_a_mistake_waits_for_the_next_one(
    launch: "Launch", tmp_path: Path, server_url: str
) -> None:
    """Saving a file serves the new code; a broken file is reported, a mended one served again."""
    app = tmp_path / "notes.py"
    service = launch("dev", "notes:app", env={"NEON_DATABASE_URL": server_url})
    before = service.get("/pid").json()
    working = app.read_text()
    app.write_text(working.replace("os.getpid()", "-1"))
    service.wait_for("serving on", count=2)
    assert service.get("/pid").json() == -1 != before
    app.write_text("def broken(:\n")
    service.wait_for("SyntaxError")
    app.write_text(working.replace("os.getpid()", "-2"))
    service.wait_for("serving on", count=3)
    assert service.get("/pid").json() == -2
    service.terminate()
    assert service.end() == 0


def test_a_given_database_is_used_and_its_password_not_shown(
    launch: "Launch", tmp_path: Path, server_url: str
) -> None:
    """With a URL no embedded server is started; the URL is printed masked."""
    service = launch("dev", "notes:app", env={"NEON_DATABASE_URL": server_url})
    service.wait_until(service.is_ready)
    password = server_url.split(":")[2].split("@", maxsplit=1)[0]
    assert password not in service.text
    assert "***" in service.text
    assert not (tmp_path / ".neonkit" / "postgres").exists()


def test_requests_wait_for_the_app(launch: "Launch", server_url: str) -> None:
    """A browser opened on the printed address before the app is up gets its answer."""
    service = launch("dev", "notes:app", env={"NEON_DATABASE_URL": server_url})
    service.wait_for(r"Ctrl-C ends it")
    address = service.text.split("http://", 1)[1].split()[0]
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("GET", "/health/live")
    assert connection.getresponse().status == 200
    connection.close()


def test_a_port_that_is_taken_is_one_line(run_neonkit: "Run", tmp_path: Path) -> None:
    """It says so before it starts a database."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = run_neonkit("dev", "notes:app", "--port", str(other.getsockname()[1]))
    assert done.code == 2
    assert "is taken" in done.error
    assert len(done.error.splitlines()) == 1
    assert not (tmp_path / ".neonkit").exists()


def _printed(service: "Service", name: str) -> Dsn:
    found = re.search(rf"^{name} +(\S+)$", service.text, re.MULTILINE)
    assert found, service.text
    return Dsn.parse(found[1])


async def _backends(dsn: Dsn) -> tuple[int, int]:
    """The process that is announced at connect, and the one that answers."""
    connection = await asyncpg.connect(**dsn.for_asyncpg())
    try:
        return connection.get_server_pid(), await connection.fetchval("SELECT pg_backend_pid()")
    finally:
        await connection.close()


def _poolers_of(service: "Service") -> set[int]:
    tasks = Path(f"/proc/{service.process.pid}/task").iterdir()
    children = [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
    return {pid for pid in children if b"pgbouncer" in Path(f"/proc/{pid}/cmdline").read_bytes()}


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_like_neon(launch: "Launch", end: signal.Signals) -> None:
    """Both URLs are printed and work over TLS, one through a pooler; nothing of it is left."""
    need_pgbouncer()
    need_openssl()
    service = launch("dev", "notes:app", "--like-neon", env={})
    service.wait_until(service.is_ready)
    direct, pooled = _printed(service, "Direct"), _printed(service, "Pooled")
    for dsn, is_pooled in ((direct, False), (pooled, True)):
        assert dsn.sslmode == "require"
        announced, answering = asyncio.run(_backends(dsn))
        assert (announced != answering) is is_pooled
        with pytest.raises(asyncpg.InternalServerError, match="connection is insecure"):
            asyncio.run(_backends(dsn.replace(parameters={"sslmode": "disable"})))
    assert "after 300 s without use" in service.text
    assert "\nBut" not in service.text
    (pooler,) = _poolers_of(service)
    assert service.get("/health/ready").status == 200
    service.process.send_signal(end)
    service.end()
    service.wait_until(lambda: not service.alive({pooler}))


def test_like_neon_it_sleeps(launch: "Launch") -> None:
    """Idle it falls asleep, which the app's clients notice only as the time of the waking."""
    service = launch(
        *("dev", "notes:app", "--like-neon", "--suspend-after", "0.5", "--wake-seconds", "0.1"),
        env={},
    )
    service.wait_until(service.is_ready)

    async def watch(dsn: Dsn) -> None:
        connection = await asyncpg.connect(**dsn.for_asyncpg())
        assert await connection.fetchval("SELECT 'asked once'")
        async with asyncio.timeout(10):
            while not connection.is_closed():  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.05)

    asyncio.run(watch(_printed(service, "Direct")))
    assert service.get("/rows").json() == 1


def test_like_neon_without_its_programs(launch: "Launch") -> None:
    """Where PgBouncer and openssl are missing it says so, and does without."""
    service = launch("dev", "notes:app", "--like-neon", env={"PATH": "/nowhere"})
    service.wait_until(service.is_ready)
    pooled = _printed(service, "Pooled")
    assert pooled.sslmode == "disable"
    announced, answering = asyncio.run(_backends(pooled))
    assert announced == answering
    assert "no TLS; no PgBouncer 1.21 or newer in PATH" in service.text


def test_like_neon_in_front_of_another_database(run_neonkit: "Run", server_url: str) -> None:
    """With a URL it is refused, in one line without the password."""
    done = run_neonkit("dev", "notes:app", "--like-neon", env={"NEON_DATABASE_URL": server_url})
    assert done.code == 2
    assert "leave out one of the two" in done.error
    assert len(done.error.splitlines()) == 1
    assert "***" in done.error
