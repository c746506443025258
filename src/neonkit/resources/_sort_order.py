"""The order of a list: a white list of keys, made total, and what comes after a row of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    ColumnExpressionArgument,
    FromClause,
    Join,
    Label,
    Select,
    UnaryExpression,
    and_,
    bindparam,
    false,
    func,
    inspect,
    or_,
    tuple_,
)
from sqlalchemy.sql import coercions, operators, roles

from neonkit.errors import FieldProblem, RequestInvalidError
from neonkit.resources._cursor import KeyValue

Bind = BindParameter[Any]

_AFTER = "neonkit_after_{}"


def values_of(row: Sequence[KeyValue]) -> dict[str, KeyValue]:
    """The parameters of `Order.after`, from a cursor's values."""
    return {_AFTER.format(i): value for i, value in enumerate(row) if value is not None}


@dataclass(frozen=True)
class SortKey:
    """One key of an order.

    Attributes:
        name: what the query string calls it.
        expression: what is compared.
        is_descending: from the largest to the smallest.
    """

    name: str
    expression: ColumnElement[Any]
    is_descending: bool = False

    def turned(self, *, is_descending: bool) -> "SortKey":
        """The same key in the given direction."""
        return SortKey(self.name, self.expression, is_descending)

    @property
    def python_type(self) -> type:
        """The type of its values, as far as the column tells."""
        try:
            return self.expression.type.python_type
        except NotImplementedError:
            return object

    def equals(self, value: Bind | None) -> ColumnElement[bool]:
        """Whether a row has this value; `None` is NULL."""
        return self.expression.is_(None) if value is None else self.expression == value

    def follows(self, value: Bind | None, *, is_nullable: bool) -> ColumnElement[bool]:
        """Whether a row comes after this value: PostgreSQL takes NULL for the largest."""
        if value is None:
            return self.expression.is_not(None) if self.is_descending else false()
        if self.is_descending:
            return self.expression < value
        larger = self.expression > value
        return or_(larger, self.expression.is_(None)) if is_nullable else larger


@dataclass(frozen=True)
class Order:
    """A total order over the rows of a statement.

    Attributes:
        keys: the first decides; the last ones are a primary key.
        nullable: the places of the keys that may be NULL.
    """

    keys: tuple[SortKey, ...]
    nullable: frozenset[int]

    def __str__(self) -> str:
        return ",".join("-" * key.is_descending + key.name for key in self.keys)

    @property
    def expressions(self) -> list[ColumnElement[Any]]:
        """What a row is asked for so that the list can be continued after it."""
        return [key.expression.label(f"neonkit_{i}") for i, key in enumerate(self.keys)]

    @property
    def types(self) -> list[type]:
        """The Python types of the keys."""
        return [key.python_type for key in self.keys]

    def clauses(self, *, is_fenced: bool = False) -> list[ColumnElement[Any]]:
        """The ORDER BY.

        Args:
            is_fenced: hide the keys from the planner. With a LIMIT it likes to walk an index in
                this order and throw away what does not match: cheap where matches are spread
                evenly, the whole table where they are not. `greatest` of one value is that value.
        """
        shown = [
            func.greatest(key.expression) if is_fenced else key.expression for key in self.keys
        ]
        return [
            expression.desc() if key.is_descending else expression.asc()
            for key, expression in zip(self.keys, shown, strict=True)
        ]

    def after(self, nulls: frozenset[int]) -> ColumnElement[bool]:
        """Whether a row comes after another, whose values are the parameters of `values_of`.

        Keys of one direction that are never NULL are compared as a row, which is one range of
        their index. Otherwise a range over the first key comes before the exact condition, except
        where the key ascends and may be NULL: no one range holds larger values and NULL.

        Args:
            nulls: the places of the keys that are NULL in the other row.
        """
        binds = [
            None if i in nulls else bindparam(_AFTER.format(i), type_=key.expression.type)
            for i, key in enumerate(self.keys)
        ]
        if not self.nullable and len({key.is_descending for key in self.keys}) == 1:
            return self._after_row(binds)
        places = list(zip(self.keys, binds, strict=True))
        cases = [
            and_(
                *(earlier.equals(known) for earlier, known in places[:i]),
                key.follows(value, is_nullable=i in self.nullable),
            )
            for i, (key, value) in enumerate(places)
        ]
        return and_(*self._range(binds[0]), or_(*cases))

    def _range(self, value: Bind | None) -> Iterator[ColumnElement[bool]]:
        first = self.keys[0]
        if value is not None and first.is_descending:
            yield first.expression <= value
        elif value is not None and 0 not in self.nullable:
            yield first.expression >= value

    def _after_row(self, values: Sequence[Bind | None]) -> ColumnElement[bool]:
        row = tuple_(*(key.expression for key in self.keys))
        other = tuple_(*values)
        return row < other if self.keys[0].is_descending else row > other


