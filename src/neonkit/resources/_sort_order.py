"""The order of a list: a white list of keys, made total, and what comes after a row of it."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    FromClause,
    Table,
    UnaryExpression,
    and_,
    false,
    func,
    or_,
    tuple_,
)
from sqlalchemy.sql import operators

from neonkit.errors import FieldProblem, RequestInvalidError
from neonkit.resources._cursor import KeyValue
from neonkit.resources._key_types import bound, compared, is_carried, python_type_of, read
from neonkit.resources._row_identity import same, unlabelled

Bind = ColumnElement[Any]

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

    def of(self, expression: ColumnElement[Any]) -> "SortKey":
        """The same key of another statement."""
        return SortKey(self.name, expression, self.is_descending)

    @property
    def compared(self) -> ColumnElement[Any]:
        """The expression as the database orders it."""
        return compared(self.expression)

    def equals(self, value: Bind | None) -> ColumnElement[bool]:
        """True of a row that has this value; `None` is NULL."""
        return self.compared.is_(None) if value is None else self.compared == value

    def follows(self, value: Bind | None, *, is_nullable: bool) -> ColumnElement[bool]:
        """True of a row that comes after this value: PostgreSQL takes NULL for the largest."""
        if value is None:
            return self.compared.is_not(None) if self.is_descending else false()
        if self.is_descending:
            return self.compared < value
        larger = self.compared > value
        return or_(larger, self.compared.is_(None)) if is_nullable else larger


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
        """The keys as columns of a page, so that the list can be continued after a row."""
        return [read(key.compared).label(f"neonkit_{i}") for i, key in enumerate(self.keys)]

    @property
    def is_untyped(self) -> bool:
        """True where nobody says the type of a key: only its values can."""
        return object in self.types

    @property
    def types(self) -> list[type]:
        """The Python types of the keys."""
        return [python_type_of(key.compared.type) for key in self.keys]

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
        """True of a row that comes after another, whose values are the parameters of `values_of`.

        Keys of one direction that are never NULL are compared as a row, which is one range of
        their index. Otherwise a range over the first key comes before the exact condition, except
        where the key ascends and may be NULL: no one range holds larger values and NULL.

        Args:
            nulls: the places of the keys that are NULL in the other row.
        """
        binds = [
            None if i in nulls else bound(_AFTER.format(i), key.compared)
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
            yield first.compared <= value
        elif value is not None and 0 not in self.nullable:
            yield first.compared >= value

    def _after_row(self, values: Sequence[Bind | None]) -> ColumnElement[bool]:
        row = tuple_(*(key.compared for key in self.keys))
        other = tuple_(*values)
        return row < other if self.keys[0].is_descending else row > other


def sort_keys(allowed: Sequence[ColumnElement[Any]]) -> tuple[SortKey, ...]:
    """The white list of keys, by their names.

    Args:
        allowed: columns, labels and `desc()` of either; the first is the order by default.

    Raises:
        ValueError: there is none, one has no name, or a cursor could not be continued after one.
    """
    keys = tuple(map(_key_of, allowed))
    if not keys:
        raise ValueError("paginate needs at least one column to sort by")
    for place, key in enumerate(keys):
        if any(other.name == key.name for other in keys[:place]):
            raise ValueError(f"paginate has two sort keys called {key.name}: label one of them")
        if not is_carried(key.expression.type):
            raise ValueError(
                f"paginate cannot sort by {key.name}: its type, {key.expression.type!r}, has no "
                "place in a cursor; sort by a label of a cast to text, a number or a time instead"
            )
    return keys


def order_of(
    keys: Sequence[SortKey],
    requested: str | None,
    *,
    identity: Sequence[ColumnElement[Any]],
    padded: Collection[FromClause] = (),
) -> Order:
    """The order that a request asks for, or the first of the allowed keys.

    Keys after the whole identity of a row decide nothing and are left out; what is missing of it
    is added in the direction of the last key.

    Args:
        keys: the white list.
        requested: the query string's `sort`.
        identity: no two rows share these.
        padded: the tables whose columns an outer join may fill with NULL.

    Raises:
        RequestInvalidError: a key that is not allowed, or twice the same.
    """
    menu = {key.name: key for key in keys}
    chosen = [next(iter(menu.values()))] if requested is None else _chosen(menu, requested)
    missing = [SortKey(str(each), each) for each in identity]
    order = []
    for key in chosen:
        order.append(key)
        missing = [other for other in missing if not same(other.expression, key.expression)]
        if not missing:
            break
    order += [key.turned(is_descending=order[-1].is_descending) for key in missing]
    nullable = (i for i, key in enumerate(order) if _may_be_null(key.expression, padded))
    return Order(tuple(order), frozenset(nullable))


def _key_of(expression: ColumnElement[Any]) -> SortKey:
    is_descending = False
    if isinstance(expression, UnaryExpression) and expression.modifier is operators.desc_op:
        expression, is_descending = expression.element, True
    name = getattr(expression, "key", None)
    if not isinstance(name, str):
        raise ValueError(f"a sort key needs a name that clients can use: label {expression}")
    return SortKey(name, unlabelled(expression), is_descending)


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


def _may_be_null(expression: ColumnElement[Any], padded: Collection[FromClause]) -> bool:
    table = getattr(expression, "table", None)
    is_of_table = isinstance(table, Table) or isinstance(getattr(table, "element", None), Table)
    is_required = isinstance(expression, Column) and is_of_table and not expression.nullable
    return not is_required or table in padded
