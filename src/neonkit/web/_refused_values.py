"""Values that a column would not take, traced to the place in the request that they came from."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError
from starlette.types import Scope

from neonkit.db import problem_error_of, refused_value_of
from neonkit.errors import FieldProblem, ProblemError, RequestInvalidError
from neonkit.web._pointers import pointer_to

BODY = "neonkit_body"
"""The key of the request's JSON body, as it came, in the state of its scope."""

_MOST_VALUES = 10_000  # of a request that are compared with the one that was refused

Place = tuple[str | int, ...]


def told_of_request(scope: Scope, error: Exception) -> Exception:
    """Turn an error about a value that the client sent into one about the request (422).

    A value is the client's if the request has one that reads as an equal one; where there are
    several, the one under the column's name. Every other refused value is the handler's: the error
    stays, and its traceback names the column, never the value.
    """
    refused = refused_value_of(error)
    if refused is None:
        return error
    places = [place for place, sent in _sent(scope) if _reads_as(sent, refused.value)]
    if not places:
        kind = type(refused.value).__name__
        error.add_note(f"{refused.column or 'a column'} was given a {kind} that no client sent")
        return error
    place = next((each for each in places if each[-1] == refused.column), places[0])
    code, message = _complaint(refused.value)
    return RequestInvalidError(errors=[FieldProblem(pointer_to(place), code, message)])


def told_where_sent(scope: Scope, error: Exception) -> Exception:
    """Point into the path or the query where a row's field came from there, and not from the body.

    Which column a constraint is about is known of the database; a field of the body is the guess.
    """
    known = error if isinstance(error, ProblemError) else problem_error_of(error)
    if known is None or not known.errors:
        return error
    sent = [place for place, _ in _sent(scope)]
    of_body = {place[1] for place in sent if place[0] == "body" and len(place) > 1}
    moved = {
        pointer_to(("body", place[1])): pointer_to(place)
        for place in sent
        if place[0] != "body" and place[1] not in of_body
    }
    if moved.keys().isdisjoint(each.pointer for each in known.errors):
        return error
    known.errors = tuple(
        replace(each, pointer=moved.get(each.pointer, each.pointer)) for each in known.errors
    )
    return known


def _complaint(value: object) -> tuple[str, str]:
    if isinstance(value, datetime) and value.utcoffset() is None:
        return "timezone_aware", "Input should have an offset, such as Z"
    return "refused", "This value is not allowed."


def _sent(scope: Scope) -> Iterator[tuple[Place, object]]:
    """The single values of a request, with where they stand."""
    query: bytes = scope["query_string"]
    values = [
        *((("query", name), text) for name, text in parse_qsl(query.decode("latin-1"))),
        *((("path", name), value) for name, value in scope.get("path_params", {}).items()),
    ]
    yield from values
    body: bytes = scope.get("state", {}).get(BODY, b"")
    if body:
        yield from islice(_leaves(("body",), json.loads(body)), _MOST_VALUES)


def _leaves(place: Place, value: Any) -> Iterator[tuple[Place, object]]:  # noqa: ANN401  # JSON
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _leaves((*place, name), part)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _leaves((*place, index), part)
    else:
        yield place, value


def _reads_as(sent: object, value: object) -> bool:
    """True where the sent text or number is read as a value like this one."""
    if value is None or isinstance(value, bool):
        return False
    try:
        return bool(TypeAdapter(type(value)).validate_python(sent) == value)
    except (ValidationError, PydanticSchemaGenerationError):
        return False
