"""Parameters of query and path that say nothing unknown, nothing twice, and each number one way."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote_to_bytes

from fastapi import FastAPI, Request

from neonkit._seams.fastapi import path_template_of
from neonkit.errors import FieldProblem, RequestInvalidError
from neonkit.web._pointers import pointer_to

Place: TypeAlias = Literal["path", "query"]

_IN_STATE = "neonkit_parameters"
_DECIMAL = re.compile(r"0|-?[1-9][0-9]*")
_NOT_DECIMAL = (
    "It must be an integer in decimal digits, without sign, blank, point or leading zero."
)


@dataclass(frozen=True)
class _Parameter:
    is_list: bool
    is_integer: bool


@dataclass(frozen=True)
class _Known:
    path: Mapping[str, _Parameter]
    query: Mapping[str, _Parameter]


async def strict_parameters(request: Request) -> None:
    """Refuse query parameters that are unknown or repeated, and integers in odd spellings.

    A dependency for a router: `APIRouter(dependencies=[Depends(strict_parameters)])`. In path and
    query `+1`, `01` and `1.0` are no integers, nor is ` 1`: each has one spelling. Text that is no
    UTF-8 or holds NUL is refused, too. What an operation knows is what its OpenAPI entry says; one
    that is left out of the schema is not checked.

    Raises:
        RequestInvalidError: which parameters are at fault (422).
    """
    raw: bytes = request.scope["query_string"]
    if not (raw or request.path_params):
        return
    _refuse_bytes(raw)
    template = path_template_of(request.scope) or ""
    known = _known(request.app).get((template, request.method.lower()))
    if known is None:
        return
    sent = request.query_params.multi_items() if raw else []
    faults = [
        *_strange(known.query, [name for name, _ in sent]),
        *_misspelt("path", known.path, request.scope["path_params"].items()),
        *_misspelt("query", known.query, sent),
    ]
    if faults:
        raise RequestInvalidError(errors=faults)


def _strange(known: Mapping[str, _Parameter], names: Iterable[str]) -> Iterator[FieldProblem]:
    given = Counter(names)
    for name in (each for each in given if each not in known):
        yield FieldProblem(pointer_to(("query", name)), "unknown", "There is no such parameter.")
    for name, times in given.items():
        if times > 1 and name in known and not known[name].is_list:
            yield FieldProblem(pointer_to(("query", name)), "repeated", "Give it once.")


def _misspelt(
    place: Place, known: Mapping[str, _Parameter], sent: Iterable[tuple[str, object]]
) -> Iterator[FieldProblem]:
    for name, text in sent:
        is_integer = name in known and known[name].is_integer
        if is_integer and isinstance(text, str) and not _DECIMAL.fullmatch(text):
            yield FieldProblem(pointer_to((place, name)), "int_parsing", _NOT_DECIMAL)


def _refuse_bytes(raw: bytes) -> None:
    try:
        text = unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        fault = FieldProblem("/query", "unreadable", "It must be UTF-8 without NUL characters.")
        raise RequestInvalidError(errors=[fault])


def _known(app: FastAPI) -> Mapping[tuple[str, str], _Known]:
    """The parameters of each path and method."""
    known: Mapping[tuple[str, str], _Known] | None = getattr(app.state, _IN_STATE, None)
    if known is None:
        known = {
            (path, method): _Known(
                path=_read("path", operation.get("parameters", ())),
                query=_read("query", operation.get("parameters", ())),
            )
            for path, operations in app.openapi().get("paths", {}).items()
            for method, operation in operations.items()
        }
        setattr(app.state, _IN_STATE, known)
    return known


def _read(place: Place, parameters: Iterable[Mapping[str, Any]]) -> dict[str, _Parameter]:
    return {each["name"]: _parameter(each["schema"]) for each in parameters if each["in"] == place}


def _parameter(schema: Mapping[str, Any]) -> _Parameter:
    """Read what a parameter may be, null apart, which no text is."""
    kinds = _kinds(schema)
    is_list = any(kind["type"] == "array" for kind in kinds)
    of_items = _kinds(kinds[0].get("items", {})) if is_list else kinds
    return _Parameter(is_list, {kind["type"] for kind in of_items} == {"integer"})


def _kinds(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    kinds = schema.get("anyOf", (schema,))
    return [{"type": "", **kind} for kind in kinds if kind.get("type") != "null"]
