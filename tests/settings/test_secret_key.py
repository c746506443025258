"""A weak signing key is told, and development has one of its own."""

import secrets
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from neonkit.errors import ConfigurationError
from neonkit.settings import Settings
from neonkit.settings._secret_key import kept_key, weakness_of

FROM_THE_TUTORIAL = "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("", "at least 32 bytes"),
        ("nB2xk0dJr7Qe5sVw9zLtYh3mUaGc8fP", "at least 32 bytes"),
        ("ab" * 20, "different characters"),
        ("nB2xk0dJr7" * 4, "repeats a shorter one"),
        ("abcdefghijklmnopqrstuvwxyz0123456789", "counts through"),
        ("9876543210zyxwvutsrqponmlkjihgfe", "counts through"),
        (FROM_THE_TUTORIAL, "published example"),
        ("changeme-in-production-0123456789", "words that stand in examples"),
        ("please_change_this_to_something_better", "words that stand in examples"),
        ("your-super-secret-key-goes-here!", "words that stand in examples"),
    ],
)
def test_a_weak_key_is_told(key: str, why: str) -> None:
    """The reason names a rule, never the key."""
    said = weakness_of(key)

    assert said is not None
    assert why in said
    assert not key or key not in said


@pytest.mark.parametrize(
    "key",
    [
        "nB2xk0dJr7Qe5sVw9zLtYh3mUaGc8fPi",
        "correct horse battery staple and one more",
        "ключ подписи сервиса",
        "secret-nB2xk0dJr7Qe5sVw9zLtYh3mUaGc8fPi",
        secrets.token_urlsafe(32),
        secrets.token_hex(32),
    ],
    ids=lambda key: "one" if key.isascii() else "not in ASCII",
)
def test_a_strong_key_passes(key: str) -> None:
    """What counts is bytes, and what is left beside the words of examples."""
    assert weakness_of(key) is None


def test_development_keeps_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without SECRET_KEY, development makes a key once and finds it again, in a 0600 file."""
    monkeypatch.chdir(tmp_path)
    first = Settings(environment="development").signing_keys
    folder = tmp_path / ".neonkit"

    assert Settings(environment="test").signing_keys == first
    assert weakness_of(first[0].decode()) is None
    assert stat.S_IMODE((folder / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["secret_key"]


def test_a_given_key_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In production, which has a key, nothing is made."""
    monkeypatch.chdir(tmp_path)
    key = secrets.token_urlsafe(48)
    url = "postgresql://ada@127.0.0.1/app"
    settings = Settings(environment="production", secret_key=key, neon_database_url=url)

    assert settings.signing_keys == (key.encode(),)
    assert list(tmp_path.iterdir()) == []


def test_those_who_start_at_once_agree(tmp_path: Path) -> None:
    """Whoever comes second takes the key of the first, whole, and leaves no draft behind."""
    starters = 8
    for round_ in range(20):
        folder = tmp_path / str(round_)
        barrier = Barrier(starters)

        def start(folder: Path = folder, barrier: Barrier = barrier) -> str:
            barrier.wait()
            return kept_key(folder)

        with ThreadPoolExecutor(starters) as pool:
            keys = {each.result() for each in [pool.submit(start) for _ in range(starters)]}
        assert len(keys) == 1
        assert [path.name for path in folder.iterdir()] == ["secret_key"]


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64], ids=["empty", "short", "bytes"])
def test_a_file_without_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    """An emptied file never becomes an empty signing key."""
    (tmp_path / "secret_key").write_bytes(content)

    with pytest.raises(ConfigurationError, match="does not hold a signing key: remove it"):
        kept_key(tmp_path)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """It says what to do, in place of a traceback."""
    (tmp_path / "taken").touch()

    with pytest.raises(ConfigurationError, match=r"cannot be used .*: set SECRET_KEY"):
        kept_key(tmp_path / "taken")
