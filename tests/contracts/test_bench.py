"""Figures that pages show are those that were measured."""

from benchmarks.bench.__main__ import RESULTS
from benchmarks.bench.report import README, in_readme, page
from benchmarks.bench.results import Results


def test_the_page_is_made_of_the_committed_samples() -> None:
    """`bench.md` is what its samples give, figure by figure."""
    assert (RESULTS / "bench.md").read_text() == page(Results.load(RESULTS))


def test_readmes_table_is_made_of_the_committed_samples() -> None:
    """README's table holds no figure that nobody measured."""
    text = README.read_text()

    assert "measured: make bench" in text
    assert in_readme(Results.load(RESULTS), text) == text
