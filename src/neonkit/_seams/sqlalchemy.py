"""The inside of SQLAlchemy: cache keys, events, mappers, and the adapters of its async drivers."""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias, cast
from weakref import ref

import sqlalchemy
from sqlalchemy import (
    BinaryExpression,
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Connection,
    Dialect,
    Engine,
    Executable,
    Insert,
    Result,
    Select,
)
from sqlalchemy.connectors.asyncio import AsyncAdapt_dbapi_connection
from sqlalchemy.engine.base import NO_OPTIONS, OptionEngine
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.engine.result import ChunkedIteratorResult, IteratorResult, SimpleResultMetaData
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import (
    InstanceState,
    Mapper,
    RelationshipProperty,
    Session,
    SessionTransaction,
)
from sqlalchemy.orm.base import _none_set
from sqlalchemy.orm.context import (
    QueryContext,
    _MapperEntity,
    _ORMColumnEntity,
    _ORMSelectCompileState,
    _RawColumnEntity,
)
from sqlalchemy.orm.identity import IdentityMap
from sqlalchemy.orm.loading import _new_runid
from sqlalchemy.orm.session import SessionTransactionState
from sqlalchemy.orm.strategies import _LazyLoader as LazyLoader
from sqlalchemy.pool import ConnectionPoolEntry, Pool, PoolProxiedConnection
from sqlalchemy.pool.base import _ConnectionFairy
from sqlalchemy.sql._util_cy import anon_map
from sqlalchemy.sql.cache_key import NO_CACHE, CacheConst, HasCacheKey
from sqlalchemy.sql.compiler import WARN_LINTING, SQLCompiler
from sqlalchemy.sql.elements import ClauseElement, _anonymous_label
from sqlalchemy.sql.schema import CallableColumnDefault
from sqlalchemy.sql.util import _deep_deannotate
from sqlalchemy.types import TypeEngine

from neonkit._seams.record import ATTRIBUTE, LITERAL, Seam

__all__ = [
    "ROWS_BY_NAME",
    "SEAMS",
    "BorrowedPlace",
    "LazyLoader",
    "Structure",
    "bare_cache_key",
    "coerced_by",
    "connect_by",
    "distinct_on",
    "driver_type_of",
    "groups_of",
    "has_distinct",
    "has_having",
    "has_listeners",
    "has_way_back",
    "is_anonymous",
    "is_limited",
    "is_of_composite",
    "is_ordered",
    "is_orphan",
    "is_tested_sqlalchemy",
    "listeners_of",
    "name_made_from",
    "options_of",
    "original_of",
    "raise_translated",
    "relations_watching",
    "remember_on",
    "renew_dependency_processor",
    "structure_of",
    "takes_context",
    "values_of",
    "with_whole_list",
    "without_values",
]

_TESTED = "2.1."
_PLAIN_COLUMNS = (_ORMColumnEntity, _RawColumnEntity)
_UNIQUE = "Can't use the ORM yield_per feature in conjunction with unique()"

Internal: TypeAlias = Any
"""Something of SQLAlchemy's inside, which has no type."""

AnySelect = Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]

_WRAPPERS = ("sqlalchemy.orm.events", "sqlalchemy.engine.events", "sqlalchemy.event.legacy")
_COMPOSITES = "sqlalchemy.orm.descriptor_props"
_MUTABLE_LISTENER = "sqlalchemy.ext.mutable:MutableBase._listen_on_attribute.<locals>.load_attrs"

ROWS_BY_NAME: Final = {"_result_disable_adapt_to_context": True}
"""Execution option of statements whose rows are found by name, never by column."""


def is_tested_sqlalchemy() -> bool:
    """True if the installed SQLAlchemy is of a release on which its inside was looked at.

    Where it is not, nothing may rest on a guess that could serve somebody else's values or commit
    half of a unit of work.
    """
    return sqlalchemy.__version__.startswith(_TESTED)


class Structure(NamedTuple):
    """The structure of statements and expressions, without their values.

    Attributes:
        key: the same for all that differ in their values alone.
        parameters: the ones of this time, in an order that the key fixes.
        given: values that `params()` put into a statement, by name.
    """

    key: tuple[Hashable, ...]
    parameters: list[BindParameter[Any]]
    given: Mapping[str, Any]


def structure_of(elements: Iterable[HasCacheKey]) -> Structure | None:
    """Tell the structure of statements and expressions, taken together, from their values.

    `None` where SQLAlchemy cannot name it, or is of a release that was not tested.
    """
    if not is_tested_sqlalchemy():
        return None
    anonymous = anon_map()
    parameters: list[BindParameter[Any]] = []
    key = tuple((type(each), each._gen_cache_key(anonymous, parameters)) for each in elements)
    if NO_CACHE in anonymous:
        return None
    given: Any = anonymous.get(CacheConst.PARAMS)
    return Structure(key, parameters, given or {})


def remember_on(element: ClauseElement, name: str, value: object) -> None:
    """Keep a value on an expression; what is derived from it leaves the value behind."""
    element._set_memoized_attribute(name, value)


def is_anonymous(name: str) -> bool:
    """True if SQLAlchemy made this name up, so that it is another one in each statement."""
    return isinstance(name, _anonymous_label)


def is_limited(statement: AnySelect) -> bool:
    """True if a statement has a LIMIT, OFFSET or FETCH of its own."""
    clauses = statement._limit_clause, statement._offset_clause, statement._fetch_clause
    return any(clause is not None for clause in clauses)


def is_ordered(statement: Select[*tuple[Any, ...]]) -> bool:
    """True if a statement has an ORDER BY of its own."""
    return bool(statement._order_by_clauses)


