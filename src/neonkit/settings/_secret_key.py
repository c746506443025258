"""The signing key: refused where it is weak, made and kept where nobody gave one."""

import os
import re
import secrets
import stat
import tempfile
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from neonkit.errors import ConfigurationError

_is_posix = os.name == "posix"

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_FEWEST_BYTES = 32
_FEWEST_DIFFERENT = 8
_FEWEST_BESIDE_WORDS = 16
_UNMISTAKABLE = re.compile("change(me|this|it)|replace(me|this)|insecure|placeholder")
_COMMON = re.compile(
    "secret|password|passphrase|example|default|your|mine|here|signing|token|random|string|"
    "please|production|key"
)
_PUBLISHED = {
    # FastAPI's tutorial on JWT, copied into many services
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
}


def weakness_of(key: str) -> str | None:
    """Why a signing key will not do; `None` where it will."""
    weaknesses = {
        f"it must have at least {_FEWEST_BYTES} bytes": len(key.encode()) < _FEWEST_BYTES,
        f"it must hold at least {_FEWEST_DIFFERENT} different characters": (
            len(set(key)) < _FEWEST_DIFFERENT
        ),
        "it stands in a published example": key in _PUBLISHED,
        "it repeats a shorter one": key in (key + key)[1:-1],
        "it counts through the alphabet or the digits": _is_counted(key),
        "it is made of words that stand in examples": _is_placeholder(key),
    }
    return next((what for what, is_so in weaknesses.items() if is_so), None)


def _is_counted(key: str) -> bool:
    """Find most characters next to their neighbour in order, as in abcdef or 987654."""
    steps = [abs(ord(a) - ord(b)) for a, b in pairwise(key)]
    return sum(step <= 1 for step in steps) * 4 > len(steps) * 3


def _is_placeholder(key: str) -> bool:
    """Find too little left without the words of placeholders and what joins them."""
    words = re.sub(r"[^a-z0-9]", "", key.casefold())
    if _UNMISTAKABLE.search(words):
        return len(_UNMISTAKABLE.sub("", words)) < _FEWEST_BYTES
    rest = _COMMON.sub("", words)
    return len(rest) < min(len(words), _FEWEST_BESIDE_WORDS)


def kept_key(folder: Path) -> str:
    """The key that development uses on this machine, made at first and kept in a 0600 file.

    Raises:
        ConfigurationError: the file cannot be made or read, is another user's or may be written
            by one, or does not hold such a key.
    """
    file = folder / "secret_key"
    try:
        _keep_private(folder)
        if not file.exists():
            _make(file)
        key = _read(file)
    except OSError as error:
        raise ConfigurationError(
            f"{file}, where development keeps its signing key, cannot be used "
            f"({error.strerror}): set SECRET_KEY, or let this user write there"
        ) from None
    except UnicodeDecodeError:
        key = ""
    if weakness_of(key):
        raise ConfigurationError(
            f"{file} does not hold a signing key: remove it, or set SECRET_KEY"
        )
    return key


def _keep_private(folder: Path) -> None:
    """Let nobody else enter the folder, and no `git add` take what is inside."""
    folder.mkdir(parents=True, exist_ok=True)
    if _is_posix and folder.stat().st_uid == os.geteuid():
        # root's embedded server runs as another user, who must get through to its own folder
        folder.chmod(0o700 if os.geteuid() else 0o711)
    ignored = folder / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n", encoding="ascii")


def _read(file: Path) -> str:
    with file.open(encoding="ascii") as handle:
        state = os.fstat(handle.fileno())
        if _is_posix and (state.st_uid not in {0, os.geteuid()} or state.st_mode & _OTHERS_WRITE):
            raise ConfigurationError(
                f"{file} is another user's, or others may write to it, so that they may know the "
                "signing key: remove it, or set SECRET_KEY"
            )
        return handle.read().strip()


def _make(file: Path) -> None:
    descriptor, draft = tempfile.mkstemp(prefix=f"{file.name}.", dir=file.parent)  # 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as handle:
            handle.write(secrets.token_urlsafe(48))
        with suppress(FileExistsError):  # another process was first: then its key counts
            os.link(draft, file)
    finally:
        Path(draft).unlink()
