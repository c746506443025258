"""What rows that exist get in a new column that must not be NULL: the model's own default."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ARRAY, JSON, ClauseElement, Column, Connection, Dialect, MetaData, literal
from sqlalchemy.exc import SQLAlchemyError

Fills = Mapping[tuple[str, str], str]
"""SQL by table and column, as models name them."""

_FACTORIES = {"uuid4": "gen_random_uuid()", "list": "[]", "dict": "{}"}


def fills_of(connection: Connection, metadatas: Sequence[MetaData]) -> dict[tuple[str, str], str]:
    """Write each default that a model has in Python as SQL, by table and column."""
    own = connection.dialect.default_schema_name
    found: dict[tuple[str, str], str] = {}
    for metadata in metadatas:
        for table in metadata.tables.values():
            schema = "" if table.schema in {None, own} else f"{table.schema}."
            for column in table.columns:
                value = _value(column, connection.dialect)
                if value is not None:
                    found[f"{schema}{table.name}", column.name] = value
    return found


def _value(column: Column[Any], dialect: Dialect) -> str | None:
    default = column.default
    if default is None or default.is_sequence:
        return None
    value: object = getattr(default, "arg", None)
    if default.is_callable:
        return _made(column, getattr(value, "__name__", ""), dialect)
    if isinstance(value, ClauseElement):
        return _compiled(value, dialect)
    return None if value is None else _literal(column, value, dialect)


def _made(column: Column[Any], name: str, dialect: Dialect) -> str | None:
    """Write what a factory gives to every row alike; other factories are nobody's to guess."""
    known = _FACTORIES.get(name)
    if known is None or known.endswith(")"):
        return known
    return _literal(column, json.loads(known), dialect)


def _literal(column: Column[Any], value: object, dialect: Dialect) -> str | None:
    if isinstance(column.type, JSON):
        try:
            return _quoted(json.dumps(value))
        except TypeError:
            return None
    if isinstance(column.type, ARRAY) and value == []:
        return "'{}'"
    return _compiled(literal(value, column.type), dialect)


def _quoted(words: str) -> str:
    return "'" + words.replace("'", "''") + "'"


def _compiled(clause: ClauseElement, dialect: Dialect) -> str | None:
    try:
        return str(clause.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    except (SQLAlchemyError, NotImplementedError, ValueError, TypeError):
        return None
