"""`neonkit dev`: the app reloads when a file changes, and has a database of its own."""

import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import typer
import uvicorn
from anyio.from_thread import start_blocking_portal
from uvicorn.supervisors import ChangeReload

from neonkit.cli._environment import read_settings, server_policy
from neonkit.cli._like_neon import Neon, playing_neon, refuse_other_database
from neonkit.cli._server_policy import ServerPolicy
from neonkit.cli._server_process import announce, serve_for_parent
from neonkit.cli._target import find_target
from neonkit.local import address_of, open_listener
from neonkit.observe import configure_logging
from neonkit.settings import LaunchSettings, database_at, describe_database

_UNWATCHED = (".neonkit", ".venv", "venv", ".git", "node_modules")
_PATIENCE = 3.0  # seconds that running requests may hold a reload up


def run(app: str | None, options: Mapping[str, str | int | None], neon: Neon | None) -> None:
    """Run until Ctrl-C or SIGTERM, which end it quietly.

    Args:
        app: where it is.
        options: variables that the command line gave.
        neon: how to play Neon in front of the embedded server, if that is wanted.

    Raises:
        ConfigurationError: a setting is wrong, the port is taken, or there is no PostgreSQL.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        _run(app, options, neon)


def _run(app: str | None, options: Mapping[str, str | int | None], neon: Neon | None) -> None:
    target = find_target(app)
    settings = read_settings(options, environment="development")
    if neon is not None:
        refuse_other_database(settings)
    policy = replace(server_policy(target, settings), drain_seconds=0, shutdown_timeout=_PATIENCE)
    configure_logging(policy.log_level, policy.log_format)
    with (
        open_listener(settings.host, settings.port) as listener,
        _database(settings, neon) as database,
    ):
        _introduce(address_of(listener), target.name, database)
        _reload(policy, listener)


@contextmanager
def _database(settings: LaunchSettings, neon: Neon | None) -> Iterator[dict[str, str]]:
    """Have a database for the block, tell the app where, and say it for people."""
    given = settings.traffic_dsn
    database = {"Database": describe_database(given)}
    if given is not None:
        yield database
        return
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(database_at(None)) as dsn,
    ):
        os.environ["NEON_DATABASE_URL"] = dsn.for_libpq()
        if neon is None:
            yield database
        else:
            with playing_neon(portal, dsn, neon, settings) as lines:
                yield database | lines


def _introduce(address: str, app: str, database: dict[str, str]) -> None:
    lines = {
        "API": address,
        "Docs": f"{address}/docs",
        "Health": f"{address}/health/ready",
        **database,
        "App": f"{app}; Ctrl-C ends it",
    }
    for name, text in lines.items():
        typer.echo(f"{name:<10}{text}")
    sys.stdout.flush()


def _reload(policy: ServerPolicy, listener: socket.socket) -> None:
    folder = Path.cwd()
    config = uvicorn.Config(
        policy.app.name,
        reload=True,
        reload_dirs=[str(folder)],
        reload_excludes=[str(folder / name) for name in _UNWATCHED if (folder / name).is_dir()],
        log_config=None,
        workers=1,
    )
    ChangeReload(config, target=partial(_serve, policy), sockets=[listener]).run()


def _serve(policy: ServerPolicy, sockets: list[socket.socket] | None) -> None:
    """Serve in a process of its own, until the next change."""
    listener = (sockets or [])[0]
    ready = partial(announce, address_of(listener), 1)
    serve_for_parent(policy, listener, ready, _complain)


def _complain(what: str) -> None:
    sys.stderr.write(f"neonkit: {what}\n")
