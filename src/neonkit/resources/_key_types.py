"""Types of sort keys: those that a cursor can carry, and how their values are kept exact."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CHAR,
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    Double,
    Float,
    Integer,
    Numeric,
    String,
    Text,
    TypeDecorator,
    bindparam,
    cast,
    type_coerce,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import NullType, TypeEngine

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's
_CARRIED = frozenset({bool, int, float, str, bytes, datetime, date, time, timedelta, Decimal, UUID})


def python_type_of(kind: TypeEngine[Any]) -> type:
    """The Python type of a column's values; `object` where the column does not tell."""
    try:
        return kind.python_type
    except NotImplementedError:
        return object


def is_carried(kind: TypeEngine[Any]) -> bool:
    """True of a type that PostgreSQL orders and a cursor can hold, or that nobody has named."""
    kind = _stored(kind)
    known = python_type_of(kind)
    return isinstance(kind, NullType) or known in _CARRIED or issubclass(known, Enum)


def compared(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    """The expression as the database orders it: its values come as they are stored, unprocessed.

    A decorated type's Python values need not be ordered, nor exact, nor fit for a cursor; a float
    made of a numeric has lost digits.
    """
    kind = _stored(expression.type)
    if isinstance(kind, Float):
        kind = Double()
    elif isinstance(kind, Numeric):
        kind = Numeric()
    return expression if kind is expression.type else type_coerce(expression, kind)


def read(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    """A key's value as a page selects it; psycopg would read a `real` as a shorter number."""
    is_float = isinstance(expression.type, Float)
    return cast(expression, Double()) if is_float else expression


def bound(name: str, expression: ColumnElement[Any]) -> ColumnElement[Any]:
    """The parameter that a key is compared with, wide enough for each value of the key.

    An expression over integers, such as a sum, has values that its type in Python does not tell.
    `character(n)` compares without its padding only among its like.
    """
    kind: TypeEngine[Any] = expression.type
    if isinstance(kind, Integer):
        kind = BigInteger() if isinstance(expression, Column) else Numeric()
    if isinstance(kind, CHAR):
        padded: BindParameter[Any] = bindparam(name, type_=String())
        return cast(padded, kind)
    return bindparam(name, type_=kind)


def distinguishing(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    """The expression, or its text where a cursor cannot carry it: equal for equal values only."""
    is_known = is_carried(expression.type) and not isinstance(expression.type, NullType)
    return expression if is_known else cast(expression, Text)


def _stored(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    while isinstance(kind, TypeDecorator):
        kind = kind.type_engine(_DIALECT)
    return kind
