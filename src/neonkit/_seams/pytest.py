"""The inside of pytest: which fixtures a test finds, and how it is made anew."""

from collections.abc import Sequence
from typing import Any, Final

import pytest

from neonkit._seams.record import ATTRIBUTE, Seam

__all__ = ["SEAMS", "fixture_info_of", "fixtures_found", "give_fixture"]


def fixtures_found(item: pytest.Item, name: str) -> Sequence[pytest.FixtureDef[Any]]:
    """The fixtures of a name that a test can ask for; the last one wins."""
    return item.session._fixturemanager.getfixturedefs(name, item) or ()


def give_fixture(item: pytest.Function, name: str, found: Sequence[pytest.FixtureDef[Any]]) -> None:
    """Have one test ask other fixtures under a name."""
    item._fixtureinfo.name2fixturedefs[name] = found


def fixture_info_of(item: pytest.Function) -> Any:  # noqa: ANN401  # pytest's own
    """The fixtures that a test was found to ask for, to make the same test anew."""
    return item._fixtureinfo


_RUNNER = "tests run in another event loop than the database of their fixtures"

SEAMS: Final = (
    Seam("pytest:Session", "_fixturemanager", ATTRIBUTE, _RUNNER),
    Seam("pytest:Function", "_fixtureinfo", ATTRIBUTE, _RUNNER),
    Seam("_pytest.fixtures:FixtureManager", "getfixturedefs", "(self, argname, node)", _RUNNER),
    Seam("_pytest.fixtures:FuncFixtureInfo", "name2fixturedefs", ATTRIBUTE, _RUNNER),
)
