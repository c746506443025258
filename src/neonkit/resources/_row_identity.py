"""Identity of rows: the columns that tell each row of a statement from all others of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    CTE,
    BinaryExpression,
    BindParameter,
    BooleanClauseList,
    Column,
    ColumnElement,
    Exists,
    FromClause,
    Index,
    Join,
    Label,
    Over,
    ScalarSelect,
    Select,
    SelectBase,
    Subquery,
    Table,
    UniqueConstraint,
    inspect,
)
from sqlalchemy.sql import coercions, operators, roles
from sqlalchemy.sql.elements import ClauseElement, ColumnClause
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import Alias, CompoundSelect
from sqlalchemy.types import TypeEngine

from neonkit._seams.sqlalchemy import (
    bare_cache_key,
    distinct_on,
    groups_of,
    has_distinct,
    has_having,
)

Columns = tuple[ColumnElement[Any], ...]

_GROUPING_SETS = frozenset({"rollup", "cube", "grouping_sets"})
# fmt: off
_AGGREGATES = frozenset((
    "any_value", "array_agg", "avg", "bit_and", "bit_or", "bit_xor", "bool_and", "bool_or", "corr",
    "count", "covar_pop", "covar_samp", "cume_dist", "dense_rank", "every", "json_agg",
    "json_object_agg", "jsonb_agg", "jsonb_object_agg", "max", "min", "mode", "percent_rank",
    "percentile_cont", "percentile_disc", "range_agg", "range_intersect_agg", "rank", "regr_slope",
    "stddev", "stddev_pop", "stddev_samp", "string_agg", "sum", "var_pop", "var_samp", "variance",
    "xmlagg",
))
_SETS = frozenset((
    "generate_series", "generate_subscripts", "json_array_elements", "json_array_elements_text",
    "json_each", "json_each_text", "json_object_keys", "jsonb_array_elements",
    "jsonb_array_elements_text", "jsonb_each", "jsonb_each_text", "jsonb_object_keys",
    "jsonb_path_query", "regexp_matches", "regexp_split_to_table", "string_to_table", "unnest",
))
# fmt: on


@dataclass(frozen=True)
class _Equality:
    """Two expressions that are equal in each row.

    Attributes:
        sides: of the `=`.
        padded: the tables that an outer join pads where it finds nothing equal; only of these the
            equality decides a row.
    """

    sides: tuple[ColumnElement[Any], ColumnElement[Any]]
    padded: frozenset[FromClause] | None


class RowIdentity:
    """Tables of a statement, and what decides a row of each: unique keys and equalities.

    Args:
        statement: not grouped, not distinct, not limited.
    """

    def __init__(self, statement: Select[*tuple[Any, ...]]) -> None:
        froms = froms_of(statement)
        self._tables = list(dict.fromkeys(t for from_ in froms for t in tables_of(from_)))
        self._equalities = [e for from_ in froms for e in _joined(from_)]
        self._equalities += [_Equality(each, None) for each in _equated(statement.whereclause)]
        self._mapped = _mapped_keys(statement)

    def decided_by(self, tables: Iterable[FromClause]) -> set[FromClause]:
        """The tables of which there is one row at most for each row of these."""
        decided = set(tables)
        is_growing = True
        while is_growing:
            more = {t for t in self._tables if t not in decided and self._is_decided(t, decided)}
            decided |= more
            is_growing = bool(more)
        return decided

    def is_decided_by(self, tables: Iterable[FromClause]) -> bool:
        """True where no row of these is multiplied by a join."""
        return self.decided_by(tables) >= set(self._tables)

    @property
    def columns(self) -> Columns | None:
        """The keys of as few tables as decide all; `None` where one of these has no key."""
        chosen = self._tables[:1]
        for table in self._tables:
            if table not in self.decided_by(chosen):
                chosen.append(table)
        for table in tuple(chosen):
            others = [each for each in chosen if each is not table]
            if others and self.is_decided_by(others):
                chosen = others
        keys = [self._key_of(table) for table in chosen]
        if not keys or any(key is None for key in keys):
            return None
        return tuple(column for key in keys for column in key or ())

    def keyed_by(self, columns: Sequence[ColumnElement[Any]]) -> set[FromClause]:
        """The tables of which there is one row at most for each combination of these columns."""
        tables = [each for each in self._tables if self._is_keyed_by(each, columns)]
        return self.decided_by(tables)

    def _is_keyed_by(self, table: FromClause, columns: Sequence[ColumnElement[Any]]) -> bool:
        known = {_name(column) for column in columns if _table_of(column) == table}
        keys = [*_unique_keys(table, is_strict=True), self._mapped.get(table, ())]
        return any(key and {_name(column) for column in key} <= known for key in keys)

    def _key_of(self, table: FromClause) -> Columns | None:
        found = self._mapped.get(table)
        return found or next(iter(sorted(_unique_keys(table, is_strict=True), key=len)), None)

    def _is_decided(self, table: FromClause, decided: set[FromClause]) -> bool:
        known = {
            _name(ours)
            for equality in self._equalities
            if equality.padded is None or table in equality.padded
            for ours, other in (equality.sides, equality.sides[::-1])
            if _table_of(ours) == table
            and (isinstance(other, BindParameter) or _table_of(other) in decided)
        }
        keys = [*_unique_keys(table), *([self._mapped[table]] if table in self._mapped else [])]
        return any({_name(column) for column in key} <= known for key in keys)


def froms_of(statement: Select[*tuple[Any, ...]]) -> Sequence[FromClause]:
    """The tables and joins of a statement, without those that load relations beside its rows."""
    bare = statement.with_only_columns(*flat_columns(statement))
    found: Sequence[FromClause] = bare.get_final_froms()
    return found


def flat_columns(statement: Select[*tuple[Any, ...]]) -> Iterator[Any]:
    """The things that a statement selects, an entity by its primary key."""
    for described in statement.column_descriptions:
        if is_entity(described):
            yield from identity_of(described["entity"])
        else:
            yield described["expr"]


def is_entity(described: Mapping[str, Any]) -> bool:
    """True of a whole mapped object among the things that a statement selects."""
    entity = described.get("entity")
    return entity is not None and described["expr"] is entity


def tables_of(from_: FromClause) -> Iterator[FromClause]:
    """The tables, aliases and subqueries that a join is made of."""
    if isinstance(from_, Join):
        yield from tables_of(from_.left)
        yield from tables_of(from_.right)
    else:
        yield from_


def padded_by(from_: FromClause, *, is_padded: bool = False) -> Iterator[FromClause]:
    """The tables whose columns an outer join may fill with NULL."""
    if isinstance(from_, Join):
        yield from padded_by(from_.left, is_padded=is_padded or from_.full)
        yield from padded_by(from_.right, is_padded=is_padded or from_.full or from_.isouter)
    elif is_padded:
        yield from_


def element_of(column: Any) -> ColumnElement[Any]:  # noqa: ANN401  # whatever names a column
    """The column element behind what users write, such as a model's attribute."""
    element: ColumnElement[Any] = coercions.expect(roles.ExpressionElementRole, column)
    return element


