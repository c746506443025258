"""Every error has its place: a status, a slug, and a line in the reference."""

from pathlib import Path

import pytest

from neonkit import errors
from neonkit.errors import ProblemError
from neonkit.web._problems import TABLE, Problem

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "problems.md"


def _kinds(root: type[Exception]) -> set[type[Exception]]:
    below = set(root.__subclasses__())
    return below.union(*(_kinds(kind) for kind in below))


def test_every_problem_error_has_a_row() -> None:
    """Each error that ends a request has a status and a slug, and the table has no other."""
    ours = {kind for kind in _kinds(ProblemError) if kind.__module__ == errors.__name__}

    assert set(TABLE) == ours


@pytest.mark.parametrize("problem", TABLE.values(), ids=lambda problem: str(problem.slug))
def test_every_problem_is_documented(problem: Problem) -> None:
    """The reference has a row for each slug, with its status."""
    assert f"| {problem.status} | `{problem.slug}` |" in PAGE.read_text()


def test_the_tree_at_the_top_is_the_tree() -> None:
    """The picture in the module's docstring names every error class."""
    picture = errors.__doc__ or ""
    names = {
        kind.__name__ for kind in _kinds(errors.NeonkitError) if kind.__module__ == errors.__name__
    }

    assert {name for name in names if f"── {name}" not in picture} == set()
