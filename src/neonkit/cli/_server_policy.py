"""The orders of a server process."""

from dataclasses import dataclass
from typing import Literal

from neonkit.settings import AppTarget


@dataclass(frozen=True)
class ServerPolicy:
    """How a server process runs and ends; can be sent to another process.

    Attributes:
        app: what it serves.
        drain_seconds: how long new requests are still served after the signal to end.
        shutdown_timeout: seconds from that signal to the end of the process, at most.
        trusted_proxies: whose `X-Forwarded-*` headers count.
        log_level: `debug` to `critical`.
        log_format: `json` or `console`.
        is_production: whether browsers are told to use TLS, by refusals too.
    """

    app: AppTarget
    drain_seconds: float
    shutdown_timeout: float
    trusted_proxies: tuple[str, ...]
    log_level: str
    log_format: Literal["json", "console"]
    is_production: bool