def identity_of(entity: Any) -> Columns:  # noqa: ANN401  # SQLAlchemy's own: a class or an alias
    """The primary key of a mapped class or of an alias of one, as its mapper knows it."""
    mapper = inspect(entity).mapper
    names = (mapper.get_property_by_column(column).key for column in mapper.primary_key)
    return tuple(element_of(getattr(entity, name)) for name in names)


def columns_telling_apart(statement: Select[*tuple[Any, ...]]) -> Columns | None:
    """The expressions that no two rows of a statement share; `None` where nothing is known."""
    if on := distinct_on(statement):
        return on
    if has_distinct(statement):
        return tuple(statement.selected_columns)
    groups = groups_of(statement)
    if groups:
        is_plain = not any(map(_is_set, groups))
        return groups if is_plain else None
    if is_aggregated(statement) or is_multiplied(statement):
        return None
    return RowIdentity(statement).columns


def is_aggregated(statement: Select[*tuple[Any, ...]]) -> bool:
    """True where several rows become one: GROUP BY, HAVING, an aggregate."""
    return (
        bool(groups_of(statement))
        or has_having(statement)
        or any(
            _calls(column, _AGGREGATES, inside_window=False) for column in _columns_of(statement)
        )
    )


def is_multiplied(statement: Select[*tuple[Any, ...]]) -> bool:
    """True where one row becomes several: a function of sets among the columns."""
    return any(_calls(column, _SETS) for column in _columns_of(statement))


def has_window(statement: Select[*tuple[Any, ...]]) -> bool:
    """True where a column tells of other rows: a window function."""
    return any(map(_has_window, _columns_of(statement)))


def is_of_many_rows(expression: ColumnElement[Any]) -> bool:
    """True of what no WHERE can hold, because it is not made of one row alone."""
    return _has_window(expression) or _calls(expression, _AGGREGATES | _SETS)


def parts_of(element: ClauseElement, *, inside_window: bool = True) -> Iterator[ClauseElement]:
    """An expression and all that it is made of, without going into its subqueries."""
    yield element
    is_closed = isinstance(element, SelectBase | ScalarSelect | Exists)
    if not is_closed and (inside_window or not isinstance(element, Over)):
        for part in element.get_children():
            if isinstance(part, ClauseElement):
                yield from parts_of(part, inside_window=inside_window)


def _has_window(expression: ClauseElement) -> bool:
    return any(isinstance(part, Over) for part in parts_of(expression))


def _calls(expression: ClauseElement, names: frozenset[str], *, inside_window: bool = True) -> bool:
    return any(
        isinstance(part, FunctionElement) and getattr(part, "name", "").lower() in names
        for part in parts_of(expression, inside_window=inside_window)
    )


def _columns_of(statement: Select[*tuple[Any, ...]]) -> Iterator[ClauseElement]:
    """The expressions among what a statement selects; entities have none that matter."""
    for described in statement.column_descriptions:
        if isinstance(described["type"], TypeEngine):
            yield element_of(described["expr"])


