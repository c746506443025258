"""Passwords at rest: Argon2id, off the event loop, at most one hash per core at a time."""

import asyncio
import os
from functools import cache
from secrets import token_hex
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

Answer = TypeVar("Answer")


@cache
def _hasher() -> PasswordHash:
    # OWASP's minimum for Argon2id: 19 MiB, two passes, one lane
    return PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19 * 1024, parallelism=1),))


@cache
def _slots(_loop: asyncio.AbstractEventLoop) -> asyncio.Semaphore:
    return asyncio.Semaphore(os.cpu_count() or 1)


async def hash_password(password: str) -> str:
    """Hash a password with a salt of its own; takes tens of milliseconds of one core."""
    async with _slots(asyncio.get_running_loop()):
        return await asyncio.to_thread(_hasher().hash, password)


async def verify_password(password: str, hashed: str | None) -> bool:
    """True if `password` is the one that `hashed` was made from.

    Args:
        password: what was typed.
        hashed: `None` where there is no such user, or anything that is no hash: the answer is no,
            and takes as long.
    """
    async with _slots(asyncio.get_running_loop()):
        return await asyncio.to_thread(_matches, password, hashed)


def _matches(password: str, hashed: str | None) -> bool:
    known = hashed if hashed and Argon2Hasher.identify(hashed) else None
    return _hasher().verify(password, known or _nobodys_hash()) and known is not None


@cache
def _nobodys_hash() -> str:
    return _hasher().hash(token_hex())
