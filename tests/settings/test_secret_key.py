"""A weak signing key is told, and development has one of its own."""

import os
import secrets
import stat
import subprocess
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
    assert stat.S_IMODE(folder.stat().st_mode) == (0o700 if os.geteuid() else 0o711)
    assert {path.name for path in folder.iterdir()} == {".gitignore", "secret_key"}


def test_git_does_not_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`git add -A` in a project that was just begun leaves the key out, whoever made the folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".neonkit" / "postgres").mkdir(parents=True)
    (tmp_path / ".neonkit" / "postgres" / "data").touch()
    _ = Settings(environment="development").signing_keys
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], check=True)
    listed = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True)

    assert listed.stdout == ""


@pytest.mark.parametrize("mode", [0o660, 0o602, 0o666])
def test_a_key_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    """Who can put a key there knows it."""
    kept_key(tmp_path)
    (tmp_path / "secret_key").chmod(mode)

    with pytest.raises(ConfigurationError, match=r"others may write to it.*remove it"):
        kept_key(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_another_users_key_is_refused(tmp_path: Path) -> None:
    """Whoever puts a file there before us, under whatever mode, does not choose our key."""
    kept_key(tmp_path)
    os.chown(tmp_path / "secret_key", 12345, 12345)

    with pytest.raises(ConfigurationError, match="another user's"):
        kept_key(tmp_path)


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
        assert {path.name for path in folder.iterdir()} == {".gitignore", "secret_key"}


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
