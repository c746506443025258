"""When a unit of work is one statement, which may go without BEGIN and COMMIT of its own."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy
from sqlalchemy import Column, Connection, Constraint, Engine, ForeignKeyConstraint, Table
from sqlalchemy import inspect as inspected
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import (
    InstanceState,
    Mapper,
    PassiveFlag,
    RelationshipDirection,
    RelationshipProperty,
    Session,
    SessionTransactionOrigin,
)

from neonkit._seams.sqlalchemy import (
    has_listeners,
    is_of_composite,
    is_orphan,
    is_tested_sqlalchemy,
    listeners_of,
    relations_watching,
)
from neonkit.db._units.made_columns import (
    is_made_on_insert,
    is_made_on_update,
    may_refuse_made,
    why_not_made,
)
from neonkit.db._wire.connection import wire_connection_of
from neonkit.db._wire.listeners import heard_by_others, strangers_on
from neonkit.db._wire.returning_connection import is_returned

_OURS = {"after_begin": 1, "after_transaction_end": 1}  # those of `_sessions`, on every session
_SESSION_EVENTS = (
    "before_commit",
    "after_begin",
    "after_transaction_create",
    "after_transaction_end",
    "after_flush",
    "after_flush_postexec",
    "pending_to_persistent",
    "persistent_to_deleted",
)
_ENGINE_EVENTS = (
    "begin",
    "before_execute",
    "before_cursor_execute",
    "after_cursor_execute",
    "after_execute",
    "commit",
)
_ROW_EVENTS = (
    "before_insert",
    "after_insert",
    "before_update",
    "after_update",
    "before_delete",
    "after_delete",
)

_UNLOADED_TOO = PassiveFlag.PASSIVE_NO_INITIALIZE | PassiveFlag.INCLUDE_PENDING_MUTATIONS

_verdicts: WeakKeyDictionary[Mapper[Any], tuple[int, str | None]] = WeakKeyDictionary()


def why_not_alone(session: Session) -> str | None:
    """Why what a commit is about to flush cannot go as one statement; `None` where it can.

    Ask after the last `before_flush` listener of a flush that `commit()` starts. A statement that
    commits as itself must be all that the unit of work writes, and nothing that somebody else wrote
    may run between it and the COMMIT that it stands for, since that may write or raise. What this
    function does not know is a reason.

    Args:
        session: one that `Database.session` lent.
    """
    state, beside = _written_in(session)
    if state is None:
        written = sum(_is_written(session, each) for each in beside)
        return f"{written} objects are new, changed or deleted"
    return (
        _why_not_now(session)
        or why_not_on(session.get_bind(state.mapper))
        or _why_not_table(state.mapper)
        or (None if state.obj() in session.deleted else why_not_made(state))
        or _why_not_related(session, state)
        or _why_not_heard(session, state)
        or next(filter(None, (_why_not_beside(session, each, state) for each in beside)), None)
    )


def _written_in(
    session: Session,
) -> tuple[InstanceState[Any] | None, Sequence[InstanceState[Any]]]:
    """The one object that has a row to write, and those that are only said to have changed."""
    states = [inspected(each) for each in (*session.new, *session.dirty, *session.deleted)]
    if len(states) == 1:
        return states[0], ()
    written = [each for each in states if _is_written(session, each)]
    if len(written) != 1:
        return None, states
    return written[0], [each for each in states if each is not written[0]]


def _is_written(session: Session, state: InstanceState[Any]) -> bool:
    """True unless its row stays as it is, whatever became of its collections."""
    mapper, instance = state.mapper, state.obj()
    relations = (
        relation.key
        for relation in mapper.relationships
        if relation.direction is not RelationshipDirection.ONETOMANY and not relation.viewonly
    )
    return (
        instance in session.new
        or instance in session.deleted
        or any(_has_changed(state, key) for key in (*mapper.column_attrs.keys(), *relations))
    )


def _why_not_beside(
    session: Session, state: InstanceState[Any], written: InstanceState[Any]
) -> str | None:
    """Why an object whose own row stays as it is needs more than the row that is written.

    A parent counts as changed where a child was given to it, and the child's row is all there is
    to write: its key goes into the statement itself.
    """
    if is_orphan(state.mapper, state):
        return "what is beside it has lost its parent"
    if state.mapper.base_mapper.eager_defaults is True and any(map(_is_made, _unloaded(state))):
        return "a value of the server's would be read back beside it"
    child = written.obj()
    for relation in state.mapper.relationships:
        history = state.get_history(relation.key, _UNLOADED_TOO)
        if relation.viewonly or not history.has_changes():
            continue
        if relation.post_update or (relation.cascade.delete_orphan and history.deleted):
            return f"a collection beside it changed: {relation.key}"
        if any(each is not child for each in (*history.added, *history.deleted)):
            return f"a collection beside it changed: {relation.key}"
    return _why_not_heard(session, state)


def _why_not_now(session: Session) -> str | None:
    whole = session.get_transaction()
    if not is_tested_sqlalchemy():
        return f"SQLAlchemy {sqlalchemy.__version__} was not tested"
    if whole is not None and whole.origin is not SessionTransactionOrigin.AUTOBEGIN:
        return "the transaction was begun by hand"
    if session.get_nested_transaction() is not None:
        return "a savepoint is open"
    starts: Mapping[Connection, int] = getattr(session, "starts", {})
    for connection in starts:
        if is_returned(connection):  # after nothing but plain reads
            continue
        wire = wire_connection_of(connection)
        if wire is None or not wire.is_in_the_open:
            return "something was written, locked or set before"
        if has_listeners(connection):
            return "somebody listens to the connection"
    return None


def why_not_on(bind: Engine | Connection) -> str | None:
    """Why a statement on this engine cannot commit as itself; `None` where it can."""
    if not isinstance(bind, Engine):
        return "the session is bound to a connection"
    name = heard_by_others(bind, _ENGINE_EVENTS)
    if name is not None:
        return f"somebody listens to the engine's {name}"
    if listeners_of(bind.dialect, "do_execute"):
        return "somebody listens to the engine's do_execute"
    return None


def strange_listeners(engine: AsyncEngine) -> list[str]:
    """Whoever listens to an engine and is not known, so that writes on it take a transaction.

    Each as `before_execute: shop.monitoring.note`. `listen` vouches for one that neither writes nor
    refuses; well-known tracers are known.
    """
    return list(strangers_on(engine.sync_engine, _ENGINE_EVENTS))


def _why_not_table(mapper: Mapper[Any]) -> str | None:
    """The verdict of the tables alone, found out once for as many tables as there are."""
    among = len(mapper.local_table.metadata.tables) if isinstance(mapper.local_table, Table) else 0
    known = _verdicts.get(mapper)
    if known is None or known[0] != among:
        known = _verdicts[mapper] = (among, _judge_table(mapper))
    return known[1]


def _judge_table(mapper: Mapper[Any]) -> str | None:
    table = mapper.local_table
    if len(mapper.tables) != 1 or not isinstance(table, Table):
        return "its mapper has several tables"
    if set(mapper.primary_key) != set(table.primary_key):
        return "its key is not the table's own"
    if not table.implicit_returning:
        return "its table returns nothing, and takes a statement more for it"
    if table.info.get("volatile"):
        return "its table says that it is volatile"
    if any(_may_be_deferred(each) for each in _constraints_around(table)):
        return "a constraint is deferrable"
    return None


def _may_be_deferred(constraint: Constraint) -> bool:
    return bool(constraint.deferrable) or (constraint.initially or "").upper() == "DEFERRED"


def _constraints_around(table: Table) -> Iterator[Constraint]:
    """The table's constraints, and those of others that refer to it."""
    yield from table.constraints
    for other in table.metadata.tables.values():
        for each in other.constraints:
            if isinstance(each, ForeignKeyConstraint) and each.referred_table is table:
                yield each


