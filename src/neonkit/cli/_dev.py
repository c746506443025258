"""`neonkit dev`: the app reloads when a file changes, and has a database of its own."""

import asyncio
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
from uvicorn.supervisors import ChangeReload

from neonkit.cli._entrypoint import STARTER, find_target
from neonkit.cli._environment import read_settings, server_policy
from neonkit.cli._like_neon import Neon, playing_neon, refuse_other_database
from neonkit.cli._listening_socket import address_of, announce, listen
from neonkit.cli._server_policy import ServerPolicy
from neonkit.errors import ConfigurationError
from neonkit.local import LocalServer
from neonkit.observe import configure_logging
from neonkit.settings import Settings

_DATA = Path(".neonkit") / "postgres"
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
    target = find_target(app, Path.cwd())
    settings = read_settings(options, environment="development")
    if neon is not None:
        refuse_other_database(settings)
    policy = replace(server_policy(target, settings), drain_seconds=0, shutdown_timeout=_PATIENCE)
    configure_logging(policy.log_level, policy.log_format)
    with listen(settings.host, settings.port) as listener, _database(settings, neon) as database:
        _introduce(address_of(listener), target, settings, database)
        _reload(policy, listener)


@contextmanager
def _database(settings: Settings, neon: Neon | None) -> Iterator[dict[str, str]]:
    """Have a database for the block, and say for people where it is."""
    if settings.traffic_dsn is not None:
        yield {"Database": settings.traffic_dsn.masked}
        return
    server = asyncio.run(LocalServer.start(_DATA))
    os.environ["NEON_DATABASE_URL"] = server.url
    database = {"Database": f"embedded PostgreSQL; its data is in {_DATA}"}
    try:
        if neon is None:
            yield database
        else:
            with playing_neon(server.url, neon, settings) as lines:
                yield database | lines
    finally:
        asyncio.run(server.stop())


def _introduce(address: str, target: str, settings: Settings, database: dict[str, str]) -> None:
    prefix = settings.api_v1_prefix if target == STARTER else ""
    lines = {
        "API": f"{address}{prefix}",
        "Docs": f"{address}/docs",
        "Health": f"{address}/health/ready",
        **database,
        "App": f"{target}; Ctrl-C ends it",
    }
    for name, text in lines.items():
        typer.echo(f"{name:<10}{text}")
    for warning in settings.warnings:
        typer.echo(f"{'Note':<10}{warning}")
    sys.stdout.flush()


def _reload(policy: ServerPolicy, listener: socket.socket) -> None:
    folder = Path.cwd()
    config = uvicorn.Config(
        policy.app,
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends this one
    from neonkit.cli._server import run_server

    ready = partial(announce, address_of(listener), 1)
    try:
        has_ended_well = run_server(policy, listener, ready)
    except ConfigurationError as error:
        sys.stderr.write(f"neonkit: {error}\n")
        has_ended_well = False
    sys.exit(0 if has_ended_well else 1)
