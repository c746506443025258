"""Hooks: what pytest must know before the first test. The fixtures are in `_fixtures`.

This module and what it imports are there at the start of every pytest run of an environment that
has neonkit, before coverage is measured: nothing heavy is imported outside of their functions.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING

import pytest

from neonkit.testing import _budget_acceptance, _fixtures

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

_OURS = "_neonkit_databases"  # every fixture that needs a database asks for it
_BACKEND = "_neonkit_backend"
_ENVIRONMENT = pytest.StashKey[bool]()
_RUNNERS = ("anyio", "asyncio", "trio")
_TWO_LOOPS = (
    "pytest-asyncio would run this test in an event loop of its own, in which the database of a "
    "neonkit fixture cannot be used. Take `@pytest.mark.asyncio` off: an async test that asks for "
    "a fixture of neonkit runs without it, in either mode of pytest-asyncio."
)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Add the fixtures and set `ENVIRONMENT=test`, before the project's first conftest.

    The later of two plugins wins a fixture's name: now all installed ones are there, and whatever
    the project names in `pytest_plugins` is still to come. The variable must be there when test
    modules import the app; `pytest_collection_finish` takes it back where no test is ours.
    """
    early_config.pluginmanager.register(_fixtures, "neonkit.fixtures")
    early_config.stash[_ENVIRONMENT] = "ENVIRONMENT" not in os.environ
    if early_config.stash[_ENVIRONMENT]:
        os.environ["ENVIRONMENT"] = "test"
        early_config.add_cleanup(lambda: _forget_environment(early_config))


def _forget_environment(config: pytest.Config) -> None:
    """Unset what this plugin has set; what somebody else has set since then stays."""
    if config.stash[_ENVIRONMENT] and os.environ.get("ENVIRONMENT") == "test":
        del os.environ["ENVIRONMENT"]
    config.stash[_ENVIRONMENT] = False


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
    """Add the marker, and collect new budgets where that is wanted."""
    config.addinivalue_line(
        "markers", "real_commits: give the test a database of its own, in which commits are real."
    )
    is_worker = hasattr(config, "workerinput")
    if config.option.accept_round_trips and not is_worker:
        config.pluginmanager.register(_budget_acceptance.Acceptance(), "neonkit.acceptance")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Let xdist's workers, which inherit the environment, decide about it each by its own tests."""
    if session.config.pluginmanager.has_plugin("dsession"):
        _forget_environment(session.config)


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let tests of ours run on asyncio, in one loop, whatever `anyio_backend` the project has.

    In a project that says where its app is, so do tests that ask for anyio's own, unless a marker
    wants them as anyio has them.
    """
    test = metafunc.definition
    if _OURS in metafunc.fixturenames or (
        "anyio_backend" in metafunc.fixturenames
        and test.get_closest_marker("anyio") is None
        and _has_stock_backend(test)
        and _is_free_project(metafunc.config)
    ):
        _take_backend(test)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, obj: object
) -> Generator[None, object, object]:
    """Take a test of ours back from pytest-asyncio, whose auto mode takes every async test."""
    made = yield
    if not isinstance(made, list) or _is_marked(collector, obj):
        return made
    return [_without_asyncio(each) if _is_of_asyncio(each) else each for each in made]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(request: pytest.FixtureRequest) -> Generator[None, object, object]:
    """Leave the async fixtures of a test of ours to anyio: they share its loop."""
    if _OURS not in request.fixturenames:
        return (yield)
    with _asyncio_strict(request.config):
        return (yield)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Run a project's other async tests on anyio too; leave a run alone that is not ours.

    A run is ours if a test asks for a fixture of ours, or if the project says where its app is,
    so that a single test of it runs as it does among the others. Where pytest-asyncio is
    installed, it keeps those tests; so does whoever a marker names.
    """
    tests = [item for item in session.items if isinstance(item, pytest.Function)]
    has_ours = any(_OURS in item.fixturenames for item in tests)
    if not has_ours:
        _forget_environment(session.config)
    homeless = [item for item in tests if _has_no_runner(item)]
    if homeless and _is_free_project(session.config, has_ours=has_ours):
        for item in homeless:
            item.fixturenames.insert(0, "anyio_backend")
            _take_backend(item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a test that pytest-asyncio runs, but whose database lives in anyio's loop."""
    is_ours = _OURS in getattr(item, "fixturenames", ())
    if is_ours and item.get_closest_marker("asyncio"):
        pytest.fail(_TWO_LOOPS, pytrace=False)


def _take_backend(item: pytest.Item) -> None:
    """Have this one test ask our fixture where it asks for `anyio_backend`."""
    found = item.session._fixturemanager.getfixturedefs(_BACKEND, item)  # noqa: SLF001  # no other way
    item._fixtureinfo.name2fixturedefs["anyio_backend"] = found  # type: ignore[attr-defined]  # noqa: SLF001  # the same


def _is_free_project(config: pytest.Config, *, has_ours: bool = False) -> bool:
    """Tell a project of ours in which nobody else has been given the async tests."""
    if config.option.anyio_mode is not None or config.pluginmanager.has_plugin("asyncio"):
        return False
    return has_ours or _fixtures.entry_point_of(config) is not None


def _has_stock_backend(item: pytest.Item) -> bool:
    manager = item.session._fixturemanager  # noqa: SLF001  # as for `_take_backend`
    found = manager.getfixturedefs("anyio_backend", item)
    return found is not None and found[-1].func.__module__ == "anyio.pytest_plugin"


def _has_no_runner(item: pytest.Function) -> bool:
    """Tell an async test that neither a fixture nor a marker gives to a runner."""
    test = getattr(getattr(item.obj, "hypothesis", None), "inner_test", item.obj)
    has_runner = "anyio_backend" in item.fixturenames or any(map(item.get_closest_marker, _RUNNERS))
    return iscoroutinefunction(test) and not has_runner


def _is_marked(collector: pytest.Collector, obj: object) -> bool:
    marks: Iterable[pytest.Mark] = getattr(obj, "pytestmark", ())
    return any(mark.name == "asyncio" for mark in (*marks, *collector.iter_markers()))


def _is_of_asyncio(item: object) -> bool:
    is_test = isinstance(item, pytest.Function) and _OURS in item.fixturenames
    return is_test and type(item).__module__.startswith("pytest_asyncio.")


def _without_asyncio(item: pytest.Function) -> pytest.Function:
    """Make the test anew as pytest would have, without the marker that the mode has added."""
    assert item.parent is not None, "only the session has none"  # noqa: S101
    plain: pytest.Function = pytest.Function.from_parent(
        item.parent,
        name=item.name,
        callspec=getattr(item, "callspec", None),
        callobj=item.obj,
        fixtureinfo=item._fixtureinfo,  # noqa: SLF001  # as pytest-asyncio copies it
        originalname=item.originalname,
    )
    plain.own_markers = [mark for mark in item.own_markers if mark.name != "asyncio"]
    return plain


@contextmanager
def _asyncio_strict(config: pytest.Config) -> Iterator[None]:
    """Have pytest-asyncio leave fixtures alone that are not its own, for the block."""
    mode = getattr(config.option, "asyncio_mode", None)
    config.option.asyncio_mode = "strict"
    try:
        yield
    finally:
        config.option.asyncio_mode = mode
