"""Hooks: what pytest must know before the first test. The fixtures are in `_fixtures`.

This module and what it imports are there at the start of every pytest run of an environment that
has neonkit, before coverage is measured: nothing heavy is imported outside of their functions.
"""

import os

import pytest

from neonkit.testing import _budget_acceptance, _fixtures

_TWO_LOOPS = (
    "pytest-asyncio would run this test in an event loop of its own, in which the database of a "
    "neonkit fixture cannot be used. Take `@pytest.mark.asyncio` off and leave asyncio_mode at "
    "strict: an async test that asks for a fixture of neonkit runs without them."
)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Add the fixtures and set `ENVIRONMENT=test`, before the project's first conftest.

    The later of two plugins wins a fixture's name: now all installed ones are there (anyio has
    an `anyio_backend` too), and whatever the project names in `pytest_plugins` is still to come.
    """
    early_config.pluginmanager.register(_fixtures, "neonkit.fixtures")
    environment = pytest.MonkeyPatch()
    early_config.add_cleanup(environment.undo)
    if "ENVIRONMENT" not in os.environ:
        environment.setenv("ENVIRONMENT", "test")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what the fixture `budget` needs to know."""
    parser.addini(
        "round_trips_file",
        "where the fixture `budget` keeps its budgets, from the project's folder; "
        "round_trips.toml beside the test by default",
    )
    parser.getgroup("neonkit").addoption(
        "--accept-round-trips",
        action="store_true",
        help="write what requests spend as their new budgets, never above a ceiling",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Run `async def test_…` on anyio's runner, without a word of configuration.

    Where pytest-asyncio is installed, its modes are left alone: there an async test is anyio's
    only if it asks for a fixture of ours. `--anyio-mode=strict` leaves every other test alone.
    """
    config.addinivalue_line(
        "markers", "real_commits: give the test a database of its own, in which commits are real."
    )
    if config.option.anyio_mode is None and not config.pluginmanager.has_plugin("asyncio"):
        config.option.anyio_mode = "auto"
    is_worker = hasattr(config, "workerinput")
    if config.option.accept_round_trips and not is_worker:
        config.pluginmanager.register(_budget_acceptance.Acceptance(), "neonkit.acceptance")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a test that pytest-asyncio runs, but whose database lives in anyio's loop."""
    is_ours = "_neonkit_databases" in getattr(item, "fixturenames", ())
    if is_ours and item.get_closest_marker("asyncio"):
        pytest.fail(_TWO_LOOPS, pytrace=False)
