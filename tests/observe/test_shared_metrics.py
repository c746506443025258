"""Where workers add up their metrics."""

import os
from pathlib import Path

import pytest

from neonkit.errors import ConfigurationError
from neonkit.observe import share_metrics

NAME = "PROMETHEUS_MULTIPROC_DIR"


def test_the_folder_is_inside_of_the_one_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of the run's own, so that no earlier run's numbers are added; it goes afterwards."""
    monkeypatch.setenv(NAME, str(tmp_path))
    with share_metrics():
        assert Path(os.environ[NAME]).parent == tmp_path
    assert (os.environ[NAME], [*tmp_path.iterdir()]) == (str(tmp_path), [])


def test_without_a_folder_it_says_what_it_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a read-only file system the error names the ways out, in place of a traceback."""
    monkeypatch.setenv(NAME, str(tmp_path / "none"))
    with (
        pytest.raises(ConfigurationError, match=r"add up their metrics.*none.*mount a tmpfs"),
        share_metrics(),
    ):
        pass
    assert os.environ[NAME] == str(tmp_path / "none")
