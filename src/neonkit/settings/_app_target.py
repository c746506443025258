"""The app that a command or a test run is about: its name, and importing it."""

import importlib
import re
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from neonkit.errors import ConfigurationError

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_FILE = re.compile(r"(.+)\.py(?::(\w+))?")


@dataclass(frozen=True)
class AppTarget:
    """An app, as `module:attribute`, and the folder that its module is imported from.

    Attributes:
        name: such as `notes:app`.
        folder: searched first for the module.
        source: who gave the name, for messages.
    """

    name: str
    folder: Path
    source: str = "APP"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            hint = f"write it as module:attribute, such as {_suggestion(self.name)}"
            raise self.refusal(f"it is no name of an app: {hint}")

    @classmethod
    def declared_in(cls, folder: Path) -> Self | None:
        """Read `[tool.fastapi] entrypoint`, FastAPI's own convention, of `pyproject.toml`.

        Returns:
            `None` where there is no such file, or no such line in it.

        Raises:
            ConfigurationError: the file cannot be read, or names no app.
        """
        file = folder / "pyproject.toml"
        name = _entrypoint_of(file)
        return None if name is None else cls(name, folder, f"[tool.fastapi] entrypoint of {file}")

    def load(self) -> Callable[..., object]:
        """Import the app.

        Raises:
            ConfigurationError: there is no such module or attribute, or it is no ASGI app. An
                exception of the module's own passes through.
        """
        if str(self.folder) not in sys.path:
            sys.path.insert(0, str(self.folder))
        module_name, _, path = self.name.partition(":")
        value: object = self._import(module_name)
        for name in path.split("."):
            try:
                value = getattr(value, name)
            except AttributeError:
                hint = _apps_in(module_name)
                raise self.refusal(f"module {module_name!r} has no {path!r}{hint}") from None
        if not callable(value):
            raise self.refusal(f"it is {type(value).__name__}, not an ASGI app")
        return value

    def refusal(self, why: str) -> ConfigurationError:
        """Make the error that names this target, and who gave the name."""
        return ConfigurationError(f"{self.source} {self.name!r}: {why}")

    def _import(self, name: str) -> object:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # the module is there, and lacks another one
            raise self.refusal(
                f"there is no module {error.name!r} in {self.folder}; go to the folder that holds "
                "it, or install it"
            ) from None


def _entrypoint_of(pyproject: Path) -> str | None:
    try:
        value: object = tomllib.loads(pyproject.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{pyproject.name} cannot be read: {error}") from None
    for name in ("tool", "fastapi", "entrypoint"):
        value = value.get(name, {}) if isinstance(value, dict) else None
    if value == {}:
        return None
    if isinstance(value, str):
        return value
    raise ConfigurationError(
        f"{pyproject.name}: [tool.fastapi] entrypoint must be a string, such as 'notes:app'"
    )


def _suggestion(name: str) -> str:
    file = _FILE.fullmatch(name)
    if file:
        module = file[1].removeprefix("./").replace("/", ".")
        return f"{module}:{file[2] or 'app'}"
    return f"{name}:app" if name.isidentifier() else "notes:app"


def _apps_in(module_name: str) -> str:
    names = [
        f"{module_name}:{name}"
        for name, value in vars(sys.modules[module_name]).items()
        if type(value).__name__ == "FastAPI"
    ]
    return f"; did you mean {' or '.join(names)}?" if names else ""