def has_distinct(statement: Select[*tuple[Any, ...]]) -> bool:
    """True if a statement has DISTINCT, with or without ON."""
    return bool(statement._distinct)


def distinct_on(statement: Select[*tuple[Any, ...]]) -> tuple[ColumnElement[Any], ...]:
    """The expressions of DISTINCT ON, if any."""
    found: tuple[ColumnElement[Any], ...] = tuple(statement._distinct_on)
    return found or getattr(statement._pre_columns_clause, "_distinct_on", ())


def groups_of(statement: Select[*tuple[Any, ...]]) -> tuple[ColumnElement[Any], ...]:
    """The expressions of GROUP BY, if any."""
    return tuple(statement._group_by_clauses)


def has_having(statement: Select[*tuple[Any, ...]]) -> bool:
    """True if a statement has HAVING."""
    return bool(statement._having_criteria)


def options_of(statement: Select[*tuple[Any, ...]]) -> tuple[Any, ...]:
    """The loader options of a statement."""
    return tuple(statement._with_options)


def bare_cache_key(expression: ColumnElement[Any]) -> Any:  # noqa: ANN401  # SQLAlchemy's own
    """The structure of an expression, whichever entity it was reached through."""
    bare: ColumnElement[Any] = _deep_deannotate(expression)
    return bare._generate_cache_key()


def name_made_from(parameter: BindParameter[Any]) -> str:
    """The name that a parameter's own was made from: `created_at` for `created_at_1`."""
    name: str = parameter._orig_key
    return name


def has_way_back(relation: RelationshipProperty[Any]) -> bool:
    """True if the other side of a relation has one that leads back."""
    return bool(relation._reverse_property)


def renew_dependency_processor(relation: RelationshipProperty[Any]) -> bool:
    """Let a relation's flush follow what was said of it since it was configured.

    Returns:
        False of one that no flush follows.
    """
    processor = relation._dependency_processor
    if processor is None:
        return False
    relation._dependency_processor = type(processor)(relation)
    return True


class _FollowingEngine(OptionEngine):
    """An engine with further execution options, whose connections are of its parent's class."""

    @property
    def _connection_cls(self) -> type[Connection]:  # type: ignore[override]  # it is only read
        kind: type[Connection] = self._proxied._connection_cls
        return kind


_FollowingEngine._option_cls = _FollowingEngine


def connect_by(engine: Engine, connect: Callable[[Engine], Connection]) -> None:
    """Let an engine, and those with further options, make its connections by a class of ours."""
    engine._connection_cls = connect  # type: ignore[assignment]  # it is only called
    engine._option_cls = _FollowingEngine


def connects_by(engine: Engine, connect: Callable[[Engine], Connection]) -> bool:
    """True if that is what an engine makes its connections by."""
    return engine._connection_cls is connect


class BorrowedPlace:
    """Somebody else's place in the pool: to close it gives nothing back."""

    def __init__(self, place: PoolProxiedConnection) -> None:
        self._place = place

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever the place has
        return getattr(self._place, name)

    def close(self) -> None:
        """Leave it to its owner."""

    def _close_special(self, transaction_reset: bool = False) -> None:
        """Leave it to its owner."""


def values_of(statement: Insert) -> Mapping[Any, Any] | None:
    """The set of values that an INSERT was given; `None` where it was given none, or several."""
    values: Mapping[Any, Any] | None = statement._values
    return values


def without_values(statement: Insert) -> Insert:
    """A copy of an INSERT that has no values, and takes rows of a SELECT instead."""
    copy = statement._clone()
    copy._values = None
    return copy


def driver_type_of(kind: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any] | None:
    """What a type is to the driver, undecorated; `None` if SQL stands around its values."""
    if kind.dialect_impl(dialect)._has_bind_expression:
        return None
    return kind._unwrapped_dialect_impl(dialect)


def with_whole_list(
    membership: BinaryExpression[Any], kind: TypeEngine[Any]
) -> BinaryExpression[Any]:
    """A copy of an IN whose list of values is one parameter of that type, under its own name."""
    copy = membership._clone()
    values: Any = membership.right._clone(maintain_key=True)
    values.expanding, values.type = False, kind
    copy.right = values
    return copy


def listeners_of(target: object, name: str) -> Collection[Callable[..., Any]]:
    """Whoever listens to an event of an engine, dialect, session, mapper or class, in order."""
    listeners: Collection[Callable[..., Any]] = getattr(target.dispatch, name)  # type: ignore[attr-defined]  # whatever has events
    return listeners


def original_of(listener: Callable[..., Any]) -> Callable[..., Any]:
    """A listener as it was given to `event.listen`, out of what SQLAlchemy wrapped it in."""
    while listener.__module__ in _WRAPPERS:
        inside = _enclosed_in(listener)
        found = inside.get("orig_fn") or inside.get("fn")
        if found is None:
            break
        listener = found
    return listener


def is_of_composite(listener: Callable[..., Any]) -> bool:
    """True if a listener only forgets what a `composite()` was made of, once its columns change."""
    return original_of(listener).__module__ == _COMPOSITES


def coerced_by(listener: Callable[..., Any]) -> tuple[Collection[str], type] | None:
    """What a listener of `sqlalchemy.ext.mutable` makes into its own class, after a flush.

    Returns:
        The attributes that it does so with, and that class; `None` of anybody else's listener.
    """
    if f"{listener.__module__}:{listener.__qualname__}" != _MUTABLE_LISTENER:
        return None
    load = _enclosed_in(listener)["load"]
    inside = _enclosed_in(load)
    return ({inside["key"]} if inside["coerce"] else ()), inside["cls"]


