"""One statement that carries its key, its condition, its effect and its answer."""

import json
from collections.abc import Iterator
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypeAlias

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

from neonkit.db._keys import DROP_OLD, Key

Whole: TypeAlias = Select[*tuple[Any, ...]]

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


def whole_of(
    statement: Executable, *, is_keyed: bool, condition: ColumnElement[bool] | None
) -> Whole | None:
    """Put a key and a condition around a statement; `None` where that cannot be.

    Where the key is taken, or the condition does not hold, it divides by zero (22012), so that
    nothing of it stays. Text cannot be judged, and what returns no columns has no answer.

    Args:
        statement: INSERT, UPDATE or DELETE … RETURNING, or a SELECT.
        is_keyed: whether it takes a key, and keeps its rows under it.
        condition: what must be true in the statement's own snapshot.
    """
    if not isinstance(statement, Insert | Update | Delete | Select):
        return None
    columns = list(statement.exported_columns)
    names = [each.key or "" for each in columns]
    if not names or len(set(names)) < len(names):
        return None
    if any(isinstance(name, _anonymous_label) for name in names):
        return None
    kept = _kept(tuple(names), tuple(each.type for each in columns)) if is_keyed else None
    if is_keyed and kept is None:
        return None
    effect = statement.cte("neonkit_effect")
    around = list(_before(condition, is_keyed=is_keyed))
    rows = select(true().label(_IS_THERE), *effect.c).subquery("neonkit_rows")
    checks = ([_IS_KEPT] if is_keyed else []) + ([] if condition is None else [_HOLDS])
    verdict: ColumnElement[int] = literal_column(f"1 / ({' * '.join(checks)})")
    return (
        select(*rows.c, verdict.label("neonkit_verdict"))
        .select_from(around[0].outerjoin(rows, true()))
        .add_cte(*around, effect, *([] if kept is None else [kept]))
    )


def _before(condition: ColumnElement[bool] | None, *, is_keyed: bool) -> Iterator[CTE]:
    """What comes before the effect; its first is what the rows are joined to, so it runs first."""
    if is_keyed:
        yield _TURN
        yield _OLD
    if condition is not None:
        yield select(condition.label("holds")).cte("neonkit_condition")


def parameters_of(key: Key, names: list[str], patience: float) -> dict[str, Any]:
    """What a statement of `whole_of` needs to know of its key.

    Args:
        key: the request's.
        names: from `names_of`.
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


def names_of(whole: Whole) -> list[str]:
    """The names of the statement's own columns."""
    return [str(each.key) for each in whole.selected_columns][1:-1]


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
