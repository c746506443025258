"""`neonkit serve`: the production server."""

import asyncio
from collections.abc import Mapping
from functools import partial

from neonkit.cli._environment import read_settings, server_policy
from neonkit.cli._imports import imported_for_good
from neonkit.cli._server_process import announce
from neonkit.cli._target import find_target
from neonkit.cli._workers import Workers
from neonkit.local import address_of, open_listener
from neonkit.observe import configure_logging, share_metrics


def run(app: str | None, options: Mapping[str, str | int | None]) -> int:
    """Serve until a signal ends it.

    Returns:
        The exit code: 0 where it ended as asked.

    Raises:
        ConfigurationError: a setting is wrong, the port is taken, or there is no such app.
    """
    target = find_target(app)
    settings = read_settings(options, environment="production")
    policy = server_policy(target, settings)
    configure_logging(policy.log_level, policy.log_format)
    with open_listener(settings.host, settings.port) as listener:
        on_ready = partial(announce, address_of(listener), settings.workers)
        if settings.workers == 1:
            with imported_for_good():
                from neonkit.cli._server import run_server

            return 0 if run_server(policy, listener, on_ready) else 1
        workers = Workers(policy, listener, settings.workers, on_ready)
        with share_metrics():
            return 0 if asyncio.run(workers.run()) else 1