def _enclosed_in(function: Callable[..., Any]) -> Mapping[str, Any]:
    """The variables of the functions around one that it uses, as far as they were set."""
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None)
    if code is None or cells is None:
        return {}
    found = {}
    for name, cell in zip(code.co_freevars, cells, strict=True):
        with suppress(ValueError):  # an empty cell
            found[name] = cell.cell_contents
    return found


def takes_context(default: CallableColumnDefault) -> bool:
    """True if a column's function is given the statement's context, by which it may send more."""
    return default.arg is default._fn


def has_listeners(connection: Connection) -> bool:
    """True if anybody listens to this one connection, beside who listens to its engine."""
    return connection._has_events


def is_orphan(mapper: Mapper[Any], state: InstanceState[Any]) -> bool:
    """True if a flush would delete an object, or leave it out, because it lost its parent."""
    return mapper._is_orphan(state)


def relations_watching(mapper: Mapper[Any]) -> Iterator[RelationshipProperty[Any]]:
    """The relations of other mappers that follow a change of this one's key."""
    for processor in mapper._dependency_processors:
        yield processor.prop


def raise_translated(
    adapter: type[AsyncAdapt_dbapi_connection], dbapi: object, error: Exception
) -> NoReturn:
    """Raise what a driver raised while it connected, as the class that SQLAlchemy knows."""
    adapter._handle_exception_no_connection(dbapi, error)


class EntityGetters(NamedTuple):
    """Where the parts of one entity stand in a row.

    Attributes:
        mapper: of its class.
        key_of: picks the primary key's values.
        attributes: their names and places.
        path: by which its objects remember how they were loaded.
    """

    mapper: Mapper[Any]
    key_of: Callable[[Sequence[Any]], tuple[Any, ...]]
    attributes: tuple[tuple[str, int], ...]
    path: Any


class Selected(NamedTuple):
    """What the ORM knows of a SELECT that it has executed.

    Attributes:
        getters: of each entity and column, in order.
        entities: SQLAlchemy's own words for them.
        columns: the columns of the driver's rows, with the processors of their types.
        processors: of the parameters, by name.
        is_single_entity: whether a row is one object rather than a tuple.
        metadata: of its results, where it is that of every statement of this structure.
    """

    getters: tuple[EntityGetters | Callable[[Sequence[Any]], Any], ...]
    entities: tuple[Any, ...]
    columns: Any
    processors: Mapping[str, Callable[[Any], Any]]
    is_single_entity: bool
    metadata: SimpleResultMetaData | None


