"""Tests marked `both_drivers` run on each."""

from typing import get_args

import pytest

from neonkit.db import Driver


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark."""
    config.addinivalue_line("markers", "both_drivers: run the test on asyncpg and on psycopg.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give such a test's database each driver in turn."""
    is_marked = metafunc.definition.get_closest_marker("both_drivers")
    if is_marked and "database_driver" in metafunc.fixturenames:
        metafunc.parametrize("database_driver", get_args(Driver))
