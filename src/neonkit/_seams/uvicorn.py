"""The inside of uvicorn: the steps of its server's life, and the type of an app."""

from typing import Final

from uvicorn._types import (
    ASGI3Application,
    ASGIApplication,
    ASGIReceiveCallable,
    ASGISendCallable,
)

from neonkit._seams.record import ATTRIBUTE, Seam

__all__ = [
    "SEAMS",
    "ASGI3Application",
    "ASGIApplication",
    "ASGIReceiveCallable",
    "ASGISendCallable",
]

_SERVER = "uvicorn:Server"
_PROTOCOL = "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol"
_BOUNDS = "a client that sends slowly, or without end, holds its connection for ever"
_DRAIN = "a deployment cuts requests off instead of letting them finish"

SEAMS: Final = (
    Seam("uvicorn._types", "ASGIApplication", ATTRIBUTE, "`neonkit serve` cannot be imported"),
    Seam(
        _SERVER,
        "startup",
        "async (self, sockets)",
        "workers never count as ready, and survive the death of their parent",
    ),
    Seam(_SERVER, "shutdown", "async (self, sockets)", "SHUTDOWN_TIMEOUT does not hold"),
    Seam(_SERVER, "capture_signals", "(self)", _DRAIN),
    Seam(_SERVER, "handle_exit", "(self, sig, frame)", _DRAIN),
    Seam(_SERVER, "on_tick", "async (self, counter)", _DRAIN),
    Seam(_SERVER, "main_loop", "async (self)", "the fixture `live_server` hangs"),
    Seam(_SERVER, "started", ATTRIBUTE, "`neonkit serve` exits with the wrong code"),
    Seam(_SERVER, "should_exit", ATTRIBUTE, _DRAIN),
    Seam(_SERVER, "force_exit", ATTRIBUTE, "a third signal does not hurry the end"),
    Seam("uvicorn._types", "ASGI3Application", ATTRIBUTE, "`neonkit serve` cannot be imported"),
    Seam("uvicorn._types", "ASGIReceiveCallable", ATTRIBUTE, "`neonkit serve` cannot be imported"),
    Seam("uvicorn._types", "ASGISendCallable", ATTRIBUTE, "`neonkit serve` cannot be imported"),
    Seam(_PROTOCOL, "_should_upgrade", "(self)", "a WebSocket's handshake has no bound"),
    Seam(_PROTOCOL, "_start_asgi_task", "(self, cycle, app)", _BOUNDS),
    Seam(_PROTOCOL, "_unset_keepalive_if_required", "(self)", _BOUNDS),
    Seam("uvicorn:Config", "timeout_graceful_shutdown", ATTRIBUTE, _DRAIN),
)
