"""Programs that some tests need and that a fresh machine lacks."""

import os
import shutil
from pathlib import Path

import pytest

MARK = "needs "
BINARIES = Path("/usr/lib/postgresql/15/bin")


def need(program: str, command: str, *, is_there: bool | None = None) -> None:
    """Skip the test where a program is missing; fail it in CI, which has every one.

    Args:
        program: its name.
        command: brings it; stands at the end of the run.
        is_there: that it was found; by default PATH is searched.
    """
    if shutil.which(program) is not None if is_there is None else is_there:
        return
    if os.environ.get("CI"):
        pytest.fail(f"not tested without {program}: {command}", pytrace=False)
    pytest.skip(f"{MARK}{program}: {command}")


def need_debians_postgres() -> None:
    """The server that is neither embedded nor ours."""
    is_there = (BINARIES / "postgres").is_file()
    need("Debian's PostgreSQL 15", "apt-get install postgresql", is_there=is_there)


def need_openssl() -> None:
    """The program that makes certificates."""
    need("openssl", "apt-get install openssl")
