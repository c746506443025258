"""Which app a project's tests drive: `[tool.fastapi] entrypoint`, FastAPI's own convention."""

import pkgutil
import sys
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from neonkit.errors import ConfigurationError
from neonkit.settings import declared_app


@dataclass(frozen=True)
class Entrypoint:
    """Where a project says its app is.

    Attributes:
        folder: the project's, from which the module is imported.
        name: such as `notes:app`.
    """

    folder: Path
    name: str

    def load(self) -> FastAPI:
        """Import the app.

        Raises:
            ConfigurationError: there is no FastAPI app under that name. What the module itself
                raises while it is imported comes through as it is.
        """
        if str(self.folder) not in sys.path:
            sys.path.insert(0, str(self.folder))
        try:
            app = pkgutil.resolve_name(self.name)
        except (ValueError, AttributeError) as error:
            raise self._wrong(str(error)) from error
        if not isinstance(app, FastAPI):
            raise self._wrong(f"it is {type(app).__name__}")
        return app

    def _wrong(self, why: str) -> ConfigurationError:
        return ConfigurationError(
            f'[tool.fastapi] entrypoint = "{self.name}" in {self.folder / "pyproject.toml"} is not '
            f'the FastAPI app of a module, such as "notes:app": {why}'
        )


def find_entrypoint(folder: Path) -> Entrypoint | None:
    """Read the nearest `pyproject.toml`, from `folder` upwards."""
    for place in (folder, *folder.parents):
        file = place / "pyproject.toml"
        if file.is_file():
            name = declared_app(file)
            return Entrypoint(place, name) if name else None
    return None
