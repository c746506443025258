"""`GET /metrics`: Prometheus text, for whoever may read it."""

from hmac import compare_digest

from fastapi import APIRouter, Request, Response

from neonkit.errors import InvalidTokenError, NotFoundError, UnauthorizedError
from neonkit.settings import Settings
from neonkit.web._loopback import is_from_here
from neonkit.web._runtime import Runtime

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
def metrics(request: Request) -> Response:
    """The numbers of all workers; in a thread, because they are read from files."""
    runtime = Runtime.of(request).serving
    _check(request, runtime.settings)
    return Response(runtime.metrics.render(), media_type=runtime.metrics.media_type)


def _check(request: Request, settings: Settings) -> None:
    """Let in the token and, outside production, this machine; a wrong token is always refused.

    Raises:
        UnauthorizedError: METRICS_TOKEN is set, and none came.
        InvalidTokenError: another one came.
        NotFoundError: METRICS_TOKEN is not set.
    """
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    token = settings.metrics_token
    expected = token.get_secret_value() if token else ""
    if expected and scheme.lower() == "bearer":
        if not compare_digest(given.strip().encode(), expected.encode()):
            raise InvalidTokenError
        return
    if not settings.is_production and is_from_here(request):
        return
    raise UnauthorizedError if expected else NotFoundError
