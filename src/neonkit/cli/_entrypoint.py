"""Which app to run, and importing it."""

import importlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from neonkit._seams.uvicorn import ASGIApplication

from neonkit.errors import ConfigurationError
from neonkit.settings import declared_app

STARTER = "neonkit_starter.app:app"

_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_FILE = re.compile(r"(.+)\.py(?::(\w+))?")


def find_target(app: str | None, folder: Path) -> str:
    """Say which app is meant, as `module:attribute`.

    Args:
        app: what the command line says.
        folder: where `pyproject.toml` may name one, by FastAPI's convention
            (`[tool.fastapi] entrypoint = "notes:app"`); else it is the starter.

    Raises:
        ConfigurationError: it is not of that form, or `pyproject.toml` cannot be read.
    """
    target = app or declared_app(folder / "pyproject.toml") or STARTER
    if _TARGET.fullmatch(target):
        return target
    raise ConfigurationError(
        f"{target!r} names no app: write it as module:attribute, such as {_suggest(target)}"
    )


def _suggest(target: str) -> str:
    file = _FILE.fullmatch(target)
    if file:
        module = file[1].removeprefix("./").replace("/", ".")
        return f"{module}:{file[2] or 'app'}"
    return f"{target}:app" if target.isidentifier() else "notes:app"


def load_app(target: str) -> "ASGIApplication":
    """Import the app; the current directory is searched first.

    Raises:
        ConfigurationError: there is no such module or attribute, or it is no app. What the
            module itself raises while it is imported passes through.
    """
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module_name, _, path = target.partition(":")
    value: object = _import(module_name)
    for name in path.split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            hint = _apps_in(module_name)
            raise ConfigurationError(f"module {module_name!r} has no {path!r}{hint}") from None
    if not callable(value):
        raise ConfigurationError(f"{target!r} is {type(value).__name__}, not an ASGI app")
    return cast("ASGIApplication", value)


def _import(name: str) -> object:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(
            f"there is no module {error.name!r}; run the command in the folder that holds it, or "
            "install it"
        ) from None


def _apps_in(module_name: str) -> str:
    names = [
        f"{module_name}:{name}"
        for name, value in vars(sys.modules[module_name]).items()
        if type(value).__name__ == "FastAPI"
    ]
    return f"; did you mean {' or '.join(names)}?" if names else ""
