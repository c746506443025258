"""Two lines make an app fast that somebody has: those of the how-to, on the app of Neon's guide."""

import asyncio
import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from neonkit.local import WireProxy
from support.guide import GUIDE

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "into-an-app-that-you-have.md"
COUNTED = ROOT / "tests" / "support" / "counted.py"
REFRESH = "    await session.refresh(db_user)\n"
YIELD = "        yield session\n"


def _two_lines(app: str) -> str:
    """The app after the diff of the page, whose lines it must have."""
    (diff,) = re.findall(r"^```diff\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    taken = "".join(line[1:] for line in diff.splitlines(keepends=True) if line[0] == "-")
    given = "".join(line[1:] for line in diff.splitlines(keepends=True) if line[0] == "+")
    assert app.count(taken) == 1
    return "import neonkit\n" + app.replace(taken, given)


def _without_refresh(app: str) -> str:
    return app.replace(REFRESH, "")


def _committing_after_yield(app: str) -> str:
    app = app.replace(YIELD, f"{YIELD}        await session.commit()\n")
    head, routes = app.split("app = FastAPI", 1)
    return f"{head}app = FastAPI{routes.replace('session.commit()', 'session.flush()')}"


APPS = {
    "as it is": (
        GUIDE,
        {"create": 12, "read": 6, "patch": 13, "page": 7},
    ),
    "two lines": (
        _two_lines(GUIDE),
        {"create": 2, "read": 1, "patch": 3, "page": 2, "posts": 2, "fresh": 7},
    ),
    "two lines, no refresh": (
        _without_refresh(_two_lines(GUIDE)),
        {"create": 1, "read": 1, "patch": 2, "page": 2, "posts": 2, "fresh": 7},
    ),
    "two lines, commit after yield": (
        _committing_after_yield(_without_refresh(_two_lines(GUIDE))),
        {"create": 3, "read": 1, "patch": 4, "page": 2, "posts": 2, "fresh": 7},
    ),
}


@pytest.mark.parametrize("name", APPS)
async def test_what_the_guides_app_costs(neon: WireProxy, tmp_path: Path, name: str) -> None:
    """Each route costs these round trips, and the first row of a new connection no more than 7."""
    app, costs = APPS[name]
    (tmp_path / "app.py").write_text(app)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, COUNTED, neon.url),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{sysconfig.get_path('purelib')}"},
        stdout=subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    told = json.loads(printed)

    assert {name: told[name] for name in costs} == costs
