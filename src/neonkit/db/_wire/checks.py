"""Checks: a guard's condition as SQL, sent before a statement or carried inside of it."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Delete, Insert, Select, Update, select
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler

from neonkit.db._conditions import Guard
from neonkit.db._templates import Bound

Arguments = Mapping[str, Any] | Sequence[Any]
"""A statement's values as the driver takes them: by name, or by place."""

_MOST = 64  # conditions; an app has one or two
_NUMBERED = re.compile(r"\$(\d+)")
_NAMED = re.compile(r"%\((\w+)\)s")
_VALUES = ") VALUES ("
_RETURNING = " RETURNING "


class Check:
    """A guard's condition in one dialect.

    Args:
        guard: whose condition.
        dialect: of the connection that sends it.
    """

    def __init__(self, guard: Guard, dialect: Dialect) -> None:
        self.guard = guard
        self._dialect = dialect

    def alone(self) -> tuple[str, Arguments]:
        """A SELECT of the condition, and its arguments."""
        return _written(self.guard.bound, self._dialect)

    def inside(
        self, compiled: object, sql: str, arguments: Arguments
    ) -> tuple[str, Arguments] | None:
        """A lone write that happens only where the condition holds; `None` where that cannot be.

        The condition is the source of the row that is written: a switched-off caller does not
        even learn which values are taken, since a duplicate is looked for after it.

        Args:
            compiled: the statement, as a flush makes it.
            sql: its text.
            arguments: its values.
        """
        if not isinstance(compiled, SQLCompiler):
            return None
        condition, values = self._beside(arguments)
        head, returning, tail = sql, "", ""
        if compiled.effective_returning:
            head, returning, tail = sql.rpartition(_RETURNING)
        if isinstance(compiled.statement, Update | Delete):
            return f"{head} AND ({condition}){returning}{tail}", values
        if isinstance(compiled.statement, Insert) and head.count(_VALUES) == 1:
            columns, _, row = head.partition(_VALUES)
            row = row.rstrip().removesuffix(")")
            return f"{columns}) SELECT {row} WHERE ({condition}){returning}{tail}", values
        return None

    def _beside(self, arguments: Arguments) -> tuple[str, Arguments]:
        """The condition with its arguments behind those of another statement."""
        sql, own = self.alone()
        if isinstance(arguments, Mapping) and isinstance(own, Mapping):
            renamed = _NAMED.sub(r"%(neonkit_\1)s", sql)
            return renamed, {**arguments, **{f"neonkit_{name}": own[name] for name in own}}
        others = len(arguments)
        return _NUMBERED.sub(lambda found: f"${int(found[1]) + others}", sql), (*arguments, *own)


def _written(bound: Bound, dialect: Dialect) -> tuple[str, Arguments]:
    (template,) = bound.templates
    compile_once = _compiled if bound.is_lasting else _compiled.__wrapped__
    compiled = compile_once(template, dialect)
    if any(bind.expanding for bind in compiled.binds.values()):
        asked = select(template).params(bound.values)
        compiled = _compile(asked, dialect)
    return compiled.string, _arguments(compiled, bound.values)


@lru_cache(_MOST)
def _compiled(template: ColumnElement[bool], dialect: Dialect) -> SQLCompiler:
    return _compile(select(template), dialect)


def _compile(statement: Select[*tuple[Any, ...]], dialect: Dialect) -> SQLCompiler:
    compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    assert isinstance(compiled, SQLCompiler), "a SELECT"  # noqa: S101
    return compiled


def _arguments(compiled: SQLCompiler, values: Mapping[str, Any]) -> Arguments:
    """The values as the driver takes them: by place, or by name."""
    known = {name: value for name, value in values.items() if name in compiled.binds}
    given = dict(compiled.construct_params(known))
    for name, bind in compiled.binds.items():
        process = bind.type.dialect_impl(compiled.dialect).bind_processor(compiled.dialect)
        if process is not None and name in given:
            given[name] = process(given[name])
    if compiled.positiontup is None:
        return given
    return tuple(given[name] for name in compiled.positiontup)
