"""Passwords at rest: Argon2id, off the event loop, and never on all cores at once."""

import asyncio
import os
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache, partial
from secrets import token_hex
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from neonkit.auth._cores import usable_cores
from neonkit.db import current_scope
from neonkit.errors import OverloadedError

Answer = TypeVar("Answer")

_NICENESS = 5
_LONGEST = 1024  # characters; to bring accents into order takes time by the square of their number
_SMOOTHED = 4  # hashes over which the time of one is averaged


@cache
def _hasher() -> PasswordHash:
    # OWASP's minimum for Argon2id: 19 MiB, two passes, one lane
    return PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19 * 1024, parallelism=1),))


@cache
def _at_a_time() -> int:
    return max(1, usable_cores() - 1)


@cache
def _threads() -> ThreadPoolExecutor:
    """The threads that hash: one core is left to requests.

    A thread is busy until its hash is done, whether anybody waits for it still or not.
    """
    return ThreadPoolExecutor(_at_a_time(), "neonkit-password", initializer=_give_way)


def _give_way() -> None:
    """Let requests go first, on Linux, where a thread has a niceness of its own."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


class _Line:
    """The passwords that wait for a thread or are in one, and how fast they move."""

    def __init__(self) -> None:
        self._waiting = 0
        self._seconds = 0.0  # that one took, of late

    @contextmanager
    def place(self) -> Iterator[None]:
        """Stand in line.

        Raises:
            OverloadedError: the request would be over before its turn (503).
        """
        left = current_scope().remaining()
        wait = self._waiting * self._seconds / _at_a_time()
        if left is not None and wait > left:
            raise OverloadedError("Too many passwords are being checked; try again shortly.")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def timed(self, work: Callable[[], Answer]) -> Answer:
        """Work, and note what it took."""
        started = time.perf_counter()
        try:
            return work()
        finally:
            took = time.perf_counter() - started
            self._seconds += (took - self._seconds) / _SMOOTHED


_line = _Line()


async def _in_thread(work: Callable[[], Answer]) -> Answer:
    with _line.place():
        timed = partial(_line.timed, work)
        return await asyncio.get_running_loop().run_in_executor(_threads(), timed)


async def hash_password(password: str) -> str:
    """Hash a password with a salt of its own; takes tens of milliseconds of one core.

    Raises:
        OverloadedError: so many others are before it that its request would be over (503).
        ValueError: it has more than 1,024 characters, which none that is verified may have.
    """
    if len(password) > _LONGEST:
        raise ValueError(f"a password of more than {_LONGEST} characters is not hashed")
    return await _in_thread(partial(_hasher().hash, _bytes_of(password)))


async def verify_password(
    password: str, hashed: str | None, *, before: Callable[[], None] = lambda: None
) -> bool:
    """True if `password` is the one that `hashed` was made from.

    Args:
        password: what was typed; of more than 1,024 characters it is nobody's.
        hashed: `None` where there is no such user, or anything that is no hash: the answer is no,
            and takes as long.
        before: is called when it is this password's turn, in another thread, and may raise: others
            that were tried meanwhile may have used up the attempts.

    Raises:
        OverloadedError: so many others are before it that its request would be over (503).
    """
    known = hashed if len(password) <= _LONGEST else None
    return await _in_thread(partial(_matches, _bytes_of(password[:_LONGEST]), known, before))


def needs_rehash(hashed: str) -> bool:
    """True if a hash was made with other parameters than new ones are.

    Whoever signs in shows the password: hash it again then, and store that.
    """
    return not Argon2Hasher.identify(hashed) or _hasher().current_hasher.check_needs_rehash(hashed)


def _matches(password: bytes, hashed: str | None, before: Callable[[], None]) -> bool:
    before()
    nobodys = _nobodys_hash()
    known = hashed if hashed and Argon2Hasher.identify(hashed) else None
    return _hasher().verify(password, known or nobodys) and known is not None


def _bytes_of(password: str) -> bytes:
    """One spelling of what looks alike, however it was typed (NIST SP 800-63B-4)."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


@cache
def _nobodys_hash() -> str:
    return _hasher().hash(token_hex())
