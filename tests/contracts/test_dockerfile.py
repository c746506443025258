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


def test_it_runs_in_a_folder_that_nobody_writes() -> None:
    """Root makes it before the user is set, and it is no folder that others may write."""
    stage = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    steps = re.findall(r"^(WORKDIR|USER|COPY|VOLUME) (.*)", stage, re.MULTILINE)
    folders = [value for step, value in steps if step == "WORKDIR"]
    copied = [value for step, value in steps if step == "COPY"]

    assert [step for step, _ in steps].index("WORKDIR") < [step for step, _ in steps].index("USER")
    assert len(folders) == 1
    assert not folders[0].startswith(("/tmp", "/var/tmp", "/dev/shm"))
    assert not any(folders[0] in value for value in copied)


def test_every_dependency_is_locked_with_hashes_and_without_addresses() -> None:
    """Each lock file pins what pyproject.toml asks for, and names no index."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[\[<>=]", text)[0].lower() for text in project["dependencies"]}
    for name in ("serve", "run", "dev"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        assert wanted <= set(re.findall(r"^([a-z0-9_.-]+)(?:\[.*\])?==", text, re.MULTILINE))
        assert "://" not in text
        assert text.count("--hash=sha256:") > text.count("==")