class Returned(NamedTuple):
    """How a compiled statement that returns rows, and was executed before, is sent and read.

    Attributes:
        compiled: the statement.
        names: of the columns.
        tuples: rows of the driver's, each value as its column's type has it.
        processors: of the parameters, by name.
        order: of the parameters.
    """

    compiled: SQLCompiler
    names: tuple[str, ...]
    tuples: Callable[[Sequence[Any]], Sequence[Sequence[Any]]]
    processors: Mapping[str, Callable[[Any], Any]]
    order: tuple[str, ...]

    def arguments(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Put values in the statement's order, as the driver takes them."""
        return arguments_of(values, self.processors, self.order)


def returned_by(compiled: SQLCompiler) -> Returned | None:
    """How a compiled statement is sent and read; `None` where it takes SQLAlchemy's execution.

    That is due where it was not executed yet, returns nothing, or has values or text that are made
    for each execution.
    """
    columns: Internal = compiled._cached_metadata
    is_made_anew = (
        compiled.literal_execute_params
        or compiled.post_compile_params
        or compiled.insert_prefetch
        or compiled.update_prefetch
        or compiled.execution_options
    )
    if columns is None or is_made_anew:
        return None
    processors = cast("Mapping[str, Callable[[Any], Any]]", compiled._bind_processors)
    order = tuple(compiled.positiontup or ())
    return Returned(compiled, tuple(columns.keys), tuples_from(columns), processors, order)


def arguments_of(
    values: Mapping[str, Any],
    processors: Mapping[str, Callable[[Any], Any]],
    order: Iterable[str],
) -> tuple[Any, ...]:
    """Put values in a statement's order, each as its processor makes it."""
    return tuple(
        [processors[name](values[name]) if name in processors else values[name] for name in order]
    )


def compiled_with_values(
    statement: Executable, engine: Engine, given: Mapping[str, Any]
) -> tuple[object, dict[str, Any]]:
    """A statement as its engine keeps it compiled, and the values of this one, by name."""
    element: Internal = statement
    compiled, extracted, of_params, _ = element._compile_w_cache(
        engine.dialect,
        compiled_cache=engine._compiled_cache,
        column_keys=sorted(given),
        linting=engine.dialect.compiler_linting | WARN_LINTING,
    )
    if not isinstance(compiled, SQLCompiler):
        return compiled, {}
    values = compiled.construct_params(
        given, extracted, escape_names=False, _collected_params=of_params
    )
    return compiled, dict(values)


def selected_by(compiled: SQLCompiler) -> Selected | str | None:
    """What a compiled SELECT of the ORM's loads; why that is not known; `None` for not yet."""
    state, columns = compiled.compile_state, compiled._cached_metadata
    if not isinstance(state, _ORMSelectCompileState):
        return "it is no SELECT of the ORM's"
    if columns is None:
        return None
    if compiled.literal_execute_params or compiled.post_compile_params:
        return "its text depends on its values"
    if state.compile_options._is_star or state.multi_row_eager_loaders:
        return "its rows are not known by entities"
    entities = tuple(state._entities)
    getters = []
    for entity in entities:
        found = _getters_of(entity, state, columns)
        if isinstance(found, str):
            return found
        getters.append(found)
    processors = cast("Mapping[str, Callable[[Any], Any]]", compiled._bind_processors)
    is_single = len(entities) == 1 and entities[0].supports_single_entity
    is_lasting = not any(getattr(each, "translate_raw_column", False) for each in entities)
    metadata = _metadata_of(entities, None, partial(_filters, entities)) if is_lasting else None
    return Selected(tuple(getters), entities, columns, processors, is_single, metadata)


def _getters_of(
    entity: Internal, state: Internal, columns: Internal
) -> EntityGetters | Callable[[Sequence[Any]], Any] | str:
    row: Result[Any] = IteratorResult(columns, iter(()))
    options = QueryContext.default_load_options
    context = QueryContext(
        state, state.select_statement, state.select_statement, {}, Session(), options
    )
    context.post_load_paths = {}
    context.runid = 0
    if type(entity) in _PLAIN_COLUMNS:
        if entity._non_hashable_value or entity._null_column_type:
            return "a column may not be hashable"
        getter: Callable[[Sequence[Any]], Any] = entity.row_processor(context, row)[0]
        return getter
    if type(entity) is not _MapperEntity or entity.entity_zero is not entity.mapper:
        return "it selects something else than columns and classes"
    mapper: Mapper[Any] = entity.mapper
    if mapper.inherits is not None or mapper.polymorphic_map or mapper.always_refresh:
        return "a class is polymorphic, or refreshed by each load"
    entity.row_processor(context, row)  # type: ignore[no-untyped-call]  # it has no types
    found = entity.path.get(state.attributes, ("getters", mapper), None)
    populators = {kind: list(each) for kind, each in found["cached_populators"].items()}
    for prop in found["todo"]:
        prop.create_row_processor(context, entity, entity.path, mapper, row, None, populators)
    places = populators.pop("quick")
    if any(populators.values()) or context.post_load_paths or state.current_path.path:
        return "an attribute is loaded in a way of its own"
    width = range(len(columns._keys))
    attributes = tuple((name, getter(width)) for name, getter in places)
    return EntityGetters(mapper, found["primary_key_getter"], attributes, entity.path)


def tuples_from(columns: Internal) -> Callable[[Sequence[Any]], Sequence[Sequence[Any]]]:
    """Make tuples of a driver's rows, each value as its column's type has it."""
    result: Any = IteratorResult(columns, iter(()))
    made: Callable[[Sequence[Any]], Sequence[Sequence[Any]]] = result._row_getter[2]
    return made


def is_missing_key(mapper: Mapper[Any]) -> Callable[[tuple[Any, ...]], object]:
    """Tell for a mapper if the values of a primary key stand for no object."""
    return _none_set.issuperset if mapper.allow_partial_pks else _none_set.intersection


def next_run() -> int:
    """A number for the loading of one result."""
    return _new_runid()


def result_of_chunks(
    selected: Selected,
    statement: Select[*tuple[Any, ...]],
    count: int,
    make: Callable[[slice], list[Any]],
    *,
    is_buffered: bool,
) -> Result[Any]:
    """The result that the ORM gives for its entities.

    Args:
        selected: what they are.
        statement: of this time; its columns find their values in a row.
        count: how many rows there are.
        make: makes some of them.
        is_buffered: whether all of them are made now, rather than when they are asked for.
    """
    is_unique = False
    position = 0

    def filters(result: Internal) -> list[Any]:
        nonlocal is_unique
        is_unique = True
        return _filters(selected.entities, result)

    def chunks(size: int | None) -> Iterator[list[Any]]:
        nonlocal position
        while True:
            if size and is_unique:
                raise InvalidRequestError(_UNIQUE)
            if size and position >= count:
                return
            start, position = position, min(count, position + size) if size else count
            yield make(slice(start, position))
            if not size:
                return

    buffered = list(chunks(None)) if is_buffered else None
    metadata = selected.metadata if is_buffered else None
    result: ChunkedIteratorResult[Any] = ChunkedIteratorResult(
        metadata or _metadata_of(selected.entities, statement, filters),
        chunks if buffered is None else lambda _: iter(buffered),
        source_supports_scalars=selected.is_single_entity,
    )
    has_entities = any(isinstance(each, _MapperEntity) for each in selected.entities)
    result._attributes = result._attributes.union(
        {"filtered": has_entities, "is_single_entity": selected.is_single_entity}
    )
    return result


def _filters(entities: tuple[Internal, ...], result: Internal) -> list[Any]:
    if result._yield_per:
        raise InvalidRequestError(_UNIQUE)
    return [id if each.use_id_for_hash else None for each in entities]


def _metadata_of(
    entities: tuple[Internal, ...], statement: Internal, filters: Callable[[Internal], list[Any]]
) -> SimpleResultMetaData:
    labels = [each._label_name for each in entities]
    extra = [_extra_of(each, statement) for each in entities]
    return SimpleResultMetaData(labels, extra, _create_unique_filters=filters)


def _extra_of(entity: Internal, statement: Internal) -> tuple[Any, ...]:
    found: tuple[Any, ...] = entity._extra_entities
    if getattr(entity, "translate_raw_column", False):
        found += (statement._raw_columns[entity.raw_column_index],)
    return found


def context_of(
    connection: Connection, compiled: SQLCompiler, statement: Executable, sending: tuple[Any, ...]
) -> DefaultExecutionContext:
    """What listeners and the handling of errors know of a statement: its driver's cursor, too.

    Args:
        connection: that sends it.
        compiled: without its values.
        statement: as it was made.
        sending: its text, its arguments, and the values by name.
    """
    dialect, fairy = connection.dialect, connection._dbapi_connection
    context: Any = dialect.execution_ctx_cls.__new__(dialect.execution_ctx_cls)
    context.root_connection, context._dbapi_connection = connection, fairy
    context.dialect, context.compiled, context.invoked_statement = dialect, compiled, statement
    context.execution_options = NO_OPTIONS
    context.unicode_statement = context.statement = sending[0]
    context.parameters, context.compiled_parameters = [sending[1]], [sending[2]]
    context.cache_hit = dialect.CACHE_HIT
    context.cursor = context.create_cursor()
    context.pre_exec()
    found: DefaultExecutionContext = context
    return found


def brief_connection(engine: Engine, fairy: PoolProxiedConnection) -> Connection:
    """SQLAlchemy's connection for one statement on what the pool lent; nobody hears of it."""
    return Connection(engine, fairy, _has_events=False)


def raise_handled(
    connection: Connection, error: BaseException, context: DefaultExecutionContext
) -> NoReturn:
    """Raise what a statement failed with, as SQLAlchemy does; a lost connection is dropped."""
    connection._handle_dbapi_exception(
        error, context.statement, context.parameters[0], context.cursor, context
    )


def is_outdated(record: ConnectionPoolEntry, pool: Pool) -> bool:
    """True if a connection of a pool's is replaced before it is used again."""
    entry: Any = record
    started: float = entry.starttime
    return pool._invalidate_time > started or entry._soft_invalidate_time > started


def place_of(pool: Pool, record: ConnectionPoolEntry | None) -> PoolProxiedConnection:
    """SQLAlchemy's place around a connection that was taken without one, as a checkout makes it."""
    entry: Any = record
    place = _ConnectionFairy(pool, entry.dbapi_connection, entry, pool._should_log_debug())
    entry.fairy_ref = ref(place, _forget)
    place._counter = 1
    return place


def _forget(_reference: object) -> None:
    """SQLAlchemy gives its own references a callback that does nothing, too."""


def schema_changed_at(dialect: Dialect) -> float:
    """When tables were last changed by this process, on the wall clock, as far as it knows."""
    changed: float = getattr(dialect, "_invalidate_schema_cache_asof", 0.0)
    return changed


def lend(engine: Engine) -> PoolProxiedConnection:
    """A connection of the pool's; errors are those of `engine.connect()`."""
    try:
        return engine.raw_connection()
    except engine.dialect.loaded_dbapi.Error as error:
        Connection._handle_dbapi_exception_noconnection(error, engine.dialect, engine)


def begin_as_if_connected(session: Session) -> None:
    """Begin a session's transaction, of which no connection knows yet."""
    session._autobegin_t()


def is_clean(session: Session) -> bool:
    """True if a flush would do nothing, and none is running."""
    return not session._flushing and session._is_clean()


def is_active(transaction: SessionTransaction) -> bool:
    """True if a session's transaction can go on, and no other task is beginning it."""
    return transaction._state is SessionTransactionState.ACTIVE


def is_echoing(engine: Engine) -> bool:
    """True if an engine logs its statements."""
    return engine._should_log_info()


def has_usual_load_options(options: Mapping[str, Any]) -> bool:
    """True if execution options ask the ORM to load as it always does."""
    usual = QueryContext.default_load_options
    return all(
        name in ("prebuffer_rows", "_result_disable_adapt_to_context")
        or (name == "_sa_orm_load_options" and value is usual)
        for name, value in options.items()
    )


def has_statement_options(statement: Select[*tuple[Any, ...]]) -> bool:
    """True if a statement has execution options or loader options."""
    return bool(statement._execution_options or statement._with_options)


def is_orm_statement(statement: Executable) -> bool:
    """True if a statement loads by the ORM."""
    return bool(statement._propagate_attrs.get("compile_state_plugin") == "orm")


def entrance_of(identities: IdentityMap) -> Callable[[InstanceState[Any], Any], None]:
    """Puts the state of a new object into an identity map."""
    return identities._add_unpresent


def commit_loaded(
    state: InstanceState[Any], values: dict[str, Any], identities: IdentityMap
) -> None:
    """Note that all of an object's attributes are as the database has them."""
    state._commit_all(values, identities)


def commit_attributes(
    state: InstanceState[Any], values: dict[str, Any], names: Iterable[str]
) -> None:
    """Note that some of an object's attributes are as the database has them."""
    state._commit(values, names)


_VALUES = "a statement is answered with the values of another one, maybe another caller's"
_ONE_TRIP = "a write that is alone takes three round trips, or commits half of a unit of work"
_BOUNDS = "statements on {} go without deadline and count, and BEGIN goes out before each of them"
_BOUNDS_ASYNCPG, _BOUNDS_PSYCOPG = _BOUNDS.format("asyncpg"), _BOUNDS.format("psycopg")
_EMPTY_ASYNCPG = "results of asyncpg's have no columns, no rows, or errors of another class"
_UNTRANSLATED = "errors of the driver are not classified: a duplicate is answered 500 and not 409"
_START = "the first request of a process pays more round trips for what is known already"
_GUARD = "an INSERT under a condition fails, or a duplicate is told to who may not write"
_SANDBOX = "what a test writes through the engine stays, and later tests see it"
_STOCK_OPTIONS = "what the driver does on an engine with options stays after a rollback"
_PINNED = "a session fails after its first read, or holds a connection until its end"
_PLANS = "rows become the wrong objects or values, or reads cost what they cost SQLAlchemy"
_TAKEN = "a connection that failed is lent again, or its error is of another class"
_MADE_ANEW = "a column gets no default, or a statement the values of an earlier one"
_LISTS = "a list repeats rows, leaves some out, or counts them wrongly"
_ORPHANS = "a row that others need is deleted, and they are orphaned in silence"
_PREPARES = "an IN with another number of values is prepared anew, or finds other rows"
_LAZY = "a relation that was not loaded sends a query by surprise"

_CURSOR = "sqlalchemy.connectors.asyncio:AsyncAdapt_dbapi_cursor"
_CONNECTION = "sqlalchemy.connectors.asyncio:AsyncAdapt_dbapi_connection"
_ASYNCPG = "sqlalchemy.dialects.postgresql.asyncpg"
_PSYCOPG = "sqlalchemy.dialects.postgresql.psycopg"
_POSTGRESQL = "sqlalchemy.dialects.postgresql.base:PGDialect"
_LOADER = "sqlalchemy.orm.strategies:_LazyLoader"

SEAMS: Final = (
    # what is read or called
    Seam("sqlalchemy", "__version__", ATTRIBUTE, "nothing is shared, and nothing goes alone"),
    Seam("sqlalchemy.sql._util_cy", "anon_map", ATTRIBUTE, _VALUES),
    Seam("sqlalchemy.sql.cache_key", "NO_CACHE", ATTRIBUTE, _VALUES),
    Seam("sqlalchemy.sql.cache_key:CacheConst", "PARAMS", ATTRIBUTE, _VALUES),
    Seam(
        "sqlalchemy.sql.cache_key:HasCacheKey",
        "_gen_cache_key",
        "(self, am, bindparams)",
        _VALUES,
    ),
    Seam("sqlalchemy:BindParameter", "callable", ATTRIBUTE, _VALUES),
    Seam("sqlalchemy:BindParameter", "effective_value", ATTRIBUTE, _VALUES),
    Seam("sqlalchemy:BindParameter", "required", ATTRIBUTE, _VALUES),
    Seam(
        "sqlalchemy.sql.elements:ClauseElement",
        "_set_memoized_attribute",
        "(self, key, value)",
        "a statement is taken apart anew at each execution, or a copy of it answers for the first",
    ),
    Seam(
        "sqlalchemy.sql.elements",
        "_anonymous_label",
        ATTRIBUTE,
        "an unnamed column under a key is kept by a name that no replay finds",
    ),
    Seam(
        "sqlalchemy.engine.cursor",
        "_result_disable_adapt_to_context",
        LITERAL,
        "each execution matches its columns anew: slower, never wrong",
    ),
    Seam("sqlalchemy:Insert", "_values", ATTRIBUTE, _GUARD),
    Seam("sqlalchemy:Insert", "_clone", "(self, **kw)", _GUARD),
    Seam("sqlalchemy:Connection", "_has_events", ATTRIBUTE, _ONE_TRIP),
    Seam("sqlalchemy:Engine", "_connection_cls", ATTRIBUTE, _PINNED),
    Seam("sqlalchemy:Engine", "_option_cls", ATTRIBUTE, _STOCK_OPTIONS),
    Seam("sqlalchemy:Connection", "_begin_impl", "(self, transaction)", _SANDBOX),
    Seam(
        "sqlalchemy.pool.base:_ConnectionFairy",
        "_close_special",
        "(self, transaction_reset)",
        _SANDBOX,
    ),
    Seam("sqlalchemy.engine.base:OptionEngine", "_proxied", ATTRIBUTE, _STOCK_OPTIONS),
    Seam("sqlalchemy:Connection", "_dbapi_connection", ATTRIBUTE, _PINNED),
    Seam("sqlalchemy:Connection", "_nested_transaction", ATTRIBUTE, _PINNED),
    Seam("sqlalchemy:Connection", "_revalidate_connection", "(self)", _PINNED),
    Seam("sqlalchemy:Connection", "_commit_impl", "(self)", _PINNED),
    Seam("sqlalchemy:Connection", "_rollback_impl", "(self)", "a rollback begins a transaction"),
    Seam("sqlalchemy:Engine", "dispatch", ATTRIBUTE, _ONE_TRIP),
    Seam("sqlalchemy:Dialect", "dispatch", ATTRIBUTE, _ONE_TRIP),
    Seam("sqlalchemy.orm:Session", "dispatch", ATTRIBUTE, _ONE_TRIP),
    Seam("sqlalchemy.orm:Mapper", "dispatch", ATTRIBUTE, _ONE_TRIP),
    Seam("sqlalchemy.orm:ClassManager", "dispatch", ATTRIBUTE, _ONE_TRIP),
    Seam("sqlalchemy.engine.events", "orig_fn", LITERAL, _ONE_TRIP),
    Seam("sqlalchemy.engine.events", "fn", LITERAL, _ONE_TRIP),
    Seam("sqlalchemy.orm.events", "fn", LITERAL, _ONE_TRIP),
    Seam("sqlalchemy.event.legacy", "fn", LITERAL, _ONE_TRIP),
    Seam("sqlalchemy.orm.descriptor_props", "insert_update_handler", LITERAL, _ONE_TRIP),
    Seam("sqlalchemy.ext.mutable:MutableBase", "_listen_on_attribute", ATTRIBUTE, _ONE_TRIP),
    Seam("sqlalchemy.sql.schema:CallableColumnDefault", "_fn", ATTRIBUTE, _ONE_TRIP),
    Seam("sqlalchemy.orm:Mapper", "_is_orphan", "(self, state)", _ONE_TRIP),
    Seam("sqlalchemy.orm:Mapper", "_dependency_processors", ATTRIBUTE, _ONE_TRIP),
    Seam("sqlalchemy.orm.dependency:_DetectKeySwitch", "prop", ATTRIBUTE, _ONE_TRIP),
    # what a ready plan is made of
    Seam(
        "sqlalchemy.orm:Session",
        "_execute_internal",
        "(self, statement, params, *, execution_options, bind_arguments, _parent_execute_state, "
        "_add_event, _scalar_result)",
        _PLANS,
    ),
    *(
        Seam(owner, name, ATTRIBUTE, _PLANS)
        for owner, names in {
            "sqlalchemy:Connection": ("_handle_dbapi_exception_noconnection",),
            "sqlalchemy:Engine": ("_compiled_cache", "_should_log_info"),
            "sqlalchemy:Select": (
                "_compile_w_cache",
                "_execution_options",
                "_propagate_attrs",
                "_raw_columns",
            ),
            "sqlalchemy.engine.default:DefaultExecutionContext": (
                "_dbapi_connection",
                "create_cursor",
                "pre_exec",
            ),
            "sqlalchemy.engine.base": ("NO_OPTIONS",),
            "sqlalchemy.engine.result:Result": ("_attributes", "_row_getter", "_yield_per"),
            "sqlalchemy.engine.result:ResultMetaData": ("_keys",),
            "sqlalchemy.orm:Session": (
                "_autobegin_t",
                "_flushing",
                "_is_clean",
                "_transaction",
            ),
            "sqlalchemy.orm:SessionTransaction": ("_state",),
            "sqlalchemy.orm.base": ("_none_set",),
            "sqlalchemy.orm.context": (
                "QueryContext",
                "_MapperEntity",
                "_ORMColumnEntity",
                "_ORMSelectCompileState",
                "_RawColumnEntity",
            ),
            "sqlalchemy.orm.context:_MapperEntity": ("_extra_entities", "_label_name"),
            "sqlalchemy.orm.context:_ORMColumnEntity": ("_non_hashable_value", "_null_column_type"),
            "sqlalchemy.orm.context:_ORMSelectCompileState": ("_entities",),
            "sqlalchemy.orm.identity:IdentityMap": ("_add_unpresent",),
            "sqlalchemy.orm.loading": ("_new_runid",),
            "sqlalchemy.sql.compiler:SQLCompiler": ("_bind_processors", "_cached_metadata"),
        }.items()
        for name in names
    ),
    Seam(
        "sqlalchemy:Connection",
        "_handle_dbapi_exception",
        "(self, e, statement, parameters, cursor, context, is_sub_exec)",
        _PLANS,
    ),
    Seam("sqlalchemy.orm:InstanceState", "_commit", "(self, dict_, keys)", _PLANS),
    Seam("sqlalchemy.orm:InstanceState", "_commit_all", "(self, dict_, instance_dict)", _PLANS),
    Seam("sqlalchemy.orm.loading", "getters", LITERAL, _PLANS),
    # connections that are taken out of the pool as they are
    *(
        Seam(owner, name, ATTRIBUTE, _TAKEN)
        for owner, name in (
            ("sqlalchemy.pool:Pool", "_invalidate_time"),
            ("sqlalchemy.pool.base:_ConnectionRecord", "_soft_invalidate_time"),
            ("sqlalchemy.pool.base:_ConnectionRecord", "fairy_ref"),
            ("sqlalchemy.pool.base:_ConnectionFairy", "_counter"),
        )
    ),
    Seam(
        "sqlalchemy.pool.base:_ConnectionFairy",
        "__init__",
        "(self, pool, dbapi_connection, connection_record, echo)",
        _TAKEN,
    ),
    Seam("sqlalchemy.pool:Pool", "_should_log_debug", "(self)", _TAKEN),
    Seam(
        "sqlalchemy.dialects.postgresql.asyncpg:PGDialect_asyncpg",
        "_invalidate_schema_cache_asof",
        ATTRIBUTE,
        "a statement that is older than its table fails again and again",
    ),
    *(
        Seam("sqlalchemy.sql.compiler:SQLCompiler", name, ATTRIBUTE, _MADE_ANEW)
        for name in (
            "execution_options",
            "insert_prefetch",
            "literal_execute_params",
            "post_compile_params",
            "update_prefetch",
        )
    ),
    # what a SELECT is made of
    *(
        Seam("sqlalchemy:Select", name, ATTRIBUTE, _LISTS)
        for name in (
            "_limit_clause",
            "_offset_clause",
            "_fetch_clause",
            "_order_by_clauses",
            "_distinct",
            "_distinct_on",
            "_pre_columns_clause",
            "_group_by_clauses",
            "_having_criteria",
            "_with_options",
        )
    ),
    Seam("sqlalchemy.sql.util", "_deep_deannotate", ATTRIBUTE, _LISTS),
    Seam("sqlalchemy.sql.cache_key:HasCacheKey", "_generate_cache_key", "(self)", _LISTS),
    Seam("sqlalchemy:BindParameter", "_orig_key", ATTRIBUTE, "a refused value has no field"),
    Seam("sqlalchemy.orm:RelationshipProperty", "_reverse_property", ATTRIBUTE, _ORPHANS),
    Seam("sqlalchemy.orm:RelationshipProperty", "_dependency_processor", ATTRIBUTE, _ORPHANS),
    # membership
    Seam(
        "sqlalchemy.sql.compiler:SQLCompiler",
        "_generate_generic_binary",
        "(self, binary, opstring, eager_grouping, **kw)",
        _PREPARES,
    ),
    Seam("sqlalchemy:BindParameter", "_clone", "(self, maintain_key, **kw)", _PREPARES),
    Seam("sqlalchemy:BindParameter", "expanding", ATTRIBUTE, _PREPARES),
    Seam("sqlalchemy.types:TypeEngine", "_has_bind_expression", ATTRIBUTE, _PREPARES),
    Seam("sqlalchemy.types:TypeEngine", "_unwrapped_dialect_impl", "(self, dialect)", _PREPARES),
    Seam("sqlalchemy:BinaryExpression", "_clone", "(self, **kw)", _PREPARES),
    # lazy loads
    Seam(_LOADER, "_invoke_raise_load", "(self, state, passive, lazy)", _LAZY),
    Seam(_LOADER, "_raise_on_sql", ATTRIBUTE, _LAZY),
    Seam(_LOADER, "__init__", "(self, parent, strategy_key)", "table classes cannot be declared"),
    # the adapters of both drivers
    Seam(_CONNECTION, "_handle_exception", "(self, error)", _UNTRANSLATED),
    Seam(_CONNECTION, "_handle_exception_no_connection", "(cls, dbapi, error)", _UNTRANSLATED),
    Seam(_CONNECTION, "_execute_mutex", ATTRIBUTE, "two at once on one session poison it"),
    # asyncpg's
    Seam(
        f"{_ASYNCPG}:AsyncAdapt_asyncpg_cursor",
        "_prepare_and_execute",
        "async (self, operation, parameters)",
        _BOUNDS_ASYNCPG,
    ),
    Seam(
        f"{_ASYNCPG}:AsyncAdapt_asyncpg_cursor",
        "_executemany",
        "async (self, operation, seq_of_parameters)",
        _BOUNDS_ASYNCPG,
    ),
    Seam(
        f"{_ASYNCPG}:AsyncAdapt_asyncpg_connection",
        "__init__",
        "(self, dbapi, connection, prepared_statement_cache_size, prepared_statement_name_func)",
        "nothing can connect with asyncpg",
    ),
    Seam(
        f"{_ASYNCPG}:AsyncAdapt_asyncpg_connection",
        "_cursor_cls",
        ATTRIBUTE,
        _BOUNDS_ASYNCPG,
    ),
    Seam(
        f"{_ASYNCPG}:AsyncAdapt_asyncpg_connection",
        "_ss_cursor_cls",
        ATTRIBUTE,
        "stream() goes without a deadline",
    ),
    Seam(
        f"{_ASYNCPG}:AsyncAdapt_asyncpg_connection",
        "_prepare",
        "async (self, operation, invalidate_timestamp)",
        "a write that was lost on its way is answered as if it had not happened",
    ),
    Seam(
        f"{_ASYNCPG}:AsyncAdapt_asyncpg_connection",
        "_check_type_cache_invalidation",
        "async (self, invalidate_timestamp)",
        "a batch meets types of before a change of its tables",
    ),
    Seam(f"{_ASYNCPG}:AsyncAdapt_asyncpg_connection", "_connection", ATTRIBUTE, _BOUNDS_ASYNCPG),
    *(
        Seam(f"{_ASYNCPG}:AsyncAdapt_asyncpg_cursor", name, ATTRIBUTE, _EMPTY_ASYNCPG)
        for name in (
            "_description",
            "_handle_exception",
            "_invalidate_schema_cache_asof",
            "_rowcount",
        )
    ),
    # psycopg's
    Seam(_CURSOR, "_aenter_cursor", "(self, cursor)", "each statement on psycopg switches tasks"),
    Seam(_CURSOR, "_cursor", ATTRIBUTE, _BOUNDS_PSYCOPG),
    Seam(_CURSOR, "_make_new_cursor", "(self, connection)", "each statement makes two cursors"),
    Seam(_CURSOR, "_rows", ATTRIBUTE, "results of psycopg's are empty"),
    Seam(
        f"{_PSYCOPG}:AsyncAdapt_psycopg_cursor",
        "_execute_async",
        "async (self, operation, parameters)",
        _BOUNDS_PSYCOPG,
    ),
    Seam(
        f"{_PSYCOPG}:AsyncAdapt_psycopg_cursor",
        "_executemany_async",
        "async (self, operation, seq_of_parameters)",
        _BOUNDS_PSYCOPG,
    ),
    Seam(
        f"{_PSYCOPG}:AsyncAdapt_psycopg_ss_cursor",
        "_execute_async",
        "async (self, operation, parameters)",
        "stream() goes without a deadline",
    ),
    Seam(
        f"{_PSYCOPG}:PGDialect_psycopg",
        "_psycopg_adapters_map",
        ATTRIBUTE,
        "types that SQLAlchemy registers with psycopg (JSON, ranges) come back as text",
    ),
    # dialect and pool
    Seam(_POSTGRESQL, "_get_server_version_info", "(self, connection)", _START),
    Seam(_POSTGRESQL, "_get_default_schema_name", "(self, connection)", _START),
    Seam(_POSTGRESQL, "_set_backslash_escapes", "(self, connection)", _START),
    Seam(_POSTGRESQL, "_backslash_escapes", ATTRIBUTE, "text with a backslash is quoted wrongly"),
    Seam(
        "sqlalchemy.pool:QueuePool",
        "_do_get",
        "(self)",
        "any number of requests waits for a connection, and a busy database is not told from one "
        "that is away",
    ),
    Seam(
        "sqlalchemy.pool:QueuePool",
        "_do_return_conn",
        "(self, record)",
        "a connection that was given back serves nobody who waits for it",
    ),
    Seam("sqlalchemy.pool:Pool", "_dialect", ATTRIBUTE, "no pool can be made"),
)
