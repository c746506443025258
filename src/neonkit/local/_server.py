"""One embedded server per folder, shared by whoever uses the folder, gone when nobody does."""

import asyncio
import fcntl
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from neonkit.errors import ConfigurationError
from neonkit.local._binaries import Binaries, find_binaries
from neonkit.local._ports import PortTakenError, start_on_free_port

_SUPERVISOR = Path(__file__).with_name("_supervisor.py")
_USER = "postgres"
_STATISTICS = "pg_stat_statements"
_EXTENSIONS = ("pg_trgm", _STATISTICS)
_BUILTIN_LOCALES = 17  # the first major version whose sort order is the same everywhere
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@dataclass(frozen=True)
class LocalServer:
    """A running embedded PostgreSQL, on loopback only.

    Use it as an async context manager, or `stop` it. The server itself ends when the last process
    that uses its folder stops it or dies, in whatever way; that takes milliseconds, and what was
    committed is there at the next start.

    Attributes:
        folder: what it keeps: data, log, and the password in a file of mode 0600.
        port: on 127.0.0.1.
        password: of the superuser `postgres`, random, made once per folder.
    """

    folder: Path
    port: int
    password: str
    _users: int

    def __repr__(self) -> str:
        return f"LocalServer(folder={self.folder}, port={self.port})"

    @classmethod
    async def start(cls, folder: Path, *, is_durable: bool = True) -> Self:
        """Start the server of `folder`, or use the one that runs there already.

        Args:
            folder: where everything is kept; made if it is not there.
            is_durable: sync each commit to disk. `False` is several times faster, for tests.

        Raises:
            ConfigurationError: no PostgreSQL is installed, the data is another version's, or the
                server does not start; the message holds the last lines of its log.
        """
        return await asyncio.to_thread(cls._start, folder, is_durable=is_durable)

    @classmethod
    def _start(cls, folder: Path, *, is_durable: bool) -> Self:
        folder = folder.absolute()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n")  # a password and 40 MB of data are inside
        with _locked(folder / "starting"):
            users = os.open(folder / "users", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(users, fcntl.LOCK_SH)
                password = _password(folder)
                if not _is_running(folder):
                    _launch(folder, find_binaries(), is_durable=is_durable)
                return cls(folder, _port_of(folder), password, users)
            except BaseException:
                os.close(users)
                raise

    @staticmethod
    def running_url(folder: Path) -> str | None:
        """Look up the address of the server of `folder`, without starting or using it.

        Returns:
            The address of the database `postgres`, password included; `None` where it does not
            run.
        """
        if not (folder / "starting").is_file():
            return None
        with _locked(folder / "starting"):  # a look that another start takes for a server is none
            if not _is_running(folder):
                return None
            try:
                return _url(_port_of(folder), _password(folder), "postgres")
            except (FileNotFoundError, IndexError):  # it is just stopping
                return None

    @property
    def url(self) -> str:
        """The address of the database `postgres`, password included."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """The address of a database on this server, password included."""
        return _url(self.port, self.password, database)

    async def stop(self) -> None:
        """Stop using the server; it ends with its last user."""
        os.close(self._users)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()


def _url(port: int, password: str, database: str) -> str:
    login = f"{_USER}:{quote(password, safe='')}"
    return f"postgresql://{login}@127.0.0.1:{port}/{quote(database, safe='')}?sslmode=disable"


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_running(folder: Path) -> bool:
    descriptor = os.open(folder / "server", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _password(folder: Path) -> str:
    file = folder / "password"
    if not file.exists():
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            handle.write(secrets.token_urlsafe(24))
    return file.read_text()


def _launch(folder: Path, binaries: Binaries, *, is_durable: bool) -> None:
    _refuse_other_version(folder, binaries)
    start_on_free_port(
        lambda port: _launch_with(_plan(folder, binaries, port, is_durable=is_durable), folder)
    )


def _launch_with(plan: Mapping[str, object], folder: Path) -> None:
    supervisor = subprocess.Popen(  # noqa: S603  # our own file, with this interpreter
        [sys.executable, "-I", "-S", str(_SUPERVISOR), json.dumps(plan)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert supervisor.stdout is not None, "a pipe was asked for"  # noqa: S101
    with supervisor.stdout as output:
        said = output.readline()
        if said == "ready\n":
            supervisor.returncode = 0  # it outlives this process: nobody waits for it
            return
        said += output.read()
    supervisor.wait()
    is_taken = "could not bind" in _log_of(folder)
    raise (PortTakenError if is_taken else ConfigurationError)(_why_not_started(folder, said))


def _plan(folder: Path, binaries: Binaries, port: int, *, is_durable: bool) -> dict[str, object]:
    major = binaries.major()
    extensions = [name for name in _EXTENSIONS if binaries.has_library(name)]
    settings = [
        "listen_addresses=127.0.0.1",
        f"port={port}",
        "unix_socket_directories=",
        "max_connections=200",
        "shared_buffers=64MB",
        *([f"shared_preload_libraries={_STATISTICS}"] if _STATISTICS in extensions else []),
        *(["io_method=sync"] if major >= 18 else []),  # noqa: PLR2004  # the version that has it
        *([] if is_durable else _FAST),
    ]
    locale = ["--locale-provider=builtin"] if major >= _BUILTIN_LOCALES else []
    return {
        "folder": str(folder),
        "binaries": str(binaries.folder),
        "initdb": [
            f"--username={_USER}",
            "--auth=scram-sha-256",
            "--pwfile=password",
            "--encoding=UTF8",
            *locale,
            "--locale=C.UTF-8",
            "--no-sync",
            "--no-instructions",
        ],
        "sql": "".join(f"CREATE EXTENSION {name};\n" for name in extensions),
        "postgres": [part for setting in settings for part in ("-c", setting)],
    }


def _refuse_other_version(folder: Path, binaries: Binaries) -> None:
    try:
        made_by = int((folder / "data" / "PG_VERSION").read_text())
    except FileNotFoundError:
        return
    if made_by != binaries.major():
        raise ConfigurationError(
            f"{folder} holds the data of PostgreSQL {made_by}, but the server found is "
            f"{binaries.major()}: move the folder away to start empty, or install {made_by}"
        )


def _port_of(folder: Path) -> int:
    return int((folder / "data" / "postmaster.pid").read_text().splitlines()[3])


def _log_of(folder: Path) -> str:
    try:
        return (folder / "log").read_text(errors="replace")
    except FileNotFoundError:
        return ""


def _why_not_started(folder: Path, said: str) -> str:
    lines = (said + _log_of(folder)).strip().splitlines()[-12:]
    fix = ""
    if os.geteuid() == 0 and "Permission denied" in said:
        fix = (
            "\nPostgreSQL does not run as root, and `nobody` may not enter this folder: run as "
            "another user, or in a folder that others may enter"
        )
    return f"the embedded PostgreSQL in {folder} does not start:\n" + "\n".join(lines) + fix
