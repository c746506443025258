"""Rows to be listed: any statement, put so that it can be cut between two of its rows.

A page adds a condition, an order and a limit to a statement. That is right where each row of its
tables is a row of the list. Where rows are grouped, made distinct, limited or numbered, the
condition would come too early, and where a join multiplies them a page would be cut within one:
such a statement becomes a subquery, of which the page is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Label,
    Select,
    and_,
    func,
    inspect,
    select,
    tuple_,
)
from sqlalchemy.sql.elements import ClauseElement, ColumnClause
from sqlalchemy.sql.selectable import CompoundSelect
from sqlalchemy.types import TypeEngine

from neonkit._seams.sqlalchemy import distinct_on, has_distinct, is_limited, is_ordered, options_of
from neonkit.resources._key_types import distinguishing
from neonkit.resources._row_identity import (
    Columns,
    RowIdentity,
    columns_telling_apart,
    element_of,
    froms_of,
    has_window,
    identity_of,
    is_aggregated,
    is_entity,
    is_multiplied,
    is_of_many_rows,
    padded_by,
    parts_of,
    same,
    tables_of,
    unlabelled,
)

Statement = Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]

_ROWS = "neonkit_rows"


@dataclass(frozen=True, eq=False)
class ListedRows:
    """A statement that a page can be cut from.

    Attributes:
        statement: in no order, with all that it selects.
        identity: no two rows share them.
        columns: those that were asked for, as this statement has them.
    """

    statement: Select[*tuple[Any, ...]]
    identity: Columns
    columns: Columns


def listed_rows(statement: Statement, columns: Columns) -> ListedRows:
    """Put a statement so that it can be paged.

    Args:
        statement: whatever is listed.
        columns: expressions over it that are sorted by or searched.

    Raises:
        ValueError: it cannot be paged rightly; the message says what to do.
    """
    if isinstance(statement, CompoundSelect):
        statement, columns = _selected_from(statement, columns)
    if not isinstance(statement, Select):
        raise ValueError(
            f"paginate cannot add to a {type(statement).__name__}: select from it as a subquery"  # nosec B608 # a message
        )
    entity = _only_entity(statement)
    identity = RowIdentity(statement)
    if entity is not None:
        return _entities(statement, entity, identity, columns)
    is_plain = not (
        _is_final(statement) or is_multiplied(statement) or any(map(is_of_many_rows, columns))
    )
    if is_plain and identity.columns is not None:
        return ListedRows(statement.order_by(None), identity.columns, columns)
    return _Wrapped(statement, identity).rows(columns)


def _is_final(statement: Select[*tuple[Any, ...]]) -> bool:
    """True where a condition added to a statement would change the rows that stay."""
    return (
        has_distinct(statement)
        or is_limited(statement)
        or is_aggregated(statement)
        or has_window(statement)
    )


def _selected_from(
    statement: CompoundSelect[*tuple[Any, ...]], columns: Columns
) -> tuple[Select[*tuple[Any, ...]], Columns]:
    """A set operation as a subquery, and the columns as that has them."""
    whole = statement if is_limited(statement) else statement.order_by(None)
    rows = whole.subquery(_ROWS)
    shown = list(zip(statement.selected_columns, rows.c, strict=True))
    return select(*rows.c), tuple(_among(shown, column) for column in columns)


def _among(
    shown: Sequence[tuple[ColumnElement[Any], ColumnElement[Any]]], column: ColumnElement[Any]
) -> ColumnElement[Any]:
    inner = unlabelled(column)
    for one, outer in shown:
        if same(one, inner) or _is_named(inner, outer):
            return _replaced(column, outer)
    raise _not_selected(column)


def _is_named(column: ColumnElement[Any], outer: ColumnElement[Any]) -> bool:
    """True of a bare name, as `column("id")` is one, or of the subquery's own column."""
    is_bare = isinstance(column, ColumnClause) and column.table is None
    return is_bare and column.key == outer.key


def _replaced(column: ColumnElement[Any], outer: ColumnElement[Any]) -> ColumnElement[Any]:
    return outer.label(column.name) if isinstance(column, Label) else outer


def _not_selected(column: ColumnElement[Any]) -> ValueError:
    return ValueError(
        f"paginate cannot sort or search by {column}: rows that are made distinct or put together "
        "from several statements have only what these select; select it too"
    )


def _only_entity(statement: Select[*tuple[Any, ...]]) -> Any:  # noqa: ANN401  # SQLAlchemy's own: a class or an alias
    described = statement.column_descriptions
    if len(described) == 1 and is_entity(described[0]):
        return described[0]["entity"]
    return None


def _tables_in(expression: ClauseElement) -> set[FromClause]:
    tables = (getattr(part, "table", None) for part in parts_of(expression))
    return {table for table in tables if isinstance(table, FromClause)}


