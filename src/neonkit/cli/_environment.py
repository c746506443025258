"""From the command line to the settings: an option is a variable that comes first."""

import os
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from neonkit.cli._server_policy import ServerPolicy
from neonkit.settings import Settings


def read_settings(options: Mapping[str, str | int | None], *, environment: str) -> Settings:
    """Read the settings, options first; worker processes inherit what they say.

    Args:
        options: variables that the command line gave.
        environment: what ENVIRONMENT is where neither the environment nor `.env` says.

    Raises:
        ConfigurationError: the settings are wrong.
    """
    for name, value in options.items():
        if value is not None:
            os.environ[name] = str(value)
    if not _is_set("ENVIRONMENT"):
        os.environ["ENVIRONMENT"] = environment
    return Settings()


def server_policy(target: str, settings: Settings) -> ServerPolicy:
    """Pick out what a server process must know before it imports the app."""
    return ServerPolicy(
        app=target,
        drain_seconds=settings.drain_seconds,
        shutdown_timeout=settings.shutdown_timeout,
        trusted_proxies=tuple(map(str, settings.trusted_proxies)),
        log_level=settings.log_level,
        log_format=settings.effective_log_format,
    )


def _is_set(name: str) -> bool:
    file = Path(".env")
    given = {**(dotenv_values(file) if file.is_file() else {}), **os.environ}
    return any(value for key, value in given.items() if key.upper() == name)