def _why_not_related(session: Session, state: InstanceState[Any]) -> str | None:
    mapper, instance = state.mapper, state.obj()
    if is_orphan(mapper, state):
        return "it has lost its parent"
    is_deleted = instance in session.deleted
    if instance in session.dirty and any(_has_changed(state, key) for key in _keys_of(mapper)):
        return "its key, or what others know it by, changed"
    if mapper.base_mapper.eager_defaults is True and not is_deleted and _is_read_back(state):
        return "a value of the server's would be read back"
    for relation in mapper.relationships:
        if not relation.viewonly and (why := _why_not_relation(state, relation, is_deleted)):
            return f"{why}: {relation.key}"
    return None


def _keys_of(mapper: Mapper[Any]) -> set[str]:
    """The attributes that other rows repeat."""
    columns = set(mapper.primary_key)
    for relation in (*mapper.relationships, *relations_watching(mapper)):
        columns.update(known for known, _ in relation.synchronize_pairs or ())
    table = mapper.local_table
    return {mapper.get_property_by_column(each).key for each in columns if each.table is table}


def _is_read_back(state: InstanceState[Any]) -> bool:
    """True if the flush asks for what the server makes, since this statement does not return it."""
    returned, made = is_made_on_insert, is_made_on_update
    if state.key:
        returned, made = made, returned
    return any(made(each) and not returned(each) for each in _unloaded(state))


def _unloaded(state: InstanceState[Any]) -> Iterator[Column[Any]]:
    columns = map(state.mapper.columns.get, state.unloaded)
    return (each for each in columns if isinstance(each, Column))


def _is_made(column: Column[Any]) -> bool:
    return is_made_on_insert(column) or is_made_on_update(column)


def _why_not_relation(
    state: InstanceState[Any], relation: RelationshipProperty[Any], is_deleted: bool
) -> str | None:
    if relation.post_update:
        return "a relation is written after the row"
    if relation.direction is RelationshipDirection.MANYTOONE:
        owns = relation.cascade.delete or relation.cascade.delete_orphan
        return "what it refers to goes with it" if owns else None
    if is_deleted and not (
        relation.passive_deletes == "all" and relation.direction is RelationshipDirection.ONETOMANY
    ):
        return "rows that refer to it may have to change"
    return "a collection changed" if _has_changed(state, relation.key) else None


def _has_changed(state: InstanceState[Any], key: str) -> bool:
    return state.get_history(key, PassiveFlag.PASSIVE_NO_INITIALIZE).has_changes()


def _why_not_heard(session: Session, state: InstanceState[Any]) -> str | None:
    name = next(filter(None, _heard_of(session, state)), None)
    return name and f"somebody listens to {name}"


def _heard_of(session: Session, state: InstanceState[Any]) -> Iterator[str]:
    """The events of a flush that somebody hears of who may write or refuse."""
    mapper = state.mapper
    for name in _SESSION_EVENTS:
        if len(listeners_of(session, name)) > _OURS.get(name, 0):
            yield name
    for name in _ROW_EVENTS:
        if not all(map(is_of_composite, listeners_of(mapper, name))):
            yield name
    if not all(map(is_of_composite, listeners_of(mapper.class_manager, "expire"))):
        yield "expire"
    if any(
        may_refuse_made(each, state) for each in listeners_of(mapper.class_manager, "refresh_flush")
    ):
        yield "refresh_flush"