def order_of(
    statement: Select[*tuple[Any, ...]],
    allowed: Sequence[ColumnElement[Any]],
    requested: str | None,
    *,
    has_outer_join: bool = False,
) -> Order:
    """Make the order that a request asks for, or the first of the allowed ones.

    Keys after a whole primary key decide nothing and are left out; without one, the primary keys
    of what is selected are added in the direction of the last key.

    Args:
        statement: what is listed.
        allowed: the white list.
        requested: the query string's `sort`.
        has_outer_join: whether the statement has one, and the keys may be NULL for it.

    Raises:
        RequestInvalidError: a key that is not allowed, or twice the same.
        ValueError: nothing is allowed, or nothing selected has a primary key.
    """
    menu = {key.name: key for key in map(_key_of, allowed)}
    if not menu:
        raise ValueError("paginate needs at least one column to sort by")
    chosen = [next(iter(menu.values()))] if requested is None else _chosen(menu, requested)
    missing = _primary_keys(statement)
    keys = []
    for key in chosen:
        keys.append(key)
        missing = [other for other in missing if not other.expression.compare(key.expression)]
        if not missing:
            break
    keys += [key.turned(is_descending=keys[-1].is_descending) for key in missing]
    padded: set[FromClause] = set()
    if has_outer_join:
        padded = {table for from_ in statement.get_final_froms() for table in padded_by(from_)}
    nullable = (i for i, key in enumerate(keys) if _may_be_null(key.expression, padded))
    return Order(tuple(keys), frozenset(nullable))


def padded_by(from_: FromClause, *, is_padded: bool = False) -> Iterator[FromClause]:
    """The tables whose columns an outer join may fill with NULL."""
    if isinstance(from_, Join):
        yield from padded_by(from_.left, is_padded=is_padded or from_.full)
        yield from padded_by(from_.right, is_padded=is_padded or from_.full or from_.isouter)
    elif is_padded:
        yield from_


def element_of(column: ColumnExpressionArgument[Any]) -> ColumnElement[Any]:
    """The column element behind what users write, such as a model's attribute."""
    element: ColumnElement[Any] = coercions.expect(roles.ExpressionElementRole, column)
    return element


def _key_of(expression: ColumnElement[Any]) -> SortKey:
    is_descending = False
    if isinstance(expression, UnaryExpression) and expression.modifier is operators.desc_op:
        expression, is_descending = expression.element, True
    name = getattr(expression, "key", None)
    if not isinstance(name, str):
        raise ValueError(f"a sort key needs a name that clients can use: label {expression}")
    inner = expression.element if isinstance(expression, Label) else expression
    return SortKey(name, inner, is_descending)


def _chosen(menu: dict[str, SortKey], requested: str) -> list[SortKey]:
    names = [name.removeprefix("-") for name in requested.split(",")]
    if len(set(names)) < len(names) or not menu.keys() >= set(names):
        message = f"sort by {', '.join(menu)}, each at most once, a leading - for descending"
        raise RequestInvalidError(errors=[FieldProblem("/query/sort", "sort", message)])
    directions = (part.startswith("-") for part in requested.split(","))
    return [
        menu[name].turned(is_descending=descending)
        for name, descending in zip(names, directions, strict=True)
    ]


def _primary_keys(statement: Select[*tuple[Any, ...]]) -> list[SortKey]:
    found = {
        str(expression): SortKey(str(expression), expression)
        for described in statement.column_descriptions
        for expression in _identity(described.get("entity"))
    }
    if not found:
        tables = (from_ for from_ in statement.get_final_froms() if from_.primary_key)
        found = {str(c): SortKey(c.name, c) for table in tables for c in table.primary_key}
    if not found:
        raise ValueError("a page needs a total order: select from something with a primary key")
    return list(found.values())


def _identity(entity: Any) -> Iterator[ColumnElement[Any]]:  # noqa: ANN401  # SQLAlchemy's own
    if entity is not None:
        mapper = inspect(entity).mapper
        for column in mapper.primary_key:
            yield element_of(getattr(entity, mapper.get_property_by_column(column).key))


def _may_be_null(expression: ColumnElement[Any], padded: set[FromClause]) -> bool:
    is_required = isinstance(expression, Column) and not expression.nullable
    return not is_required or getattr(expression, "table", None) in padded