def _entities(
    statement: Select[*tuple[Any, ...]],
    entity: Any,  # noqa: ANN401  # SQLAlchemy's own: a class or an alias
    identity: RowIdentity,
    columns: Columns,
) -> ListedRows:
    """A list of one entity: each is in it once, however often a join repeats it."""
    key = identity_of(entity)
    own = _tables_of_entity(entity)
    _refuse_padded(statement, own, entity)
    is_plain = not any(map(is_of_many_rows, columns))
    if is_plain and not _is_final(statement) and identity.is_decided_by(own):
        if not identity.keyed_by(key) & own:
            raise ValueError(
                f"paginate cannot tell {_name(entity)}'s rows apart: the subquery that they are "
                f"read from may repeat one; list `select({_name(entity)})` where its primary key "
                "is in that subquery"
            )
        return ListedRows(statement.order_by(None), key, columns)
    _refuse_contains_eager(statement)
    if is_plain and all(_tables_in(column) <= own for column in columns):
        chosen = _chosen_keys(statement, key).correlate(None)
        left = key[0] if len(key) == 1 else tuple_(*key)
        rows = _with_options(select(entity).where(left.in_(chosen)), statement)
        return ListedRows(rows, key, columns)
    if is_plain and not _is_final(statement):
        statement = statement.distinct()
    elif not _is_plainly_distinct(statement):
        _refuse_repeated(statement, own, identity, entity)
    return _Wrapped(statement, identity).rows(columns)


def _tables_of_entity(entity: Any) -> set[FromClause]:  # noqa: ANN401  # SQLAlchemy's own
    return set(tables_of(inspect(entity).selectable))


def _is_plainly_distinct(statement: Select[*tuple[Any, ...]]) -> bool:
    return has_distinct(statement) and not distinct_on(statement)


def _refuse_repeated(
    statement: Select[*tuple[Any, ...]],
    own: set[FromClause],
    identity: RowIdentity,
    entity: Any,  # noqa: ANN401  # SQLAlchemy's own
) -> None:
    """Refuse an order by what each entity may have several of."""
    known = columns_telling_apart(statement)
    is_grouped = known is not None and all(_tables_in(each) <= own for each in known)
    if not (is_grouped or identity.is_decided_by(own)):
        name = _name(entity)
        raise ValueError(
            f"paginate cannot sort {name} by what it may have several of: group by {name}'s "
            f"primary key alone, or sort by columns of {name}"
        )


def _chosen_keys(statement: Select[*tuple[Any, ...]], key: Columns) -> Select[*tuple[Any, ...]]:
    """The keys of the entities that a statement selects."""
    on = distinct_on(statement)
    if is_limited(statement):
        rows = statement.order_by(*key).subquery(_ROWS)
        shown = list(zip(statement.selected_columns, rows.c, strict=True))
        return select(*(_among(shown, column) for column in key))
    chosen: Select[*tuple[Any, ...]] = statement.with_only_columns(*key)
    if not on:
        return chosen.order_by(None)
    return _settled(chosen, on, key)


def _settled(
    statement: Select[*tuple[Any, ...]], on: Columns, key: Columns
) -> Select[*tuple[Any, ...]]:
    """A statement that takes one row of several, and always the same."""
    if not is_ordered(statement):
        statement = statement.order_by(*on)
    return statement.order_by(*key)


def _with_options(
    made: Select[*tuple[Any, ...]], statement: Select[*tuple[Any, ...]]
) -> Select[*tuple[Any, ...]]:
    return made.options(*options_of(statement)).execution_options(
        **statement.get_execution_options()
    )


def _refuse_padded(
    statement: Select[*tuple[Any, ...]],
    own: set[FromClause],
    entity: Any,  # noqa: ANN401  # SQLAlchemy's own
) -> None:
    padded = {table for from_ in froms_of(statement) for table in padded_by(from_)}
    if own <= padded:
        name = _name(entity)
        raise ValueError(
            f"paginate cannot list {name} from the far side of an outer join, where rows have no "
            f"{name}: select from {name} and join the other way round"  # nosec B608 # a message
        )


def _refuse_contains_eager(statement: Select[*tuple[Any, ...]]) -> None:
    for option in options_of(statement):
        for element in getattr(option, "context", ()):
            is_joined = getattr(element, "strategy", None) == (("lazy", "joined"),)
            if is_joined and not element.propagate_to_loaders:
                raise ValueError(
                    "paginate cannot fill a relation by contains_eager from a statement that it "
                    "has to put into a subquery (a join repeats its rows, or they are grouped, "
                    "distinct or limited): load the relation with selectinload"
                )


