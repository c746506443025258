"""One statement that carries its key, its condition, its effect and its answer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    Delete,
    Enum,
    Executable,
    Float,
    Insert,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    Select,
    String,
    Time,
    TypeDecorator,
    Update,
    Uuid,
    bindparam,
    column,
    literal_column,
    select,
    text,
    true,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.elements import _anonymous_label
from sqlalchemy.types import TypeEngine
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from neonkit.db._keys.keys import DROP_OLD, Key

_IS_THERE = "neonkit_is_there"
_MOST_SHAPES = 512

# It waits where another request has the key, so that only one does the work. The statement is its
# own transaction: what is set here is in force for the rest of it.
_TURN = (
    text("""
SELECT set_config('lock_timeout', :neonkit_patience, true), pg_advisory_xact_lock(:neonkit_lock)
""")
    .bindparams(
        bindparam("neonkit_patience", type_=String), bindparam("neonkit_lock", type_=BigInteger)
    )
    .columns(column("patience"))
    .cte("neonkit_turn")
)
_OLD = (
    text(DROP_OLD)
    .bindparams(
        bindparam("neonkit_scope", type_=LargeBinary), bindparam("neonkit_key", type_=String)
    )
    .columns(column("nothing"))
    .cte("neonkit_old")
)
_ROWS = (
    text(f"SELECT true AS {_IS_THERE}, * FROM neonkit_effect")  # noqa: S608  # our own names
    .columns(column(_IS_THERE))
    .subquery("neonkit_rows")
)
_KEEP = """
INSERT INTO neonkit.keys AS keys (scope, key, fingerprint, answer, expires_at)
SELECT :neonkit_scope, :neonkit_key, :neonkit_fingerprint, json_build_object(
  'names', CAST(:neonkit_names AS json),
  'rows', (SELECT coalesce(json_agg(json_build_array({columns})), '[]') FROM neonkit_effect)
)::text, now() + CAST(:neonkit_lifetime AS interval)
ON CONFLICT (scope, key) DO UPDATE
SET fingerprint = excluded.fingerprint, answer = excluded.answer, expires_at = excluded.expires_at
WHERE keys.expires_at <= now()
RETURNING true AS is_kept
"""
_IS_KEPT = "(SELECT count(*) FROM neonkit_kept)"
_HOLDS = "(SELECT holds::int FROM neonkit_condition)"

_FORMS: tuple[tuple[type[TypeEngine[Any]], str, str], ...] = (
    (Numeric, "decimal", "{}\\:\\:text"),
    (Date, "date", "{}\\:\\:text"),
    (Time, "time", "{}\\:\\:text"),
    (Uuid, "uuid", "{}\\:\\:text"),
    (LargeBinary, "bytes", "encode({}, 'base64')"),
)

_SQLMODELS = (AutoString, UTCDateTime)  # what they change, `read_value` gives as they do

_quoted = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]  # SQLAlchemy annotates no constructor


@dataclass(frozen=True)
class KeyedStatement:
    """A statement with a key, a condition or both around it.

    Attributes:
        statement: gives a column that says whether there is a row at all, then the row.
        names: of the columns of the statement inside.
    """

    statement: Select[*tuple[Any, ...]]
    names: tuple[str, ...]

    def rows_of(self, rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
        """The rows that the statement inside has given."""
        return [row[1:-1] for row in rows if row[0]]


def keyed_statement(
    statement: Executable, condition: ColumnElement[bool] | None = None, *, is_keyed: bool = False
) -> KeyedStatement | None:
    """Put a key and a condition around a statement; `None` where that cannot be.

    Where the key is taken, or the condition does not hold, it divides by zero (22012), so that
    nothing of it stays. Text cannot be judged, and what returns no columns has no answer.

    Args:
        statement: INSERT, UPDATE or DELETE … RETURNING, or a SELECT.
        condition: what must be true in the statement's own snapshot.
        is_keyed: whether it takes a key, and keeps its rows under it.
    """
    if not isinstance(statement, Insert | Update | Delete | Select):
        return None
    columns = list(statement.exported_columns)
    names = tuple(each.key or "" for each in columns)
    if not names or len(set(names)) < len(names):
        return None
    if any(isinstance(name, _anonymous_label) for name in names):
        return None
    types = tuple(each.type for each in columns)
    kept = _kept(names, types) if is_keyed else None
    if is_keyed and kept is None:
        return None
    before = [_TURN, _OLD] if is_keyed else []
    if condition is not None:
        before.append(select(condition.label("holds")).cte("neonkit_condition"))
    shown = _shown(names, types, is_keyed=is_keyed, has_condition=condition is not None)
    # the first step is what the rows are joined to, so it runs first
    whole = select(*shown).select_from(before[0].outerjoin(_ROWS, true()))
    effect = statement.cte("neonkit_effect")
    return KeyedStatement(
        whole.add_cte(*before, effect, *([] if kept is None else [kept])),
        tuple(map(str, names)),
    )


@lru_cache(_MOST_SHAPES)
def _shown(
    names: tuple[str, ...],
    types: tuple[TypeEngine[Any], ...],
    *,
    is_keyed: bool,
    has_condition: bool,
) -> list[ColumnElement[Any]]:
    checks = ([_IS_KEPT] if is_keyed else []) + ([_HOLDS] if has_condition else [])
    rows = (
        literal_column(f"neonkit_rows.{_quoted(name)}", kind).label(name)
        for name, kind in zip(names, types, strict=True)
    )
    verdict: ColumnElement[int] = literal_column(f"1 / ({' * '.join(checks)})")
    return [literal_column(_IS_THERE), *rows, verdict.label("neonkit_verdict")]


def parameters_of(key: Key, names: tuple[str, ...], patience: float) -> dict[str, Any]:
    """What a statement of `whole_of` needs to know of its key.

    Args:
        key: the request's.
        names: of the statement's columns.
        patience: seconds to wait for another request with the same key.
    """
    return {
        "neonkit_patience": str(int(patience * 1000)),
        "neonkit_lock": key.lock,
        "neonkit_scope": key.scope,
        "neonkit_key": key.value,
        "neonkit_fingerprint": key.fingerprints[0],
        "neonkit_names": json.dumps(names),
        "neonkit_lifetime": None if key.lifetime is None else timedelta(seconds=key.lifetime),
    }


@lru_cache(_MOST_SHAPES)
def _kept(names: tuple[str, ...], types: tuple[TypeEngine[Any], ...]) -> CTE | None:
    """The step that keeps the rows; `None` where a type comes back as another one."""
    written = [_written(_quoted(name), kind) for name, kind in zip(names, types, strict=True)]
    if not all(written):
        return None
    statement = text(_KEEP.format(columns=", ".join(map(str, written)))).bindparams(
        bindparam("neonkit_scope", type_=LargeBinary),
        bindparam("neonkit_key", type_=String),
        bindparam("neonkit_fingerprint", type_=LargeBinary),
        bindparam("neonkit_names", type_=String),
        bindparam("neonkit_lifetime", type_=Interval),
    )
    return statement.columns(column("is_kept", Boolean)).cte("neonkit_kept")


def _written(name: str, kind: TypeEngine[Any]) -> str | None:
    """A column as JSON that `read_value` turns into what the driver gives."""
    if isinstance(kind, TypeDecorator):
        return _written(name, kind.impl_instance) if isinstance(kind, _SQLMODELS) else None
    if isinstance(kind, Enum):
        is_plain = kind.enum_class is not None and issubclass(kind.enum_class, str)
        values = [str(each.value) for each in kind.enum_class or ()]
        return name if is_plain and kind.enums == values and not kind.native_enum else None
    if isinstance(kind, Integer | Boolean | String):
        return name
    if isinstance(kind, DateTime):
        zone = ("AT TIME ZONE 'UTC'", "|| '+00\\:00'") if kind.timezone else ("", "")
        return _tagged(name, "datetime", f"(to_json({name} {zone[0]}) #>> '{{}}') {zone[1]}")
    for known, word, form in _FORMS:
        if isinstance(kind, known) and not isinstance(kind, Float):
            return _tagged(name, word, form.format(name))
    return None


def _tagged(name: str, word: str, value: str) -> str:
    built = f"json_build_object('$', '{word}', 'v', {value})"
    return f"CASE WHEN {name} IS NOT NULL THEN {built} END"
