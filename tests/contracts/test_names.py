"""What is public is listed, and the list is true."""

import pickle
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from inspect import get_annotations
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import neonkit

ROOMS = (
    "auth",
    "cli",
    "db",
    "dsn",
    "health",
    "history",
    "local",
    "migrations",
    "models",
    "observe",
    "resources",
    "settings",
    "testing",
    "web",
)
PRIVATE = ("_seams",)
REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_lists_its_public_names(room: str) -> None:
    """Each room's `__all__` is sorted, and every name in it exists."""
    module = import_module(f"neonkit.{room}")

    assert list(module.__all__) == sorted(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_every_room_is_known_here() -> None:
    """A room that this file does not name is refused."""
    folder = Path(neonkit.__file__).parent
    rooms = {path.parent.name for path in folder.glob("*/__init__.py")}

    assert rooms == {*ROOMS, *PRIVATE}


def test_inside_a_room_modules_are_private() -> None:
    """What a room does not export cannot be imported by a public path."""
    folder = Path(neonkit.__file__).parent
    modules = [path for room in ROOMS for path in (folder / room).glob("*.py")]
    public = [path.name for path in modules if not path.name.startswith("_")]

    assert public == []


def _public() -> Iterator[Any]:
    for place in ("neonkit", "neonkit.errors", *(f"neonkit.{room}" for room in ROOMS)):
        module = import_module(place)
        for name in getattr(module, "__all__", vars(module)):
            value = getattr(module, name)
            if isinstance(value, type | FunctionType) and value.__module__.startswith("neonkit"):
                yield pytest.param(value, id=f"{place}.{name}")


@pytest.mark.parametrize("value", list(_public()))
def test_a_public_name_prints_as_it_is_imported(value: Any) -> None:  # noqa: ANN401  # any of them
    """Tracebacks name no private module, pickles find it again, and its annotations are known."""
    assert "._" not in value.__module__
    assert getattr(import_module(value.__module__), value.__qualname__) is value
    assert pickle.loads(pickle.dumps(value)) is value
    if isinstance(value, type):  # a function looks where it is written
        assert get_annotations(value, eval_str=True).keys() == value.__annotations__.keys()


def test_the_root_is_named_where_it_exports_a_name() -> None:
    """`neonkit.Database` is not called `neonkit.db.Database`; one that it lacks is the room's."""
    assert repr(neonkit.Database) == "<class 'neonkit.Database'>"
    assert repr(import_module("neonkit.db").PoolPolicy) == "<class 'neonkit.db.PoolPolicy'>"


def test_the_root_exports_what_it_lists() -> None:
    """Each name of the root can be imported from it, and no other."""
    for name in neonkit.__all__:
        assert getattr(neonkit, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = neonkit.nothing


def test_every_public_name_of_the_root_is_documented() -> None:
    """The reference describes each name that the root exports."""
    text = (REFERENCE / "names.md").read_text()

    assert [name for name in neonkit.__all__ if f"`{name}" not in text] == []


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import neonkit", "sqlalchemy"),
        ("import neonkit", "fastapi"),
        ("import neonkit", "pydantic"),
        ("from neonkit import create_engine", "fastapi"),
        ("from neonkit import TableModel", "fastapi"),
        ("import neonkit.dsn", "sqlalchemy"),
        ("import neonkit.testing._plugin", "sqlalchemy"),
        ("import neonkit.testing._plugin", "fastapi"),
    ],
)
def test_importing_one_thing_costs_one_thing(statement: str, absent: str) -> None:
    """A room does not import what only rooms above it need."""
    check = f"import sys; {statement}; sys.exit({absent!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], check=False)

    assert done.returncode == 0
