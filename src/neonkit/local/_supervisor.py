"""The process that keeps one PostgreSQL server, for as long as somebody uses it.

It runs alone (`python -I -S _supervisor.py JSON`), in a session of its own, so that killing the
process group of the one who started it does not reach it. Three files in the server's folder are
locked, and the kernel gives the locks back when a process dies in whatever way:

* `starting`: held by who starts the server or joins its users, one at a time. The supervisor never
  takes it: it goes back when `ready` is printed, or the start has failed.
* `users`: shared by every process that uses the server. The supervisor waits for it alone; when it
  gets it nobody is left, and it stops the server.
* `server`: held by the supervisor. Who cannot take it knows that a server runs.

Standard library only, and little of it: this starts in milliseconds.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time

TYPE_CHECKING = False  # importing `typing` costs milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    Plan = dict[str, Any]
    Become = Callable[[], None]
    Server = subprocess.Popen[bytes]

_NOBODY = 65534
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_START_SECONDS = 30
_STOP_SECONDS = 10


def main() -> None:
    """Make the data folder if need be, start the server, say so, and stop it in the end."""
    plan = json.loads(sys.argv[1])
    os.chdir(plan["folder"])
    server_lock = os.open("server", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(server_lock, fcntl.LOCK_EX)
    users_lock = os.open("users", os.O_RDWR | os.O_CREAT, 0o600)
    become = _identity()
    if not os.path.exists("data/PG_VERSION"):
        _initialise(plan, become)
    _forget_dead_server()
    server = _start(plan, become)
    signal.signal(signal.SIGCHLD, lambda *_: _end_with(server))
    _wait_until_ready(server)
    print("ready", flush=True)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    fcntl.flock(users_lock, fcntl.LOCK_EX)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _stop(server)
    os.close(server_lock)  # before `users`: who gets that one must not find this one taken


def _end_with(server: Server) -> None:
    if server.poll() is not None:
        os._exit(0)


def _identity() -> Become | None:
    """How a child sheds root, which PostgreSQL refuses; `None` where there is nothing to shed."""
    if os.geteuid() != 0:
        return None
    if _can_unshare():
        return _unshare_user
    import pwd

    account = pwd.getpwnam("nobody")
    for folder, _, files in os.walk("."):
        for name in [folder, *(os.path.join(folder, file) for file in files)]:
            os.chown(name, account.pw_uid, account.pw_gid)

    def become_nobody() -> None:
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)

    return become_nobody


def _can_unshare() -> bool:
    child = os.fork()
    if child == 0:
        try:
            _unshare_user()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _unshare_user() -> None:
    # inside a user namespace the server sees itself as `nobody`, while its files stay root's:
    # no folder on the way to them needs to be opened to others
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare") or libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    identity = f"{_NOBODY} 0 1"
    for file, line in (("setgroups", "deny"), ("uid_map", identity), ("gid_map", identity)):
        with open(f"/proc/self/{file}", "w") as map_file:
            map_file.write(line)


def _prepare(become: Become | None) -> Become:
    def prepare() -> None:
        if become is not None:
            become()
        if sys.platform == "linux":
            # the server stops by itself if the supervisor is killed; set last, since a change of
            # identity clears it
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)

    return prepare


def _run(
    plan: Plan, become: Become | None, program: str, *arguments: str, text: str | None = None
) -> None:
    done = subprocess.run(
        [os.path.join(plan["binaries"], program), *arguments],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=_prepare(become),
        check=False,
    )
    if done.returncode != 0:
        _fail(done.stdout)


def _initialise(plan: Plan, become: Become | None) -> None:
    shutil.rmtree("data.new", ignore_errors=True)
    _run(plan, become, "initdb", "-D", "data.new", *plan["initdb"])
    for database in ("template1", "postgres"):
        _run(plan, become, "postgres", "--single", "-D", "data.new", database, text=plan["sql"])
    os.rename("data.new", "data")


def _forget_dead_server() -> None:
    # PostgreSQL takes any process with the number in this file for its predecessor: one that was
    # killed and that nobody reaped, or a stranger that got the number since
    try:
        with open("data/postmaster.pid") as file:
            pid = int(file.readline())
        is_stale = not _is_server(pid)
    except (FileNotFoundError, ValueError):
        return
    if is_stale and sys.platform == "linux":
        os.unlink("data/postmaster.pid")


def _is_server(pid: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/cwd") == os.path.realpath("data")
    except OSError:
        return False


def _start(plan: Plan, become: Become | None) -> Server:
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    return subprocess.Popen(
        [os.path.join(plan["binaries"], "postgres"), "-D", "data", *plan["postgres"]],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        preexec_fn=_prepare(become),
    )


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with open("data/postmaster.pid") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            lines = []
        if lines[:1] == [str(server.pid)] and [line.strip() for line in lines[7:]] == ["ready"]:
            return
        time.sleep(0.002)
    if server.poll() is not None:
        _fail("")
    _stop(server)
    _fail(f"it was not ready within {_START_SECONDS} s")


def _stop(server: Server) -> None:
    server.send_signal(signal.SIGINT)
    try:
        server.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)
        server.wait()


def _fail(text: str) -> NoReturn:
    print(text, flush=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
