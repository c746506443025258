"""The image: what a linter says of it, and that its lock is the project's."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_linter_has_nothing_to_say() -> None:
    """The linter hadolint finds no fault in the Dockerfile."""
    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", ROOT / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_every_dependency_is_locked_with_hashes_and_without_addresses() -> None:
    """Each lock file pins what pyproject.toml asks for, and names no index."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[\[<>=]", text)[0].lower() for text in project["dependencies"]}
    for name in ("serve", "run", "dev"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        assert wanted <= set(re.findall(r"^([a-z0-9_.-]+)(?:\[.*\])?==", text, re.MULTILINE))
        assert "://" not in text
        assert text.count("--hash=sha256:") > text.count("==")