def _is_set(expression: ClauseElement) -> bool:
    is_list = not isinstance(expression, ColumnElement)  # as GROUP BY takes apart ROLLUP
    return is_list or getattr(expression, "name", None) in _GROUPING_SETS


def is_distinct(statement: CompoundSelect[Any]) -> bool:
    """True of a set operation that drops equal rows: UNION, INTERSECT, EXCEPT without ALL."""
    return not statement.keyword.name.endswith("_ALL")


def _mapped_keys(statement: Select[*tuple[Any, ...]]) -> dict[FromClause, Columns]:
    """The keys that mappers know, of tables that may have none in the database, such as views."""
    entities = (described.get("entity") for described in statement.column_descriptions)
    keys = [identity_of(entity) for entity in entities if entity is not None]
    return {
        table: key
        for key in keys
        for table in {_table_of(column) for column in key}
        if isinstance(table, Table | Alias) and {_table_of(column) for column in key} == {table}
    }


def _table_of(column: ColumnElement[Any]) -> FromClause | None:
    table: FromClause | None = getattr(column, "table", None)
    return table


def _name(column: ColumnElement[Any]) -> str:
    return str(getattr(column, "key", ""))


def _joined(from_: FromClause) -> Iterator[_Equality]:
    """The equalities of a join's ON; a full join has none, since it pads both of its sides."""
    if not isinstance(from_, Join):
        return
    yield from _joined(from_.left)
    yield from _joined(from_.right)
    if not from_.full:
        padded = frozenset(tables_of(from_.right)) if from_.isouter else None
        yield from (_Equality(sides, padded) for sides in _equated(from_.onclause))


def _equated(
    clause: ColumnElement[Any] | None,
) -> Iterator[tuple[ColumnElement[Any], ColumnElement[Any]]]:
    if isinstance(clause, BooleanClauseList) and clause.operator is operators.and_:
        for part in clause.clauses:
            yield from _equated(part)
    elif isinstance(clause, BinaryExpression) and clause.operator is operators.eq:
        yield clause.left, clause.right


def _unique_keys(table: FromClause, *, is_strict: bool = False) -> Iterator[Columns]:
    """The sets of columns that no two rows of a table share.

    Args:
        table: a table, an alias, a subquery.
        is_strict: without those that may be NULL, and then be shared after all.
    """
    if isinstance(table, Alias) and isinstance(table.element, Table):
        for key in _unique_keys(table.element, is_strict=is_strict):
            yield tuple(table.c[_name(column)] for column in key)
    elif isinstance(table, Table):
        for columns in _rules_of(table):
            if columns and not (is_strict and any(column.nullable for column in columns)):
                yield tuple(columns)
    elif isinstance(table, Subquery | CTE):
        inside = _key_inside(table)
        if inside is not None:
            yield inside


def _rules_of(table: Table) -> Iterator[Sequence[Column[Any]]]:
    yield list(table.primary_key.columns)
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint) and not constraint.deferrable:
            yield list(constraint.columns)
    for index in table.indexes:
        if (
            index.unique
            and not _is_partial(index)
            and all(isinstance(each, Column) for each in index.expressions)
        ):
            yield list(index.columns)


def _is_partial(index: Index) -> bool:
    return index.dialect_options["postgresql"]["where"] is not None


def _key_inside(table: Subquery | CTE) -> Columns | None:
    """The columns that tell the rows of a subquery apart, where it selects them."""
    inside = table.element
    if isinstance(inside, CompoundSelect):
        return tuple(table.c) if is_distinct(inside) and not _is_recursive(table) else None
    if not isinstance(inside, Select):
        return None
    key = columns_telling_apart(inside)
    if key is None:
        return None
    shown = list(zip(inside.selected_columns, table.c, strict=False))
    found = tuple(
        outers[0]
        for column in key
        if (outers := [outer for inner, outer in shown if same(inner, column)])
    )
    return found if len(found) == len(key) else None


def _is_recursive(table: FromClause) -> bool:
    return isinstance(table, CTE) and table.recursive


def same(one: ColumnElement[Any], other: ColumnElement[Any]) -> bool:
    """True of expressions of the same columns and values, whatever either is called.

    Structure alone would take two aliases of a table for one.
    """
    one, other = unlabelled(one), unlabelled(other)
    return one is other or _structure(one) == _structure(other)


def unlabelled(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    """The expression that a label names."""
    if isinstance(expression, Label):
        inner: ColumnElement[Any] = expression.element
        return inner
    return expression


def _structure(expression: ColumnElement[Any]) -> object:
    columns = [
        part.key if part.table is None else hash(part)
        for part in parts_of(expression)
        if isinstance(part, ColumnClause)
    ]
    if isinstance(expression, ColumnClause):
        return columns
    key = bare_cache_key(expression)
    values = [] if key is None else [each.effective_value for each in key.bindparams]
    return columns, expression if key is None else key.key, values
