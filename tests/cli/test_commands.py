"""The command line itself: quick, helpful, and light."""

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli.conftest import Run

_HEAVY = ("sqlalchemy", "sqlmodel", "fastapi", "starlette", "pydantic", "uvicorn", "asyncio")


def test_help_imports_nothing_heavy() -> None:
    """`neonkit --help` needs neither the database's libraries nor the web's."""
    code = (
        "import sys, neonkit.cli\n"
        "sys.argv = ['neonkit', '--help']\n"
        "try:\n    neonkit.cli.main()\n"
        "except SystemExit:\n    pass\n"
        "print(sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [name for name in _HEAVY if repr(name) in done.stderr] == []
    assert "Usage: neonkit" in done.stdout


def test_help_is_quick() -> None:
    """`neonkit --help` is there before one notices; the best of five, because machines are busy."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "neonkit", "--help"], stdout=subprocess.DEVNULL, check=True
        )
        times.append(time.perf_counter() - started)
    assert min(times) < 0.3


@pytest.mark.parametrize("command", ["dev", "serve", "migrate", "makemigrations", "doctor"])
def test_every_command_has_help_with_examples(run_neonkit: "Run", command: str) -> None:
    """Help says what a command does, its options, and how it is typed."""
    done = run_neonkit(command, "--help")
    assert (done.code, done.error) == (0, "")
    assert f"  neonkit {command}" in done.output.partition("Examples:")[2]


@pytest.mark.parametrize("arguments", [["publish"], ["serve", "--loud"], ["dev", "a:b", "c:d"]])
def test_a_mistyped_command_line_is_exit_code_2(run_neonkit: "Run", arguments: list[str]) -> None:
    """What does not exist is refused, without a traceback."""
    done = run_neonkit(*arguments)
    assert done.code == 2
    assert "Traceback" not in done.error


@pytest.mark.parametrize("command", ["dev", "serve", "migrate", "makemigrations"])
@pytest.mark.parametrize("content", [None, "[project]\nname = 'shop'\n"])
def test_no_app_is_guessed(
    run_neonkit: "Run", tmp_path: Path, command: str, content: str | None
) -> None:
    """Without APP and without an entry point it says what to write, and touches no database."""
    if content is not None:
        (tmp_path / "pyproject.toml").write_text(content)
    url = "postgresql://ann:hidden-word@127.0.0.1:1/mine"
    done = run_neonkit(command, env={"NEON_DATABASE_URL": url})
    assert (done.code, done.output) == (2, "")
    assert len(done.error.splitlines()) == 1
    for part in ("which app?", "APP", "[tool.fastapi]", 'entrypoint = "notes:app"'):
        assert part in done.error
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["notes.py", *(["pyproject.toml"] if content else [])]
    )


def test_version(run_neonkit: "Run") -> None:
    """`neonkit --version` prints one line."""
    done = run_neonkit("--version")
    assert done.code == 0
    assert done.output.startswith("neonkit ")
    assert len(done.output.splitlines()) == 1
