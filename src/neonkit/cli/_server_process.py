"""A server process that another one of ours has started."""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import NoReturn

from neonkit.cli._imports import imported_for_good
from neonkit.cli._server_policy import ServerPolicy
from neonkit.errors import ConfigurationError

_log = logging.getLogger("neonkit")


def announce(address: str, workers: int) -> None:
    """Log that the service is ready."""
    count = "1 worker" if workers == 1 else f"{workers} workers"
    _log.info("neonkit serving on %s (%s, pid %d)", address, count, os.getpid())


def serve_for_parent(
    policy: ServerPolicy,
    listener: socket.socket,
    on_ready: Callable[[], None],
    on_refusal: Callable[[str], None],
) -> NoReturn:
    """Serve until the parent ends this process, then exit.

    Exit codes: 0 it ended as asked; 1 it failed; 2 the app refuses its configuration.

    Args:
        policy: how.
        listener: a socket of the parent's.
        on_ready: called once it serves.
        on_refusal: called with the line that says what is wrong.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which passes it on
    with imported_for_good():
        from neonkit.cli._server import run_server  # FastAPI and the app stay out of the parent

    try:
        has_ended_well = run_server(policy, listener, on_ready)
    except ConfigurationError as error:
        on_refusal(str(error))
        sys.exit(2)
    sys.exit(0 if has_ended_well else 1)
