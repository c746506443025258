"""What a project's `pyproject.toml` says of its app, by FastAPI's own convention."""

import tomllib
from pathlib import Path

from neonkit.errors import ConfigurationError


def declared_app(pyproject: Path) -> str | None:
    """Read `[tool.fastapi] entrypoint`, such as `notes:app`; `None` where there is none.

    Raises:
        ConfigurationError: the file cannot be read, or says something else than a string.
    """
    try:
        document = tomllib.loads(pyproject.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{pyproject.name} cannot be read: {error}") from None
    value: object = document
    for name in ("tool", "fastapi", "entrypoint"):
        value = value.get(name, {}) if isinstance(value, dict) else None
    if value == {}:
        return None
    if isinstance(value, str):
        return value
    raise ConfigurationError(
        f"{pyproject.name}: [tool.fastapi] entrypoint must be a string, such as 'notes:app'"
    )
