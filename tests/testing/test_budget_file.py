"""The file of budgets, read and written."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neonkit.errors import ConfigurationError
from neonkit.testing._budget_file import Budget, Spending, read_budgets, write_budgets

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
SPENDING = st.builds(Spending, st.integers(0, 99), st.lists(TEXT, max_size=4).map(tuple))
BY_HAND = """\
# ours

["GET /b"]
ceiling = 4  # the contract's
trips = 9
statements = [
  "old",
  "[older]",
]
# a word on it

["GET /a"]
ceiling = 1
"""


@given(st.lists(st.dictionaries(TEXT, SPENDING, max_size=4), max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_what_is_written_is_read(tmp_path: Path, runs: list[dict[str, Spending]]) -> None:
    """Whatever the names and the statements; the last run's word on each name holds."""
    file = tmp_path / "round_trips.toml"
    file.unlink(missing_ok=True)
    for run in runs:
        write_budgets(file, run)

    last = {name: spending for run in runs for name, spending in run.items()}
    assert read_budgets(file) == {name: Budget(spending) for name, spending in last.items()}


def test_what_was_written_by_hand_stays(tmp_path: Path) -> None:
    """Ceilings, comments and other entries; entries are in the order of their routes."""
    file = tmp_path / "round_trips.toml"
    file.write_text(BY_HAND)

    write_budgets(file, {"GET /b": Spending(1, ("new",)), "DELETE /a": Spending(0, ())})

    assert (
        file.read_text()
        == """\
# ours

["DELETE /a"]
trips = 0
statements = []

["GET /a"]
ceiling = 1

["GET /b"]
ceiling = 4  # the contract's
# a word on it
trips = 1
statements = [
  "new",
]
"""
    )
    assert read_budgets(file)["GET /b"] == Budget(Spending(1, ("new",)), 4)
    assert [each.name for each in tmp_path.iterdir()] == ["round_trips.toml"]


def test_writing_again_changes_nothing(tmp_path: Path) -> None:
    """The file is the same whatever was accepted first, so a diff shows what has changed."""
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    spent = {"GET /a": Spending(1, ("x",)), "GET /b, with a key": Spending(2, ("x", "y"))}
    write_budgets(one, spent)
    for name in reversed(spent):
        write_budgets(other, {name: spent[name]})
    write_budgets(other, spent)

    assert one.read_text() == other.read_text()
    assert list(tomllib.loads(one.read_text())) == list(spent)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("trips = ", "is not TOML"),
        ("trips = 1", "is not a budget"),
        ('["GET /a"]\nceiling = "1"', r'\["GET /a"\] in .*round_trips.toml is not a budget'),
        ('["GET /a"]\ntrips = true', "is not a budget"),
        ('["GET /a"]\ncieling = 1', "is not a budget"),
        ('["GET /a"]\nstatements = [1]', "is not a budget"),
    ],
)
def test_a_file_that_holds_something_else(tmp_path: Path, text: str, why: str) -> None:
    """It is refused by name: a ceiling that is misspelt would be none."""
    file = tmp_path / "round_trips.toml"
    file.write_text(text)

    with pytest.raises(ConfigurationError, match=why):
        read_budgets(file)
