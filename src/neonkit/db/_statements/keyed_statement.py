"""Keyed statements: one statement that carries its key, its conditions, its effect and its answer.

    WITH neonkit_turn AS (…wait for the key…), neonkit_expired AS (…drop a few old keys…),
      neonkit_conditions AS (SELECT … AS c0, … AS c1),
      neonkit_effect AS (INSERT … SELECT … WHERE the conditions hold RETURNING …),
      neonkit_kept AS (INSERT INTO neonkit.keys … the rows of the effect as JSON)
    SELECT rows of the effect, c0, c1, verdict FROM neonkit_turn …

It always answers with a row at least, in which the conditions say which of them failed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Boolean,
    ColumnElement,
    CompoundSelect,
    Delete,
    Executable,
    Insert,
    Interval,
    LargeBinary,
    Select,
    String,
    TextClause,
    Update,
    bindparam,
    column,
    literal_column,
    select,
    text,
    true,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import visitors
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeEngine

from neonkit._seams.sqlalchemy import is_anonymous, values_of, without_values
from neonkit.db._keys.answers import json_of
from neonkit.db._keys.keys import DROP_EXPIRED, EXPIRES_AT, KEEP, Key

_IS_THERE = "neonkit_is_there"
_MOST_SHAPES = 512
_CONDITIONS = "neonkit_conditions"

# It waits where another request has the key, so that only one does the work. The statement is its
# own transaction: the timeout that is set here is in force for the rest of it. It must be read
# before the effect is: it is what the rows are joined to, and PostgreSQL reads the left side first.
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
_EXPIRED = (
    text(DROP_EXPIRED)
    .bindparams(
        bindparam("neonkit_scope", type_=LargeBinary), bindparam("neonkit_key", type_=String)
    )
    .columns(column("nothing"))
    .cte("neonkit_expired")
)
_ROWS = (
    text(f"SELECT true AS {_IS_THERE}, * FROM neonkit_effect")  # nosec B608 # noqa: S608  # our own names
    .columns(column(_IS_THERE))
    .subquery("neonkit_rows")
)
_ANSWER = """json_build_object(
  'names', CAST(:neonkit_names AS json),
  'rows', (SELECT coalesce(json_agg(json_build_array({columns})), '[]') FROM neonkit_effect)
)::text"""
_IS_KEPT = "(SELECT count(*) FROM neonkit_kept)"
_HOLD = f"(SELECT holds FROM {_CONDITIONS})"  # nosec B608 # noqa: S608  # our own name

_quoted = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]  # SQLAlchemy annotates no constructor


@dataclass(frozen=True)
class KeyedStatement:
    """A statement with a key, conditions or both around it.

    Attributes:
        statement: gives a column that says whether there is a row at all, the row, the verdict of
            each condition, and one more that only raises.
        names: of the columns of the statement inside.
        conditions: how many there are.
    """

    statement: Select[*tuple[Any, ...]]
    names: tuple[str, ...]
    conditions: int

    def rows_of(self, rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
        """The rows that the statement inside has given."""
        end = -1 - self.conditions
        return [row[1:end] for row in rows if row[0]]

    def verdicts_of(self, rows: Sequence[Sequence[Any]]) -> Sequence[Any]:
        """For each condition, whether it held."""
        return rows[0][-1 - self.conditions : -1]


def keyed_statement(
    is_keyed: bool,
    unless: str | None,
    statement: Executable,
    *conditions: ColumnElement[bool],
) -> KeyedStatement | None:
    """Put a key and conditions around a statement; `None` where that cannot be.

    An INSERT, UPDATE or DELETE takes the conditions as the source of its rows: where one fails, it
    does nothing. A SELECT may have steps that write, whose text nobody reads here: where a
    condition fails, and where the key is taken, the verdict divides by zero (SQLSTATE 22012), so
    that nothing of it stays. Plain text cannot be judged, and without columns there is no answer.

    Args:
        is_keyed: whether it takes a key, and keeps its rows under it.
        unless: the column whose value says that rows are not kept for good, if they are otherwise.
        statement: INSERT, UPDATE or DELETE … RETURNING, or a SELECT.
        conditions: what must be true in the statement's own snapshot.
    """
    if not isinstance(statement, Insert | Update | Delete | Select):
        return None
    effect = statement if isinstance(statement, Select) else sourced(statement, bool(conditions))
    columns = list(statement.exported_columns)
    names = tuple(each.key or "" for each in columns)
    is_nameless = any(map(is_anonymous, names))
    if effect is None or not names or len(set(names)) < len(names) or is_nameless:
        return None
    types = tuple(each.type for each in columns)
    kept = _kept(names, types, unless, has_conditions=bool(conditions)) if is_keyed else None
    if is_keyed and kept is None:
        return None
    before = [_TURN, _EXPIRED] if is_keyed else []
    before += [_judged(conditions)] if conditions else []
    verdict = _verdict(is_keyed, bool(conditions), undoes=isinstance(statement, Select))
    judged = [literal_column(f"{_CONDITIONS}.c{i}", Boolean()) for i in range(len(conditions))]
    # the left side is read first: the turn at the key, or the conditions where there is no key
    source = before[0].outerjoin(_ROWS, true())
    source = source.join(before[-1], true()) if is_keyed and conditions else source
    whole = select(literal_column(_IS_THERE), *_shown(names, types), *judged, verdict)
    whole = whole.select_from(source)
    steps = [*before, effect.cte("neonkit_effect"), *([] if kept is None else [kept])]
    return KeyedStatement(whole.add_cte(*steps), tuple(map(str, names)), len(conditions))


def sourced(
    statement: Insert | Update | Delete, has_conditions: bool
) -> Insert | Update | Delete | None:
    """Let a statement write only where the conditions hold; `None` where that cannot be.

    Rows of VALUES become rows of a SELECT with a WHERE, since a unique index is asked after it: a
    duplicate tells nothing to who may not write at all. Several sets of values cannot.
    """
    if not has_conditions:
        return statement
    holds: ColumnElement[bool] = literal_column(_HOLD, Boolean())
    if not isinstance(statement, Insert):
        return statement.where(holds)
    values = values_of(statement)
    if not values:
        return None
    row = select(*values.values()).where(holds)
    return without_values(statement).from_select(list(values), row)


def reads_only(statement: Executable) -> bool:
    """True if a statement is a SELECT without steps that write, or whose text nobody has read."""
    return isinstance(statement, Select | CompoundSelect) and not any(
        isinstance(part, UpdateBase | TextClause) for part in visitors.iterate(statement)
    )


def _judged(conditions: Sequence[ColumnElement[bool]]) -> CTE:
    """The step that judges each condition, and all of them together."""
    each = (condition.label(f"c{i}") for i, condition in enumerate(conditions))
    judged = select(*each).subquery("judged")
    names = " AND ".join(f"judged.c{i}" for i in range(len(conditions)))
    holds = literal_column(f"coalesce({names}, false)", Boolean()).label("holds")
    return select(*judged.c, holds).cte(_CONDITIONS)


def _shown(names: tuple[str, ...], types: tuple[TypeEngine[Any], ...]) -> list[ColumnElement[Any]]:
    return [
        literal_column(f"neonkit_rows.{_quoted(name)}", kind).label(name)
        for name, kind in zip(names, types, strict=True)
    ]


def _verdict(is_keyed: bool, has_conditions: bool, *, undoes: bool) -> ColumnElement[Any]:
    """One where all is well; it divides by zero where what was done has to be undone."""
    holds = f"CAST({_HOLD} AS int)" if has_conditions else "1"
    is_kept = _IS_KEPT if is_keyed else "1"
    if undoes or not has_conditions:
        verdict = f"1 / ({holds} * {is_kept})"
    else:  # where a condition failed nothing was done, and nothing is kept
        verdict = f"CASE WHEN {_HOLD} THEN 1 / {is_kept} END"
    return literal_column(verdict).label("neonkit_verdict")


def parameters_of(key: Key, names: tuple[str, ...], patience: float) -> dict[str, Any]:
    """The parameters of a keyed statement that come from its key.

    Args:
        key: the request's.
        names: of the statement's columns.
        patience: seconds to wait for another request with the same key.
    """
    return {
        **key.new_row,
        "neonkit_lock": key.lock,
        "neonkit_patience": str(int(patience * 1000)),
        "neonkit_names": json.dumps(names),
    }


@lru_cache(_MOST_SHAPES)
def _kept(
    names: tuple[str, ...],
    types: tuple[TypeEngine[Any], ...],
    unless: str | None,
    *,
    has_conditions: bool,
) -> CTE | None:
    """The step that keeps the rows; `None` where a type would come back as another one."""
    written = [json_of(_quoted(name), kind) for name, kind in zip(names, types, strict=True)]
    if not all(written):
        return None
    answer = _ANSWER.format(columns=", ".join(map(str, written)))
    expires_at = EXPIRES_AT
    if unless is not None:
        is_one = f"EXISTS (SELECT FROM neonkit_effect WHERE {_quoted(unless)} IS NOT NULL)"  # nosec B608 # our own name
        expires_at = f"CASE WHEN {is_one} THEN {EXPIRES_AT} END"
    where = f"WHERE {_HOLD}" if has_conditions else ""
    keep = KEEP.format(answer=answer, expires_at=expires_at, where=where)
    statement = text(keep).bindparams(
        bindparam("neonkit_scope", type_=LargeBinary),
        bindparam("neonkit_key", type_=String),
        bindparam("neonkit_fingerprint", type_=LargeBinary),
        bindparam("neonkit_names", type_=String),
        bindparam("neonkit_lifetime", type_=Interval),
    )
    return statement.columns(column("is_kept", Boolean)).cte("neonkit_kept")
