"""`neonkit serve`: the production server."""

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from neonkit.cli._entrypoint import find_target
from neonkit.cli._environment import read_settings, server_policy
from neonkit.cli._listening_socket import address_of, announce, listen
from neonkit.cli._workers import Workers
from neonkit.observe import configure_logging, share_metrics

_log = logging.getLogger("neonkit")


def run(app: str | None, options: Mapping[str, str | int | None]) -> int:
    """Serve until a signal ends it.

    Returns:
        The exit code: 0 where it ended as asked.

    Raises:
        ConfigurationError: a setting is wrong, the port is taken, or there is no such app.
    """
    target = find_target(app, Path.cwd())
    settings = read_settings(options, environment="production")
    policy = server_policy(target, settings)
    configure_logging(policy.log_level, policy.log_format)
    for warning in settings.warnings:
        _log.warning("%s", warning)
    with listen(settings.host, settings.port) as listener:
        on_ready = partial(announce, address_of(listener), settings.workers)
        if settings.workers == 1:
            from neonkit.cli._server import run_server

            return 0 if run_server(policy, listener, on_ready) else 1
        workers = Workers(policy, listener, settings.workers, on_ready)
        with share_metrics():
            return 0 if asyncio.run(workers.run()) else 1
