"""The documentation is executed: what it shows is what happens."""

import ast
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from websockets.sync.client import connect

from support.needed import need, need_openssl
from support.outside import serving
from support.poolers import need_pgbouncer

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial" / "first-evening.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RESTART = "### Move money"
BANKER = {
    "FIRST_ADMIN_USERNAME": "banker",
    "FIRST_ADMIN_EMAIL": "banker@example.com",
    "FIRST_ADMIN_PASSWORD": "gold standard since 1694",
}
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str


def _blocks(page: Path, part: int | None = None) -> list[Block]:
    text = page.read_text()
    text = text if part is None else text.split(RESTART)[part]
    return [Block(*found) for found in FENCE.findall(text)]


def _calls(page: Path, part: int | None) -> Iterator[tuple[str, str]]:
    """The `curl` commands of a page, each with the answer that is shown below it.

    A block that sets a shell variable stands before all that come after it.
    """
    variables = ""
    for block, following in itertools.pairwise(_blocks(page, part)):
        if re.match(r"[a-z_]+=\$\(curl", block.text):
            variables += block.text
        if block.language == "bash" and block.text.startswith("curl"):
            assert following.language == "text", f"no answer is shown below: {block.text}"
            yield variables + block.text, following.text


def _check_calls(page: Path, url: str, part: int | None = None) -> None:
    calls = list(_calls(page, part))
    assert calls
    need("curl", "apt-get install curl")
    for command, shown in calls:
        done = subprocess.run(
            ["bash", "-c", command.replace("http://127.0.0.1:8000", url)],
            capture_output=True,
            text=True,
            check=True,
        )
        pattern = ".+".join(re.escape(part) for part in shown.strip().split("…"))
        assert re.fullmatch(pattern, done.stdout.strip()), f"{command}\n{done.stdout}"


def test_the_readmes_commands_answer_as_shown(tmp_path: Path) -> None:
    """Every `curl` of the README, run in order on a fresh starter, answers what stands below it."""
    command = ("neonkit", "dev", "neonkit_starter.app:app")
    with serving(tmp_path, *command) as served:
        served.wait_for("/health/ready", 200, 90)
        _check_calls(ROOT / "README.md", served.url, part=0)
    with serving(tmp_path, *command, **BANKER) as served:
        served.wait_for("/health/startup", 200, 90)
        _check_calls(ROOT / "README.md", served.url, part=1)


@pytest.mark.parametrize(
    ("name", "module"),
    [("write-once", "orders"), ("list-rows", "films"), ("change-what-you-have-seen", "recipes")],
)
def test_a_how_to_answers_as_written(tmp_path: Path, name: str, module: str) -> None:
    """The app of the how-to answers as shown under `uvicorn`, and mypy accepts it."""
    page = ROOT / "docs" / "how-to" / f"{name}.md"
    app = next(block for block in _blocks(page) if block.language == "python")
    (tmp_path / f"{module}.py").write_text(app.text)
    with serving(tmp_path, "uvicorn", f"{module}:app", "--port", "{port}") as served:
        served.wait_for("/health/startup", 200, 90)
        _check_calls(page, served.url)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", f"{module}.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tutorial_works_as_written(tmp_path: Path) -> None:
    """Its files make an app that answers as shown, whose test passes, and that mypy accepts."""
    for block in _blocks(TUTORIAL):
        name = re.match(r"# (\w+\.py)\n", block.text)
        if name:
            (tmp_path / name[1]).write_text(block.text)
        elif block.language == "toml":
            (tmp_path / "pyproject.toml").write_text(block.text)
    with serving(tmp_path, "neonkit", "dev", "notes:app") as served:
        served.wait_for("/health/ready", 200, 90)
        _check_calls(TUTORIAL, served.url)
    for command in (("pytest", "-q", "-p", "no:cacheprovider"), ("mypy", "--strict", "notes.py")):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_neon_is_played_as_shown(tmp_path: Path) -> None:
    """`dev --like-neon` prints what the how-to shows, and its tests pass on the tutorial's app."""
    need_pgbouncer()
    need_openssl()
    page = ROOT / "docs" / "how-to" / "play-neon.md"
    command, printed, tests, *_ = _blocks(page)
    for block in (*_blocks(TUTORIAL), tests):
        name = re.match(r"# (notes|test_neon)\.py\n", block.text)
        if name:
            (tmp_path / f"{name[1]}.py").write_text(block.text)
        elif block.language == "toml":
            (tmp_path / "pyproject.toml").write_text(block.text)
    with serving(tmp_path, *command.text.split()) as served:
        served.wait_for("/health/ready", 200, 90)
        pattern = ".+".join(re.escape(part) for part in printed.text.split("…"))
        assert re.search(pattern, served.output.read_text()), served.output.read_text()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_neon.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_on_a_page_is_python(page: Path) -> None:
    """Each Python block of each page compiles."""
    for block in _blocks(page):
        if block.language == "python":
            compile(block.text, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize(
    "page",
    ["how-to/install-piece-by-piece.md", "how-to/sign-in.md", "how-to/your-own-errors.md"],
)
def test_an_apps_page_runs(page: str, tmp_path: Path) -> None:
    """The app of a how-to can be served: its schema comes out complete."""
    text = next(b.text for b in _blocks(ROOT / "docs" / page) if b.language == "python")
    (tmp_path / "shown.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", "import shown; shown.app.openapi(); print(shown.app.title)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "FastAPI\n"), done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file that is there."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_evenings_app_is_the_one_in_the_tutorial() -> None:
    """What the end-to-end tests serve is what the tutorial shows, comments apart."""
    shown = next(b.text for b in _blocks(TUTORIAL) if b.text.startswith("# notes.py"))
    served = (Path(__file__).parent / "apps" / "notes.py").read_text()

    assert ast.dump(ast.parse(shown)) == ast.dump(ast.parse(served))


def test_a_rehearsal_is_shown_as_it_printed() -> None:
    """What the how-to shows of rehearsals is in the report that a command wrote."""
    report = (ROOT / "benchmarks" / "results" / "rehearsals.md").read_text()
    shown = [
        b.text for b in _blocks(ROOT / "docs" / "how-to" / "migrate.md") if " waited " in b.text
    ]

    assert len(shown) == 2
    assert [text for text in shown if text not in report] == []


def test_work_outside_of_a_request_goes_as_written(tmp_path: Path) -> None:
    """Streams, events, tasks and sockets of the page, its script, and its worker of two tasks."""
    page = ROOT / "docs" / "how-to" / "work-outside-a-request.md"
    for block in _blocks(page):
        name = re.match(r"# (\w+\.py)\n", block.text)
        if name:
            (tmp_path / name[1]).write_text(block.text)
    with serving(tmp_path, "neonkit", "dev", "late:app") as served:
        served.wait_for("/health/ready", 200, 90)
        assert httpx2.post(f"{served.url}/mails").status_code == 202
        with connect(f"ws{served.url.removeprefix('http')}/talk") as socket:
            socket.send("from a socket")
            assert socket.recv() == "2"
        url = _run(tmp_path, "-m", "neonkit", "url").strip()
        for script in ("nightly.py", "worker.py"):
            _run(tmp_path, script, NEON_DATABASE_URL=url)
        assert httpx2.get(f"{served.url}/events").text == "data: 4\n\n" * 3
        assert httpx2.get(f"{served.url}/export").text.splitlines() == [
            "from a background task",
            "from a socket",
            "from a worker",
            "from the same worker",
        ]
    _run(tmp_path, "-m", "mypy", "--strict", "late.py", "nightly.py", "worker.py")


def _run(folder: Path, *command: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
