"""The inside of Starlette: an app's lifespan."""

from typing import Any, Final

from starlette.routing import Router
from starlette.types import Lifespan

from neonkit._seams.record import ATTRIBUTE, Seam

__all__ = ["SEAMS", "lifespan_of", "set_lifespan"]


def lifespan_of(router: Router) -> Lifespan[Any]:
    """The code that runs around the life of an app: its own, or one that does nothing."""
    return router.lifespan_context


def set_lifespan(router: Router, lifespan: Lifespan[Any]) -> None:
    """Run another one, after the app was made."""
    router.lifespan_context = lifespan


SEAMS: Final = (
    Seam(
        "starlette.routing:Router",
        "lifespan_context",
        ATTRIBUTE,
        "`install` opens no database: each request is answered 503",
    ),
    Seam(
        "starlette.routing:Route",
        "path_format",
        ATTRIBUTE,
        "log lines and metrics of plain routes are labelled `-`",
    ),
)
