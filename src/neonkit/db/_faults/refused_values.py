"""Refused values: what a column's type or the driver would not take, before anything was sent."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from sqlalchemy import exc as sa

from neonkit._seams.sqlalchemy import name_made_from

# psycopg's casts, of the types of which a text is no value in Python
_CAST = re.compile(r"%\((\w+)\)s::(?:SMALLINT|INTEGER|BIGINT|DATE|TIME|TIMESTAMP|INTERVAL)\b")
_ARGUMENT = re.compile(r"invalid input for query argument \$(\d+)")  # asyncpg's own words


@dataclass(frozen=True)
class RefusedValue:
    """A value that could not be sent.

    Attributes:
        value: the value; never to be logged or shown.
        column: the column or parameter that it was meant for; `None` where nobody knows.
    """

    value: object = field(repr=False)
    column: str | None


def refused_value_of(exc: BaseException) -> RefusedValue | None:
    """Find the value that a column's type refused in Python, or that the driver could not encode.

    SQLAlchemy raises `StatementError` around what a type's bind processor raises, and asyncpg an
    error around what its codec raises; neither says which parameter it was in a way that a program
    could read, other than by the frames that the exception came through.

    Args:
        exc: what was raised.

    Returns:
        `None` for every other exception.
    """
    if isinstance(exc, sa.DBAPIError):
        return _unencodable(exc)
    if isinstance(exc, sa.StatementError) and isinstance(
        exc.orig, ValueError | TypeError | LookupError | ArithmeticError | AttributeError
    ):
        return _unbindable(exc.orig)
    return None


def _unbindable(cause: BaseException) -> RefusedValue | None:
    """Read the parameter that was being processed off SQLAlchemy's own frames."""
    for frame in frames_of(cause):
        known = frame.f_locals
        if frame.f_globals.get("__name__") == "sqlalchemy.engine.default" and "key" in known:
            key, values = known["key"], known.get("compiled_params")
            if isinstance(values, Mapping) and key in values:
                return RefusedValue(_alone(values[key]), _column(frame, key))
    return None


def _column(frame: FrameType | None, key: str) -> str:
    """The name that a parameter was made from: `created_at` for `created_at_1`."""
    while frame is not None and "compiled" not in frame.f_locals:
        frame = frame.f_back
    names: Mapping[Any, str] = getattr(frame and frame.f_locals["compiled"], "bind_names", {})
    for bind, name in names.items():
        is_element = bind.expanding and key.startswith(f"{name}_")
        if name == key or is_element:
            made_from = name_made_from(bind)
            return key if made_from == "param" else made_from
    return key


def _unencodable(exc: sa.DBAPIError) -> RefusedValue | None:
    """Read asyncpg's number of the parameter; psycopg leaves it to the server to find a fault."""
    values = exc.params
    if isinstance(values, Mapping):
        is_data = str(getattr(exc.orig, "sqlstate", "")).startswith("22")
        return _refused_by_server(exc.statement or "", values) if is_data else None
    found = _ARGUMENT.search(str(exc.orig))
    if found is None or not isinstance(values, tuple | list):
        return None
    place = int(found[1]) - 1
    return RefusedValue(_alone(values[place]), None) if place < len(values) else None


def _alone(value: object) -> object:
    """The value itself; of a list that an IN has, the one that is the least likely to be sent."""
    if not isinstance(value, list) or not value:
        return value
    unsendable = (each for each in value if isinstance(each, str) and not _is_text(each))
    numbers = [each for each in value if isinstance(each, int)]
    return next(unsendable, max(numbers, key=abs) if numbers else value[0])


def _is_text(value: str) -> bool:
    return "\0" not in value and not any("\ud800" <= each <= "\udfff" for each in value)


def _refused_by_server(statement: str, values: Mapping[str, Any]) -> RefusedValue | None:
    """The one value that no column of the type in the statement's cast could hold."""
    found = [
        RefusedValue(values[name], name)
        for name in _CAST.findall(statement)
        if isinstance(values.get(name), str) or _is_wide(values.get(name))
    ]
    return found[0] if len(found) == 1 else None


def _is_wide(value: object) -> bool:
    return isinstance(value, int) and not -(2**31) <= value < 2**31


def frames_of(exc: BaseException) -> Iterator[FrameType]:
    """The frames that an exception came through, the outermost first."""
    traceback = exc.__traceback__
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next
