"""IN and NOT IN on asyncpg: one statement for any number of values, and so prepared once.

SQLAlchemy writes a parameter for each value, so each length is another statement. `= ANY` and
`<> ALL` of one array find the same rows, with NULL among the values and with none at all.
"""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import BinaryExpression, BindParameter, Dialect, types
from sqlalchemy.dialects.postgresql import INTERVAL
from sqlalchemy.dialects.postgresql.asyncpg import PGCompiler_asyncpg
from sqlalchemy.sql import visitors
from sqlalchemy.types import TypeEngine, UserDefinedType

from neonkit._seams.sqlalchemy import driver_type_of, with_whole_list

_INSTEAD: Final = {" IN ": " = ANY ", " NOT IN ": " <> ALL "}
_NO_ARRAYS: Final = (  # types whose values PostgreSQL cannot take for arrays themselves
    types.Boolean,
    types.Date,
    types.DateTime,
    types.Integer,
    INTERVAL,
    types.LargeBinary,
    types.Numeric,
    types.String,
    types.Time,
    types.Uuid,
)


class ValuesOf(UserDefinedType[list[Any]]):
    """All values of an IN, each of which goes the way of its own type.

    Args:
        kind: the type of one.
    """

    cache_ok = True
    render_bind_cast = True

    def __init__(self, kind: TypeEngine[Any]) -> None:
        self.kind = kind

    def bind_processor(  # pyright: ignore[reportIncompatibleMethodOverride]  # it is called by place
        self, dialect: Dialect
    ) -> Callable[[list[Any] | None], Any]:
        """Process each value as its type does where it is alone."""
        process = self.kind.dialect_impl(dialect).bind_processor(dialect)

        def process_each(value: list[Any] | None) -> list[Any]:
            values = value or []
            return list(values) if process is None else [process(each) for each in values]

        return process_each


class MembershipCompiler(PGCompiler_asyncpg):
    """SQLAlchemy's compiler for asyncpg, which writes a list of plain values as one array.

    Tuples, expressions, literals, types that may be arrays or that wrap their values in SQL, and a
    parameter that stands in the statement twice stay as they are.
    """

    def _generate_generic_binary(
        self,
        binary: BinaryExpression[Any],
        opstring: str,
        eager_grouping: bool = False,
        **kw: Any,
    ) -> str:
        if opstring in _INSTEAD and self._is_plain(binary, kw):
            whole = with_whole_list(binary, ValuesOf(binary.right.type))
            return f"({super()._generate_generic_binary(whole, _INSTEAD[opstring], **kw)})"
        return super()._generate_generic_binary(binary, opstring, eager_grouping, **kw)

    def render_bind_cast(
        self, type_: TypeEngine[Any], dbapi_type: TypeEngine[Any], sqltext: str
    ) -> str:
        """SQLAlchemy's own cast, made one of arrays for a list of values."""
        if not isinstance(dbapi_type, ValuesOf):
            return self._cast(type_, dbapi_type, sqltext)
        one = driver_type_of(dbapi_type.kind, self.dialect)
        assert one is not None, "judged before"  # noqa: S101
        return f"({self._cast(dbapi_type.kind, one, sqltext)}[])"

    def _cast(self, kind: TypeEngine[Any], one: TypeEngine[Any], sql: str) -> str:
        cast: str = super().render_bind_cast(kind, one, sql)  # type: ignore[no-untyped-call]  # SQLAlchemy's
        return cast

    def _is_plain(self, binary: BinaryExpression[Any], options: dict[str, Any]) -> bool:
        values = binary.right
        if not isinstance(values, BindParameter) or not values.expanding or values.literal_execute:
            return False
        if options.get("literal_binds") or options.get("literal_execute"):
            return False
        one = driver_type_of(values.type, self.dialect)
        return (
            isinstance(one, _NO_ARRAYS)
            and type(values.type) is type(binary.left.type)  # an empty list may have any type
            and one.render_bind_cast
            and (values.unique or self._stands_once(values))
        )

    def _stands_once(self, parameter: BindParameter[Any]) -> bool:
        assert self.statement is not None, "it has a parameter"  # noqa: S101
        found = (
            each
            for each in visitors.iterate(self.statement)
            if isinstance(each, BindParameter) and each.key == parameter.key
        )
        return sum(1 for _ in found) <= 1
