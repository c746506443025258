"""Query strings that say nothing unknown, and nothing twice."""

from collections import Counter
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from fastapi import FastAPI, Request

from neonkit.errors import FieldProblem, RequestInvalidError
from neonkit.web._pointers import pointer_to
from neonkit.web._route_names import route_of

Allowed = Mapping[str, bool]


async def strict_query(request: Request) -> None:
    """Refuse unknown and repeated query parameters, and text that is no UTF-8 or holds NUL.

    A dependency for a router: `APIRouter(dependencies=[Depends(strict_query)])`. What an operation
    knows is what its OpenAPI entry says; one that is left out of the schema is not checked.

    Raises:
        RequestInvalidError: which parameters are at fault (422).
    """
    raw: bytes = request.scope["query_string"]
    if not raw:
        return
    _refuse_bytes(raw)
    allowed = _allowed(request.app).get((route_of(request.scope), request.method.lower()))
    if allowed is None:
        return
    given = Counter(name for name, _ in request.query_params.multi_items())
    faults = [
        FieldProblem(pointer_to(("query", name)), "unknown", "There is no such parameter.")
        for name in given
        if name not in allowed
    ]
    faults += [
        FieldProblem(pointer_to(("query", name)), "repeated", "Give it once.")
        for name, times in given.items()
        if times > 1 and not allowed.get(name, True)
    ]
    if faults:
        raise RequestInvalidError(errors=faults)


def _refuse_bytes(raw: bytes) -> None:
    try:
        text = unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        fault = FieldProblem("/query", "unreadable", "It must be UTF-8 without NUL characters.")
        raise RequestInvalidError(errors=[fault])


def _allowed(app: FastAPI) -> Mapping[tuple[str, str], Allowed]:
    """For each path and method the query parameters, and whether each may be repeated."""
    known: Mapping[tuple[str, str], Allowed] | None = getattr(app.state, "neonkit_queries", None)
    if known is None:
        known = app.state.neonkit_queries = {
            (path, method): {
                parameter["name"]: parameter["schema"].get("type") == "array"
                for parameter in operation.get("parameters", ())
                if parameter["in"] == "query"
            }
            for path, operations in app.openapi().get("paths", {}).items()
            for method, operation in operations.items()
        }
    return known
