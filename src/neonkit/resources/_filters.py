"""Filters: a class declares what clients may narrow a list by; its values go into the statement."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from types import UnionType
from typing import (
    Any,
    ClassVar,
    Generic,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from sqlalchemy import Column, ColumnElement, Index, Table, UniqueConstraint

from neonkit.resources._row_identity import element_of

Value = TypeVar("Value")
Parameter = tuple[Any, FieldInfo]

_MOST_VALUES = 100


class _Operator(ABC):
    """A way to compare a column with what a client sends; without a value it compares nothing."""

    @classmethod
    @abstractmethod
    def parameters(cls, name: str, kind: Any) -> dict[str, Parameter]:  # noqa: ANN401  # an annotation
        """The query parameters of a field, each with its type and its place in OpenAPI."""

    @classmethod
    @abstractmethod
    def read(cls, name: str, sent: BaseModel) -> Self:
        """The operator as a client has sent it."""

    @abstractmethod
    def conditions(self, column: ColumnElement[Any]) -> Iterator[ColumnElement[bool]]:
        """The conditions that a row's column must fulfil."""


@dataclass(frozen=True)
class Equal(_Operator, Generic[Value]):
    """Equality: `?name=value`.

    Attributes:
        value: the column's; `None` where the client does not ask.
    """

    value: Value | None = None

    @classmethod
    def parameters(cls, name: str, kind: Any) -> dict[str, Parameter]:  # noqa: ANN401  # an annotation
        """One parameter, of the field's own name."""
        return {name: (kind | None, _optional(f"Only items whose `{name}` is this."))}

    @classmethod
    def read(cls, name: str, sent: BaseModel) -> Self:
        """The value, if any."""
        return cls(getattr(sent, name))

    def conditions(self, column: ColumnElement[Any]) -> Iterator[ColumnElement[bool]]:
        """`column = value`."""
        if self.value is not None:
            yield column == self.value


@dataclass(frozen=True)
class OneOf(_Operator, Generic[Value]):
    """Membership in a set: `?name=one&name=other`, 100 values at most.

    Attributes:
        values: any of them will do; empty where the client does not ask.
    """

    values: tuple[Value, ...] = ()

    @classmethod
    def parameters(cls, name: str, kind: Any) -> dict[str, Parameter]:  # noqa: ANN401  # an annotation
        """One parameter, of the field's own name, that may be repeated."""
        description = f"Only items whose `{name}` is one of these; repeat it for several."
        default: Any = Field(default_factory=list, max_length=_MOST_VALUES, description=description)
        return {name: (list[kind], default)}

    @classmethod
    def read(cls, name: str, sent: BaseModel) -> Self:
        """The values, if any."""
        return cls(tuple(getattr(sent, name)))

    def conditions(self, column: ColumnElement[Any]) -> Iterator[ColumnElement[bool]]:
        """`column IN (values)`."""
        if self.values:
            yield column.in_(self.values)


@dataclass(frozen=True)
class Range(_Operator, Generic[Value]):
    """Bounds: `?name_gte=…&name_lt=…`, and `name_gt` and `name_lte`, in any combination.

    Attributes:
        gte: the least value, itself included; `None` where the client does not ask.
        gt: the same, itself excluded.
        lte: the largest value, itself included.
        lt: the same, itself excluded.
    """

    gte: Value | None = None
    gt: Value | None = None
    lte: Value | None = None
    lt: Value | None = None

    @classmethod
    def parameters(cls, name: str, kind: Any) -> dict[str, Parameter]:  # noqa: ANN401  # an annotation
        """A parameter for each bound."""
        bounds = {"gte": "at least", "gt": "more than", "lte": "at most", "lt": "less than"}
        return {
            f"{name}_{bound}": (
                kind | None,
                _optional(f"Only items whose `{name}` is {how} this."),
            )
            for bound, how in bounds.items()
        }

    @classmethod
    def read(cls, name: str, sent: BaseModel) -> Self:
        """The bounds, if any."""
        return cls(**{each.name: getattr(sent, f"{name}_{each.name}") for each in fields(cls)})

    def conditions(self, column: ColumnElement[Any]) -> Iterator[ColumnElement[bool]]:
        """`column >= gte`, and so on."""
        if self.gte is not None:
            yield column >= self.gte
        if self.gt is not None:
            yield column > self.gt
        if self.lte is not None:
            yield column <= self.lte
        if self.lt is not None:
            yield column < self.lt


@dataclass(frozen=True)
class IsNull(_Operator):
    """Absence: `?name_is_null=true`, or `false` for the items that have a value.

    Attributes:
        asked: which of both; `None` where the client does not ask.
    """

    asked: bool | None = None

    @classmethod
    def parameters(cls, name: str, kind: Any) -> dict[str, Parameter]:  # noqa: ANN401, ARG003  # it needs no type
        """One parameter."""
        description = f"Only items without `{name}` (true), or only those with one (false)."
        return {f"{name}_is_null": (bool | None, _optional(description))}

    @classmethod
    def read(cls, name: str, sent: BaseModel) -> Self:
        """The question, if any."""
        return cls(getattr(sent, f"{name}_is_null"))

    def conditions(self, column: ColumnElement[Any]) -> Iterator[ColumnElement[bool]]:
        """`column IS NULL`, or `IS NOT NULL`."""
        if self.asked is not None:
            yield column.is_(None) if self.asked else column.is_not(None)


