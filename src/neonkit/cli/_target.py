"""The app that a command line is about, and what it says of itself."""

from pathlib import Path
from typing import TYPE_CHECKING

from neonkit.errors import ConfigurationError
from neonkit.settings import AppTarget

if TYPE_CHECKING:
    from neonkit.web import Runtime

_NO_APP = (
    "which app? Write it as APP, such as notes:app, or name it once in pyproject.toml: "
    '[tool.fastapi] entrypoint = "notes:app"'
)


def find_target(app: str | None) -> AppTarget:
    """Take the app that the command line names, else the one that `./pyproject.toml` names.

    Raises:
        ConfigurationError: neither names one, or what stands there is no name of an app.
    """
    folder = Path.cwd()
    target = AppTarget(app, folder) if app else AppTarget.declared_in(folder)
    if target is None:
        raise ConfigurationError(_NO_APP)
    return target


def runtime_of(target: AppTarget) -> "Runtime | None":
    """Import the app, for what the toolkit knows of it; `None` where it is not installed there."""
    from neonkit.web import Runtime  # the parent of workers finds targets, and needs no FastAPI

    state = getattr(target.load(), "state", None)
    runtime: object = getattr(state, "neonkit", None)
    return runtime if isinstance(runtime, Runtime) else None
