"""The plugin beside pytest-asyncio: whose test is whose, in either of its modes."""

import subprocess
import sys
from pathlib import Path

import pytest

NOTES = """\
from fastapi import FastAPI
from sqlmodel import Field

import neonkit
from neonkit import SessionDep, TableModel

app = FastAPI()
neonkit.install(app)


class Note(TableModel, table=True):
    id: int | None = Field(default=None, primary_key=True)


@app.post("/notes", status_code=201)
async def make(session: SessionDep) -> None:
    session.add(Note())
    await session.commit()
"""
CONFTEST = """\
import asyncio

import pytest
import pytest_asyncio


@pytest.fixture
async def made(client):
    return (await client.post("/notes")).status_code


@pytest_asyncio.fixture
async def loop_of_theirs():
    return asyncio.get_running_loop()
"""
TEST_OURS = """\
import pytest
from sqlmodel import select

from notes import Note


async def test_ours(made, session):
    assert made == 201
    assert len((await session.exec(select(Note))).all()) == 1


@pytest.mark.parametrize("times", [1, 2])
async def test_parametrized(client, times):
    for _ in range(times):
        assert (await client.post("/notes")).status_code == 201


class TestGroup:
    async def test_method(self, client):
        assert (await client.post("/notes")).status_code == 201


def test_over_tcp(live_server):
    assert live_server.url
"""
TEST_THEIRS = """\
import asyncio

import pytest


@pytest.mark.asyncio
async def test_theirs(loop_of_theirs):
    assert loop_of_theirs is asyncio.get_running_loop()
"""
TEST_BOTH = """\
import pytest


@pytest.mark.asyncio
async def test_in_two_loops(client): ...
"""


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_both_plugins_run_their_own_tests(tmp_path: Path, mode: str) -> None:
    """Ours run on anyio's loop and theirs on theirs; what would be in two is told what to do."""
    files = {
        "pyproject.toml": '[tool.fastapi]\nentrypoint = "notes:app"\n',
        "notes.py": NOTES,
        "conftest.py": CONFTEST,
        "test_ours.py": TEST_OURS,
        "test_theirs.py": TEST_THEIRS,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = _pytest(tmp_path, mode)
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout

    (tmp_path / "test_both.py").write_text(TEST_BOTH)
    told = _pytest(tmp_path, mode, "test_both.py")
    assert "Take `@pytest.mark.asyncio` off" in told.stdout


def _pytest(folder: Path, mode: str, *paths: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-o", f"asyncio_mode={mode}", *paths],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
