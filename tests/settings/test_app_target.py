"""The app that is meant: what names one, and what is said where there is none."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from neonkit.errors import ConfigurationError
from neonkit.settings import AppTarget


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a module of its own name, which no other test has imported."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "targeted.py").write_text(
        "from fastapi import FastAPI\napp = FastAPI()\nnumber = 3\nclass shop:\n    app = app\n"
    )
    (tmp_path / "lacking.py").write_text("import not_there\n")
    yield tmp_path
    for name in ("targeted", "lacking"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("targeted", "such as targeted:app"),
        ("targeted.py", "such as targeted:app"),
        ("./shop/main.py:api", "such as shop.main:api"),
        ("a b:c", "such as notes:app"),
        ("", "module:attribute"),
        (":app", "module:attribute"),
        ("notes:", "module:attribute"),
        ("no:te:s", "module:attribute"),
        ("notes:app()", "module:attribute"),
    ],
)
def test_what_is_no_name_of_an_app_is_refused(name: str, says: str) -> None:
    """The form is said, with what was probably meant."""
    with pytest.raises(ConfigurationError) as caught:
        AppTarget(name, Path())
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["targeted:app", "targeted:shop.app"])
def test_an_app_is_imported_from_its_folder(folder: Path, name: str) -> None:
    """Wherever the process is, the target's folder is searched first."""
    assert type(AppTarget(name, folder).load()).__name__ == "FastAPI"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing:app", "there is no module 'missing'"),
        ("targeted.sub:app", "there is no module 'targeted.sub'"),
        ("targeted:ap", "has no 'ap'; did you mean targeted:app?"),
        ("targeted:shop.other", "has no 'shop.other'"),
        ("targeted:number", "it is int, not an ASGI app"),
    ],
)
def test_what_cannot_be_loaded_is_named(folder: Path, name: str, says: str) -> None:
    """The refusal says who gave the name, the name, and what is wrong with it."""
    with pytest.raises(ConfigurationError) as caught:
        AppTarget(name, folder, "the shop's").load()
    assert str(caught.value).startswith(f"the shop's '{name}': ")
    assert says in str(caught.value)


def test_what_a_module_raises_comes_through(folder: Path) -> None:
    """A module that lacks another one is not told as missing itself."""
    with pytest.raises(ModuleNotFoundError, match="not_there"):
        AppTarget("lacking:app", folder).load()


@pytest.mark.parametrize(
    "text", [None, "", "[tool.other]\nentrypoint = 'a:b'\n", "[tool.fastapi]\nport = 1\n"]
)
def test_nothing_declared_is_nothing(tmp_path: Path, text: str | None) -> None:
    """Without a file, or without the line, no app is made up."""
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text)
    assert AppTarget.declared_in(tmp_path) is None


def test_the_declared_app(tmp_path: Path) -> None:
    """FastAPI's own line names it; a wrong one is refused with the file."""
    file = tmp_path / "pyproject.toml"
    file.write_text('[tool.fastapi]\nentrypoint = "shop.main:api"\n')
    target = AppTarget.declared_in(tmp_path)
    assert target is not None
    assert (target.name, target.folder) == ("shop.main:api", tmp_path)
    file.write_text('[tool.fastapi]\nentrypoint = "shop"\n')
    with pytest.raises(ConfigurationError, match=r"pyproject\.toml 'shop'.*such as shop:app"):
        AppTarget.declared_in(tmp_path)
