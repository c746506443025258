"""What a write makes by itself, and whether that may send, refuse or run what users wrote."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import (
    ARRAY,
    JSON,
    ClauseElement,
    Column,
    DefaultClause,
    Enum,
    FetchedValue,
    Table,
    TextClause,
)
from sqlalchemy.ext.mutable import MutableDict, MutableList, MutableSet
from sqlalchemy.orm import InstanceState, Mapper
from sqlalchemy.sql.schema import (
    CallableColumnDefault,
    DefaultGenerator,
    ScalarElementColumnDefault,
)
from sqlalchemy.types import TypeEngine

from neonkit._seams.sqlalchemy import coerced_by, takes_context

_KNOWN_TYPES = ("neonkit.", "sqlalchemy.", "sqlmodel.")
_LITERAL = re.compile(r"\s*'((?:[^']|'')*)'\s*(?:::[\w\s.\"\[\]]+)?")
_COERCED: Final[dict[type, type]] = {MutableDict: dict, MutableList: list, MutableSet: set}


class _Made(NamedTuple):
    """A column that a write fills in where no value was given.

    Attributes:
        key: its attribute; `None` where it has none.
        column: itself.
        default: what fills it in from Python.
        server_default: what fills it in on the server.
    """

    key: str | None
    column: Column[Any]
    default: DefaultGenerator | None
    server_default: FetchedValue | None

    @property
    def is_returned(self) -> bool:
        """True if the server makes it, and the statement returns it."""
        is_expression = self.default is not None and self.default.is_clause_element
        is_key = self.default is None and self.column.primary_key
        return is_expression or is_key or self.server_default is not None

    @property
    def literal(self) -> str | None:
        """What the server makes, where the class says it as a text."""
        made = self.server_default.arg if isinstance(self.server_default, DefaultClause) else None
        if isinstance(made, TextClause):
            quoted = _LITERAL.fullmatch(made.text)
            return quoted and quoted[1].replace("''", "'")
        return made if isinstance(made, str) else None


class _Judged(NamedTuple):
    made: _Made
    why_not: str | None


_inserts: WeakKeyDictionary[Mapper[Any], tuple[_Judged, ...]] = WeakKeyDictionary()
_updates: WeakKeyDictionary[Mapper[Any], tuple[_Judged, ...]] = WeakKeyDictionary()


def why_not_made(state: InstanceState[Any]) -> str | None:
    """Why what an INSERT or UPDATE of an object makes takes a transaction; `None` if it does not.

    An INSERT makes defaults, an UPDATE what `onupdate` says, and nobody makes what the attribute
    holds already. A function that takes no context can send nothing, and has ended before the
    statement goes out. What comes back has been committed when its type looks at it: a type that
    may refuse it then is a reason.
    """
    return next((why for _, why in _made_by(state) if why is not None), None)


def may_refuse_made(listener: Callable[..., Any], state: InstanceState[Any]) -> bool:
    """True if a listener of `refresh_flush` may refuse what an INSERT or UPDATE made.

    Those of `MutableDict` and its relatives look at their own attribute, where it was made, and at
    nothing else; anybody else's may do anything.
    """
    found = coerced_by(listener)
    if found is None:
        return True
    keys, kind = found
    return any(made.key in keys and not _is_sure_to_fit(kind, made) for made, _ in _made_by(state))


def is_made_on_insert(column: Column[Any]) -> bool:
    """True if the server makes what an INSERT leaves out."""
    is_expression = column.default is not None and column.default.is_clause_element
    return is_expression or column.server_default is not None


def is_made_on_update(column: Column[Any]) -> bool:
    """True if the server makes what an UPDATE leaves out."""
    is_expression = column.onupdate is not None and column.onupdate.is_clause_element
    return is_expression or column.server_onupdate is not None


def _made_by(state: InstanceState[Any]) -> Iterator[_Judged]:
    known, judge = (_updates, _judge_update) if state.key else (_inserts, _judge_insert)
    judged = known.get(state.mapper)
    if judged is None:
        judged = known[state.mapper] = tuple(judge(state.mapper))
    for each in judged:
        if each.made.key is None or not _is_given(state, each.made.key):
            yield each


def _is_given(state: InstanceState[Any], key: str) -> bool:
    """True if the statement takes a value from the attribute, as it is."""
    value = state.dict.get(key)
    if value is None or isinstance(value, ClauseElement) or hasattr(value, "__clause_element__"):
        return False
    return not state.key or state.attrs[key].history.has_changes()


def _judge_insert(mapper: Mapper[Any]) -> Iterator[_Judged]:
    for key, column in _columns_of(mapper):
        if column.primary_key or column.default is not None or column.server_default is not None:
            made = _Made(key, column, column.default, column.server_default)
            yield _Judged(made, _judge(made))


def _judge_update(mapper: Mapper[Any]) -> Iterator[_Judged]:
    for key, column in _columns_of(mapper):
        if column.onupdate is not None or column.server_onupdate is not None:
            made = _Made(key, column, column.onupdate, column.server_onupdate)
            yield _Judged(made, _judge(made))


def _columns_of(mapper: Mapper[Any]) -> Iterator[tuple[str | None, Column[Any]]]:
    """Every column of its table, those that it leaves to another class of the table included."""
    keys = {column: key for key, column in mapper.columns.items()}
    table = mapper.local_table
    assert isinstance(table, Table), "not judged before"  # noqa: S101
    for column in table.columns:
        yield keys.get(column), column


def _judge(made: _Made) -> str | None:
    if made.default is not None and _may_execute(made.default):
        return f"the default of {made.column.name} may be a statement of its own"
    if made.is_returned and _may_refuse(made.column.type, made.literal):
        return f"the type of {made.column.name} handles what comes back"
    return None


def _may_execute(default: DefaultGenerator) -> bool:
    if isinstance(default, CallableColumnDefault):
        return takes_context(default)
    return not (default.is_scalar or default.is_clause_element)


def _may_refuse(kind: TypeEngine[Any], literal: str | None) -> bool:
    """True if reading what the server makes may raise, or run what users wrote."""
    if isinstance(kind, ARRAY):
        return literal != "{}" and _may_refuse(kind.item_type, None)
    if isinstance(kind, Enum):
        return literal not in kind.enums
    return not type(kind).__module__.startswith(_KNOWN_TYPES)


def _is_sure_to_fit(kind: type, made: _Made) -> bool:
    """True if what is made is of the class that `MutableDict` or a relative of it coerces."""
    wanted, default = _COERCED.get(kind), made.default
    if wanted is None:
        return False
    if isinstance(default, CallableColumnDefault):
        return getattr(default.arg, "__wrapped__", None) is wanted
    if isinstance(default, ScalarElementColumnDefault):
        return isinstance(default.arg, wanted)
    is_json = isinstance(made.column.type, JSON) and made.literal is not None
    return is_json and isinstance(_read_json(made.literal), wanted)


def _read_json(text: str | None) -> object:
    try:
        return json.loads(text or "")
    except ValueError:
        return None
