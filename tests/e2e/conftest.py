"""Fixtures of the end-to-end tests."""

from pathlib import Path

import pytest

from support.outside import outside
from support.projects import NOTES, PYPROJECT, STRICT, Project
from support.servers import server_url

__all__ = ["outside", "project", "server_url"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The app of the tutorial and its entry point; warnings are errors."""
    (tmp_path / "pyproject.toml").write_text(PYPROJECT + STRICT)
    project = Project(tmp_path)
    project.write(notes=NOTES)
    return project
