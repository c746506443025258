"""Stored answers: the one shape in which an answer is kept under a key, and its values as JSON.

    {"names": ["id", "total"], "rows": [[7, {"$": "decimal", "v": "1.50"}]]}
    {"names": ["value"], "rows": [[{"id": 7}]]}
    {"problem": "insufficient-funds", "detail": "…", "errors": []}

The first is a statement's rows, the second a function's response model, the third a refusal. A
statement builds the first by itself, in SQL; `json_of` says how for each type of column.
"""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Self
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Date,
    DateTime,
    Enum,
    Float,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Time,
    TypeDecorator,
    Uuid,
)
from sqlalchemy.types import TypeEngine
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from neonkit.errors import FieldProblem, NeonkitError, ProblemError

_SQLMODELS = (AutoString, UTCDateTime)  # what they change, `read_value` gives as they do
_CODECS: dict[str, tuple[type[Any], Callable[[Any], str], Callable[[str], Any]]] = {
    "datetime": (datetime, datetime.isoformat, datetime.fromisoformat),  # it is a date too
    "date": (date, date.isoformat, date.fromisoformat),
    "time": (time, time.isoformat, time.fromisoformat),
    "decimal": (Decimal, str, Decimal),
    "uuid": (UUID, str, UUID),
    "microseconds": (
        timedelta,
        lambda value: str(value // timedelta(microseconds=1)),
        lambda text: timedelta(microseconds=int(text)),
    ),
    "bytes": (bytes, lambda value: base64.b64encode(value).decode(), base64.b64decode),
}
_IN_SQL: tuple[tuple[type[TypeEngine[Any]], str, str], ...] = (
    (Numeric, "decimal", "{}\\:\\:text"),
    (Date, "date", "{}\\:\\:text"),
    (Time, "time", "{}\\:\\:text"),
    (Uuid, "uuid", "{}\\:\\:text"),
    (LargeBinary, "bytes", "encode({}, 'base64')"),
)


@dataclass(frozen=True)
class StoredAnswer:
    """An answer as it is kept under a key.

    Attributes:
        names: of the columns.
        rows: their values, as JSON.
        problem: the slug of a refusal; `None` where it is none.
        detail: of the refusal.
        errors: of the refusal, field by field.
    """

    names: tuple[str, ...] = ()
    rows: Sequence[Sequence[Any]] = ()
    problem: str | None = None
    detail: str = ""
    errors: Sequence[dict[str, str]] = ()

    @classmethod
    def of_rows(cls, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Self:
        """Keep a statement's rows.

        Raises:
            UnstorableAnswerError: a value of a type that has no place in JSON.
        """
        return cls(tuple(names), [[write_value(value) for value in row] for row in rows])

    @classmethod
    def of_model(cls, value: object) -> Self:
        """Keep a function's answer, which its response model has made JSON already."""
        return cls(("value",), [[value]])

    @classmethod
    def of_problem(cls, slug: str, error: ProblemError) -> Self:
        """Keep a refusal."""
        return cls(problem=slug, detail=str(error), errors=[vars(each) for each in error.errors])

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json`, or a keyed statement, wrote."""
        kept = json.loads(text)
        return cls(**{**kept, "names": tuple(kept.get("names", ()))})

    def to_json(self) -> str:
        """Write it, without what it leaves at its default."""
        kept = {name: value for name, value in vars(self).items() if value}
        return json.dumps(kept)

    def read_rows(self) -> list[list[Any]]:
        """The rows with the values and the types of the first time."""
        return [[read_value(value) for value in row] for row in self.rows]

    def model(self) -> object:
        """The JSON of a function's answer."""
        return self.rows[0][0]

    def field_problems(self) -> list[FieldProblem]:
        """The refusal's errors, field by field."""
        return [FieldProblem(**each) for each in self.errors]


def write_value(value: object) -> object:
    """A column's value as JSON that `read_value` turns into the same value of the same type."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    for name, (kind, write, _) in _CODECS.items():
        if isinstance(value, kind):
            return {"$": name, "v": write(value)}
    if isinstance(value, list | tuple):
        return [write_value(each) for each in value]
    if isinstance(value, dict):
        return {"$": "dict", "v": {name: write_value(each) for name, each in value.items()}}
    raise UnstorableAnswerError(type(value).__name__)


def read_value(value: Any) -> Any:  # noqa: ANN401  # any column's
    """Undo `write_value`."""
    if isinstance(value, list):
        return [read_value(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value["$"] == "dict":
        return {name: read_value(each) for name, each in value["v"].items()}
    return _CODECS[value["$"]][2](value["v"])


def json_of(name: str, kind: TypeEngine[Any]) -> str | None:
    """The SQL that writes a column as `write_value` does; `None` where PostgreSQL cannot.

    Args:
        name: of the column, quoted.
        kind: its type.
    """
    if isinstance(kind, TypeDecorator):
        return json_of(name, kind.impl_instance) if isinstance(kind, _SQLMODELS) else None
    if isinstance(kind, Enum):
        is_plain = kind.enum_class is not None and issubclass(kind.enum_class, str)
        values = [str(each.value) for each in kind.enum_class or ()]
        return name if is_plain and kind.enums == values and not kind.native_enum else None
    if isinstance(kind, Integer | Boolean | String):
        return name
    if isinstance(kind, DateTime):
        zone = ("AT TIME ZONE 'UTC'", "|| '+00\\:00'") if kind.timezone else ("", "")
        return _tagged(name, "datetime", f"(to_json({name} {zone[0]}) #>> '{{}}') {zone[1]}")
    for known, word, form in _IN_SQL:
        if isinstance(kind, known) and not isinstance(kind, Float):
            return _tagged(name, word, form.format(name))
    return None


def _tagged(name: str, word: str, value: str) -> str:
    built = f"json_build_object('$', '{word}', 'v', {value})"
    return f"CASE WHEN {name} IS NOT NULL THEN {built} END"


class UnstorableAnswerError(NeonkitError):
    """An answer of a keyed statement or function that cannot be kept for a replay.

    Args:
        kind: the type at fault.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"{kind} cannot be kept under an idempotency key: return columns from a statement, and "
            "an annotated response model from a function"
        )