def _name(entity: Any) -> str:  # noqa: ANN401  # SQLAlchemy's own: a class or an alias
    return str(inspect(entity).mapper.class_.__name__)


class _Wrapped:
    """A statement as a subquery; entities are joined to it by their keys.

    Args:
        statement: what is put into the subquery.
        identity: of its tables.
    """

    def __init__(self, statement: Select[*tuple[Any, ...]], identity: RowIdentity) -> None:
        _refuse_contains_eager(statement)
        self._statement = statement
        self._identity = identity
        self._described = statement.column_descriptions
        self._inside: list[ColumnElement[Any]] = []
        self._places = [self._take(described) for described in self._described]
        self._width = len(self._inside)

    def rows(self, columns: Columns) -> ListedRows:
        """The rows of the subquery, told apart by what tells them apart inside."""
        asked = [self._place_of(unlabelled(column)) for column in columns]
        known = columns_telling_apart(self._only(self._inside))
        is_distinct = _is_plainly_distinct(self._statement)
        places = [] if is_distinct or known is None else [self._place_of(each) for each in known]
        found = self._subquery(is_numbered=known is None)
        identity = [found[i] for i in places] or found[: self._width]
        if known is None:
            identity = [*found[: self._width], found[-1]]
        return ListedRows(
            self._outside(found),
            tuple(map(distinguishing, identity)),
            tuple(_replaced(c, found[i]) for c, i in zip(columns, asked, strict=True)),
        )

    def _take(self, described: Any) -> slice:  # noqa: ANN401  # SQLAlchemy's dict
        """Select one thing inside: an entity by its key."""
        start = len(self._inside)
        if is_entity(described):
            self._inside += identity_of(described["entity"])
        elif isinstance(described["type"], TypeEngine):
            self._inside.append(element_of(described["expr"]))
        else:
            raise ValueError(
                f"paginate cannot put {described['name']} into a subquery: select its columns"
            )
        return slice(start, len(self._inside))

    def _place_of(self, expression: ColumnElement[Any]) -> int:
        """Where an expression is selected inside; what is not is added, if that changes no row."""
        for place, known in enumerate(self._inside):
            if same(known, expression) or _is_label_of(expression, known):
                return place
        if _is_plainly_distinct(self._statement) and not _tables_in(
            expression
        ) <= self._identity.keyed_by(self._inside[: self._width]):
            raise _not_selected(expression)
        self._inside.append(expression.label(f"neonkit_{len(self._inside)}"))
        return len(self._inside) - 1

    def _only(self, columns: Sequence[ColumnElement[Any]]) -> Select[*tuple[Any, ...]]:
        only: Select[*tuple[Any, ...]] = self._statement.with_only_columns(*columns)
        return only

    def _subquery(self, *, is_numbered: bool) -> list[ColumnElement[Any]]:
        """The columns of the subquery; numbered, the last one counts the copies of a row."""
        inside = self._only(self._inside)
        on = distinct_on(inside)
        if on or is_limited(inside):
            key = self._identity.columns or ()
            if is_aggregated(inside) or _is_plainly_distinct(inside):
                key = tuple(self._inside[: self._width])
            inside = _settled(inside, on, key)
        else:
            inside = inside.order_by(None)
        found: list[ColumnElement[Any]] = list(inside.subquery(_ROWS).c)
        if len(found) != len(self._inside):
            raise ValueError("paginate needs each column once: the statement selects one twice")
        if is_numbered:
            alike = list(map(distinguishing, found[: self._width]))
            copy = func.row_number().over(partition_by=alike).label("neonkit_copy")
            found = list(select(*found, copy).subquery("neonkit_numbered").c)
        return found

    def _outside(self, found: Sequence[ColumnElement[Any]]) -> Select[*tuple[Any, ...]]:
        things: list[Any] = []
        joins: list[tuple[Any, ColumnElement[bool]]] = []
        for described, place in zip(self._described, self._places, strict=True):
            if not is_entity(described):
                things += found[place]
                continue
            entity = described["entity"]
            pairs = zip(identity_of(entity), found[place], strict=True)
            joins.append((entity, and_(*(key == value for key, value in pairs))))
            things.append(entity)
        rows: Select[*tuple[Any, ...]] = select(*things).select_from(_table(found))
        for entity, on in joins:
            rows = rows.outerjoin(entity, on)
        return _with_options(rows, self._statement)


def _is_label_of(expression: ColumnElement[Any], known: ColumnElement[Any]) -> bool:
    """True where a GROUP BY or an order names a selected column by its label."""
    referred = getattr(expression, "element", None)
    return isinstance(referred, str) and referred == getattr(known, "key", None)


def _table(found: Sequence[ColumnElement[Any]]) -> FromClause:
    table: FromClause = found[0].table
    return table
