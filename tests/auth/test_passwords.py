"""Passwords: at rest, while they are checked, and those that are too easy to guess."""

import asyncio
import threading
import unicodedata
from pathlib import Path

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from neonkit.auth import hash_password, needs_rehash, verify_password, weakness_of
from neonkit.auth._cores import usable_cores
from neonkit.auth._passwords import _nobodys_hash, _threads
from neonkit.db import open_scope
from neonkit.errors import OverloadedError

PASSWORD = "analytical engines run on steam"


async def test_a_hash_is_argon2id_as_owasp_has_it() -> None:
    """19 MiB, two passes, one lane, and a salt of its own each time; nobody's is made alike."""
    hashed = [await hash_password(PASSWORD) for _ in range(2)]
    known = extract_parameters(hashed[0])

    assert hashed[0] != hashed[1]
    assert (known.type, known.memory_cost, known.time_cost, known.parallelism) == (
        Type.ID, 19 * 1024, 2, 1,
    )  # fmt: skip
    assert extract_parameters(_nobodys_hash()) == known


async def test_only_the_right_password_matches() -> None:
    """Not a part of it, not another case; and what is no hash matches nothing."""
    hashed = await hash_password(PASSWORD)

    assert await verify_password(PASSWORD, hashed)
    for wrong in (PASSWORD[:-1], PASSWORD.upper(), PASSWORD + "\0", "", "\ud800"):
        assert not await verify_password(wrong, hashed)
    for nothing in (None, "", "-", "$2b$12$" + "x" * 53):
        assert not await verify_password(PASSWORD, nothing)


async def test_a_password_that_is_longer_than_any_is_nobodys() -> None:
    """No more of it is looked at than of the longest: to compose accents takes quadratic time."""
    longest = "ab" * 512
    hashed = await hash_password(longest)

    assert await verify_password(longest, hashed)
    assert not await verify_password(longest + "a", hashed)
    assert not await verify_password("a" + "\u0301\u0316" * 30_000, hashed)
    with pytest.raises(ValueError, match="1024"):
        await hash_password(longest + "a")


async def test_what_looks_alike_is_one_password() -> None:
    """However a keyboard composes it (NIST SP 800-63B-4)."""
    typed = "p\u00e4ssw\u00f6rter mit \ufb01sch"
    hashed = await hash_password(unicodedata.normalize("NFD", typed))

    assert await verify_password(unicodedata.normalize("NFC", typed), hashed)


async def test_a_hash_of_other_parameters_is_made_anew() -> None:
    """Such as one that was made when machines were slower."""
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)

    assert await verify_password(PASSWORD, old)
    assert needs_rehash(old)
    assert needs_rehash("-")
    assert not needs_rehash(await hash_password(PASSWORD))


async def test_one_core_is_left_to_requests() -> None:
    """Whatever is asked at once, and also where nobody waits for the answer any more."""
    most = max(1, usable_cores() - 1)
    gone = [asyncio.create_task(hash_password(PASSWORD)) for _ in range(4 * most)]
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    await asyncio.gather(*(hash_password(PASSWORD) for _ in range(4 * most)))
    threads = [each for each in threading.enumerate() if each.name.startswith("neonkit-password")]

    assert 1 <= len(threads) <= most
    assert _threads()._max_workers == most


async def test_who_could_not_be_answered_in_time_is_refused_at_once() -> None:
    """Of many that come together, those whose turn would be too late; the others get theirs."""
    hashed = await hash_password(PASSWORD)
    with open_scope(timeout=0.2):
        tried = (verify_password(PASSWORD, hashed) for _ in range(500))
        answers = await asyncio.gather(*tried, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, OverloadedError)]

    assert 0 < len(refused) < len(answers)
    assert answers.count(True) == len(answers) - len(refused)
    assert await verify_password(PASSWORD, hashed)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, None),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "100000 100000"}, 1),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "rubbish"}, None),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
    ],
    ids=str,
)
def test_cores_are_those_of_the_container(
    tmp_path: Path, files: dict[str, str], cores: int | None
) -> None:
    """Its quota counts, in both versions of control groups; without one, what may be scheduled."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    unbounded = usable_cores(tmp_path / "nowhere")

    assert usable_cores(tmp_path) == (unbounded if cores is None else cores)


@pytest.mark.parametrize(
    "password",
    [
        "fourteen chars",
        "x1Y2z" * 26,
        "aaaabbbbccccdddd",
        "passwordpassword",
        "password12345678",
        "Password-Password-1!",
        "P@ssw0rdP@ssw0rd",
        "qwertyuiopasdfgh",
        "1q2w3e4r5t6y7u8i9o0p",
        "iloveyouiloveyou!!",
        "Correct Horse Battery Staple",
        "\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff44" * 2,
        "letmein letmein letmein 123",
        "grace.hopper@example.com",
        "Grace.Hopper Grace.Hopper",
    ],
)
def test_what_is_easy_to_guess(password: str) -> None:
    """Too short, too long, of few characters, one's own name, or on the list."""
    assert weakness_of(password, "grace.hopper", "grace.hopper@example.com") is not None


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        "x1Y2z" * 3,
        "x1Y2z" * 25 + "abc",
        "p\u00e4ss w\u00f6rter mit Umlauten \u2603",
        "monkey shadow dragon sunshine",
        "grace wrote a compiler in 1952",
    ],
)
def test_what_will_do(password: str) -> None:
    """Any characters, any words of one's own, at either end of the lengths."""
    assert weakness_of(password, "grace", "grace@example.com") is None
