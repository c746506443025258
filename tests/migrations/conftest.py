"""A database and a folder of revisions for each test."""

from pathlib import Path
from typing import Protocol

import pytest

from support.servers import dsn, server_url

__all__ = ["dsn", "server_url"]

REVISION = """
from alembic import op
import sqlalchemy as sa
from neonkit.migrations import backfill
revision, down_revision = {name!r}, {after!r}
{more}
def upgrade():
    {body}
def downgrade():
    pass
"""


class Write(Protocol):
    """Put a revision behind those that are there."""

    def __call__(self, *body: str, more: str = "") -> str:
        """Write it, with these lines in `upgrade`, and return its name."""
        ...


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A history without revisions."""
    (tmp_path / "versions").mkdir()
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Write:
    """Write revisions, one behind the other."""
    names: list[str] = []

    def write_revision(*body: str, more: str = "") -> str:
        name = f"r{len(names)}"
        text = REVISION.format(
            name=name, after=names[-1] if names else None, body="\n    ".join(body), more=more
        )
        (folder / "versions" / f"{name}.py").write_text(text)
        names.append(name)
        return name

    return write_revision
