"""Answers to errors: which one an error gets, wherever in the app it comes up."""

from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from neonkit.db import problem_error_of
from neonkit.errors import ProblemError, UnsupportedMediaTypeError
from neonkit.web._caller_checks import told_first
from neonkit.web._defects import mark_answered, report_defect
from neonkit.web._entity_tags import told_of_version
from neonkit.web._media_types import read_media_type
from neonkit.web._problems import respond
from neonkit.web._refused_values import told_of_request, told_where_sent
from neonkit.web._request_middleware import request_in
from neonkit.web._runtime import Runtime
from neonkit.web._time_limit import time_limit_of


def answer_to(scope: Scope, error: Exception) -> tuple[Response, bool]:
    """Make the response to an error.

    Returns:
        the response, and whether it was expected: what was not is `internal`, a defect.
    """
    state = scope.get("state", {})
    told = told_where_sent(scope, told_of_request(scope, error))
    told = _late(scope, told_first(scope, told_of_version(state, told)))
    return respond(told, Runtime.of(scope).problems, state.get("request_id", ""))


def _late(scope: Scope, error: Exception) -> Exception:
    """Name the time limit that ended a statement; one that its own bound ended stays as it is.

    And nothing is told as undone while something else of the request may have been committed.
    """
    limit = time_limit_of(scope)
    if limit is None or not (limit.has_passed or limit.is_in_doubt):
        return error
    known = error if isinstance(error, ProblemError) else problem_error_of(error)
    return error if known is None else limit.name_itself(known)


async def answer_refusal(request: Request, error: Exception) -> Response:
    """Answer a refused request or an `HTTPException`: a handler for FastAPI.

    For a WebSocket it does nothing: only outside of the route is known whether it was accepted.
    """
    if request.scope["type"] == "websocket":
        raise error
    if isinstance(error, RequestValidationError) and _has_foreign_body(request, error):
        error = UnsupportedMediaTypeError()
    response, _ = answer_to(request.scope, error)
    return response


async def answer_defect(request: Request, error: Exception) -> Response:
    """Answer what nothing else answered; the error then goes on to the server.

    The server closes the connection of an app that raised, so the client is told.
    """
    response, is_expected = answer_to(request.scope, error)
    on_its_way = request_in(request.scope)
    is_sent = on_its_way is not None and on_its_way.status is not None
    if is_expected and not is_sent:  # a middleware of the app's raised an error of the table
        mark_answered(error)
    else:  # logged before the client can ask for the line
        report_defect(on_its_way.scope if on_its_way else request.scope, error)
        response.headers["Connection"] = "close"
    return response


def _has_foreign_body(request: Request, error: RequestValidationError) -> bool:
    """Tell if the whole body could not be read because it is not declared to be JSON."""
    try:
        kind = read_media_type(request.headers.get("content-type", "").encode("latin-1"))
    except UnsupportedMediaTypeError:  # where the app goes without our middleware
        return True
    return not kind.is_json and any(
        tuple(entry["loc"]) == ("body",) and entry["type"] != "missing" for entry in error.errors()
    )
