"""Passwords at rest: Argon2id, off the event loop, and never on all cores at once."""

import asyncio
import os
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from secrets import token_hex
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from neonkit.auth._cores import usable_cores

Answer = TypeVar("Answer")

_NICENESS = 5
_LONGEST = 1024  # characters; to bring accents into order takes time by the square of their number


@cache
def _hasher() -> PasswordHash:
    # OWASP's minimum for Argon2id: 19 MiB, two passes, one lane
    return PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19 * 1024, parallelism=1),))


@cache
def _threads() -> ThreadPoolExecutor:
    """The threads that hash: one core is left to requests.

    A thread is busy until its hash is done, whether anybody waits for it still or not.
    """
    most = max(1, usable_cores() - 1)
    return ThreadPoolExecutor(most, "neonkit-password", initializer=_give_way)


def _give_way() -> None:
    """Let requests go first, on Linux, where a thread has a niceness of its own."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


async def _in_thread(work: Callable[[], Answer]) -> Answer:
    return await asyncio.get_running_loop().run_in_executor(_threads(), work)


async def hash_password(password: str) -> str:
    """Hash a password with a salt of its own; takes tens of milliseconds of one core.

    Raises:
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