class Filters:
    """Base of the filters of a list: a field for each column that clients may narrow it by.

        class PostFilters(Filters):
            author_id: Equal[int]
            state: OneOf[State]
            created_at: Range[UtcDateTime]
            deleted_at: Range[UtcDateTime] | IsNull

    `select(Post).where(*filters.on(Post))` is the list that the client asks for; its pages, their
    cursors and their total are of that list.
    """

    _known: ClassVar[dict[str, list[tuple[type[_Operator], Any]]] | None] = None
    _model: ClassVar[type[BaseModel] | None] = None

    def __init__(self, **operators: _Operator | tuple[_Operator, ...]) -> None:
        """Filter by these operators, each under its field's name, as `PostFilters(id=Equal(7))`."""
        unknown = operators.keys() - self._declared().keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no filter {', '.join(sorted(unknown))}")
        self._operators = {
            name: given if isinstance(given, tuple) else (given,)
            for name, given in operators.items()
        }
        for name, parts in self._operators.items():
            first, *others = parts
            setattr(self, name, parts if others else first)

    @classmethod
    def parameters(cls) -> type[BaseModel]:
        """The query parameters as a model, for whoever reads a query string.

        Raises:
            TypeError: two filters have a parameter of one name.
        """
        model = cls.__dict__.get("_model")
        if model is None:
            declared: dict[str, Any] = {}
            for name, operators in cls._declared().items():
                for operator, kind in operators:
                    parameters = operator.parameters(name, kind)
                    if shared := parameters.keys() & declared.keys():
                        raise TypeError(f"{cls.__name__} has two filters with one name: {shared}")
                    declared |= parameters
            model = cls._model = create_model(f"{cls.__name__}Query", __base__=_Sent, **declared)
        return model

    @classmethod
    def _declared(cls) -> dict[str, list[tuple[type[_Operator], Any]]]:
        """The operators of each field, each with the type of its values."""
        known = cls.__dict__.get("_known")
        if known is None:
            hints = get_type_hints(cls, include_extras=True)
            known = cls._known = {
                name: list(_operators(cls, name, hint))
                for name, hint in hints.items()
                if not name.startswith("_")
            }
        return known

    @classmethod
    def read(cls, sent: BaseModel) -> Self:
        """The filters that a client has sent, as a value of `parameters()`."""
        return cls(
            **{
                name: tuple(operator.read(name, sent) for operator, _ in operators)
                for name, operators in cls._declared().items()
            }
        )

    def on(self, entity: Any = None, **columns: Any) -> list[ColumnElement[bool]]:  # noqa: ANN401  # classes, aliases, columns
        """The conditions of a statement's WHERE; none where the client asks for none.

        Args:
            entity: a mapped class or an alias of one, whose attributes have the fields' names.
            columns: the columns of fields that it has not: `on(Post, author=User.name)`.

        Raises:
            ValueError: a field without a column.
        """
        return [
            condition
            for name, operators in self._operators.items()
            for operator in operators
            for condition in operator.conditions(_column(type(self), name, entity, columns))
        ]

    @classmethod
    def without_index(cls, entity: Any, **columns: Any) -> list[str]:  # noqa: ANN401  # as `on` has them
        """The fields that no index begins with, for a test: each is a scan of the whole table.

        Args:
            entity: as in `on`.
            columns: as in `on`.
        """
        return [
            name for name in cls._declared() if not _is_indexed(_column(cls, name, entity, columns))
        ]


def _optional(description: str) -> FieldInfo:
    return FieldInfo(default=None, description=description)


class _Sent(BaseModel):
    """Base of what is sent: other parameters of the query are somebody else's."""

    model_config = ConfigDict(frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_nul(cls, value: object) -> object:
        texts = value if isinstance(value, list) else [value]
        if any(isinstance(text, str) and "\0" in text for text in texts):
            raise PydanticCustomError("nul", "Text may not contain the character U+0000")
        return value


def _operators(
    kind: type[Filters],
    name: str,
    hint: Any,  # noqa: ANN401  # an annotation
) -> Iterator[tuple[type[_Operator], Any]]:
    parts = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
    for part in parts:
        operator = get_origin(part) or part
        if not (isinstance(operator, type) and issubclass(operator, _Operator)):
            raise TypeError(
                f"{kind.__name__}.{name} is no filter: declare it as Equal[…], OneOf[…], Range[…], "
                "IsNull, or as a union of these"
            )
        yield operator, next(iter(get_args(part)), None)


def _column(
    kind: type[Filters],
    name: str,
    entity: Any,  # noqa: ANN401  # as `on` has it
    columns: dict[str, Any],
) -> ColumnElement[Any]:
    found = columns.get(name, getattr(entity, name, None))
    if found is None:
        raise ValueError(
            f"{kind.__name__}.{name} has no column: name it, as in "
            f"`filters.on(…, {name}=User.name)`"
        )
    return element_of(found)


def _is_indexed(column: ColumnElement[Any]) -> bool:
    table = getattr(column, "table", None)
    table = getattr(table, "element", table)
    if not isinstance(table, Table) or not isinstance(column, Column):
        return False
    served: list[Iterable[Column[Any]]] = [table.primary_key.columns]
    served += [each.columns for each in table.constraints if isinstance(each, UniqueConstraint)]
    served += [each.columns for each in table.indexes if _serves_all(each)]
    return any(next(iter(columns), None) is table.c[column.key] for columns in served)


def _serves_all(index: Index) -> bool:
    """True of an index that is not partial and keeps an order."""
    options = index.dialect_options["postgresql"]
    return options["where"] is None and options["using"] in {False, "btree"}
