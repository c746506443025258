"""`neonkit dev --like-neon`: the app's database behaves as Neon does."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from anyio.from_thread import BlockingPortal

from neonkit.dsn import Dsn
from neonkit.errors import ConfigurationError
from neonkit.local import Certificate, WireProxy
from neonkit.settings import LaunchSettings

_CERTIFICATE = Path(".neonkit") / "certificate"


@dataclass(frozen=True)
class Neon:
    """How Neon is played.

    Attributes:
        suspend_after: seconds of idleness after which the database falls asleep; 0: never.
        wake_seconds: seconds that the next connection then waits.
    """

    suspend_after: float = 300.0
    wake_seconds: float = 0.5


def refuse_other_database(settings: LaunchSettings) -> None:
    """See to it that there is nothing but the embedded server to play Neon with.

    Raises:
        ConfigurationError: a URL is set.
    """
    if settings.traffic_dsn is not None:
        raise ConfigurationError(
            "--like-neon plays Neon in front of the embedded PostgreSQL, but a database URL is "
            f"set ({settings.traffic_dsn.masked}): leave out one of the two"
        )


@contextmanager
def playing_neon(
    portal: BlockingPortal, server: Dsn, neon: Neon, settings: LaunchSettings
) -> Iterator[dict[str, str]]:
    """Play it for the block, tell the app by its environment, and say for people what there is."""
    certificate, notes = _certificate()
    tls = certificate.context() if certificate else None
    like_neon = WireProxy.like_neon(server, tls=tls)
    with portal.wrap_async_context_manager(like_neon) as wire:
        wire.suspend_when_idle(neon.suspend_after or None, wake_seconds=neon.wake_seconds)
        _tell_app(wire, settings)
        if not wire.has_pooler:
            notes.append(
                "no PgBouncer 1.21 or newer in PATH: the pooled address has no pooler behind it"
            )
        yield {
            "Direct": wire.url,
            "Pooled": wire.pooled_url,
            "Sleep": _sleep(neon),
            **({"But": "; ".join(notes)} if notes else {}),
        }


def _certificate() -> tuple[Certificate | None, list[str]]:
    try:
        return Certificate.make(_CERTIFICATE), []
    except ConfigurationError:
        return None, ["no program openssl to make a certificate with: there is no TLS"]


def _tell_app(wire: WireProxy, settings: LaunchSettings) -> None:
    os.environ["NEON_DATABASE_URL"] = wire.url
    os.environ["NEON_POOLED_DATABASE_URL"] = wire.pooled_url
    # what it knows by itself of a host of Neon's
    if settings.pooler_tracks_statements == "auto":
        os.environ["POOLER_TRACKS_STATEMENTS"] = "true"
    if settings.scale_to_zero == "auto":
        os.environ["SCALE_TO_ZERO"] = "true"


def _sleep(neon: Neon) -> str:
    if not neon.suspend_after:
        return "never"
    return (
        f"after {neon.suspend_after:g} s without use; the next connection then waits "
        f"{neon.wake_seconds:g} s"
    )
