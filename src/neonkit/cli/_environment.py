"""From the command line to the settings: an option is a variable that comes first."""

import os
from collections.abc import Mapping

from neonkit.cli._server_policy import ServerPolicy
from neonkit.settings import AppTarget, LaunchSettings


def read_settings(options: Mapping[str, str | int | None], *, environment: str) -> LaunchSettings:
    """Read what a server needs before it imports its app; the app inherits what the options say.

    Args:
        options: variables that the command line gave.
        environment: what ENVIRONMENT is where nobody says.

    Raises:
        ConfigurationError: one of these variables is wrong. The app refuses its own ones itself.
    """
    for name, value in options.items():
        if value is not None:
            os.environ[name] = str(value)
    settings = LaunchSettings()
    if settings.environment is None:
        os.environ["ENVIRONMENT"] = environment
        settings = LaunchSettings()
    return settings


def server_policy(target: AppTarget, settings: LaunchSettings) -> ServerPolicy:
    """Pick out what a server process must know before it imports the app."""
    return ServerPolicy(
        app=target,
        drain_seconds=settings.drain_seconds,
        shutdown_timeout=settings.shutdown_timeout,
        trusted_proxies=tuple(map(str, settings.trusted_proxies)),
        log_level=settings.log_level,
        log_format=settings.effective_log_format,
        is_production=settings.is_production,
    )
