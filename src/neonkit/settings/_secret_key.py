"""The signing key: refused where it is weak, made and kept where nobody gave one."""

import os
import secrets
from pathlib import Path

_FEWEST_BYTES = 32
_FEWEST_DIFFERENT = 10
_PLACEHOLDERS = ("changeme", "change-me", "change_me", "secret", "password", "your-", "example")


def weakness_of(key: str) -> str | None:
    """Why a signing key will not do; `None` where it will."""
    if len(key.encode()) < _FEWEST_BYTES:
        return f"it must have at least {_FEWEST_BYTES} bytes"
    if len(set(key)) < _FEWEST_DIFFERENT:
        return f"it must hold at least {_FEWEST_DIFFERENT} different characters"
    rest = key.casefold()
    for placeholder in _PLACEHOLDERS:
        rest = rest.replace(placeholder, "")
    if len(rest.encode()) < _FEWEST_BYTES and len(rest) < len(key):
        return "it is made of words that stand in examples"
    return None


def kept_key(folder: Path) -> str:
    """The key that development uses on this machine, made at first and kept in a 0600 file."""
    file = folder / "secret_key"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = folder / f"secret_key.{os.getpid()}"
    if not file.exists():
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            handle.write(secrets.token_urlsafe(48))
        try:
            os.link(draft, file)  # fails where another process was first: then its key counts
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return file.read_text().strip()
