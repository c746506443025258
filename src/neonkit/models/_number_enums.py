"""Enums of numbers, as the numbers that they are: the database compares them as Python does."""

from enum import Enum
from typing import Any

from sqlalchemy import BigInteger, Dialect, TypeDecorator
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeEngine


class NumberEnum(TypeDecorator[Any]):
    """A column of an `IntEnum` or another enum of whole numbers.

    The column is a `bigint` without a CHECK, so that a new member needs no migration.

    Args:
        enum: its members are the column's values in Python.
    """

    impl = BigInteger
    cache_ok = True

    def __init__(self, enum: type[Enum]) -> None:
        super().__init__()
        self.enum = enum

    def process_bind_param(self, value: Any | None, dialect: Dialect) -> int | None:  # noqa: ARG002, ANN401  # SQLAlchemy's signature
        """A member, or its number, as the number.

        Raises:
            ValueError: no member has this number.
        """
        return None if value is None else int(self.enum(value).value)

    def coerce_compared_value(self, op: OperatorType | None, value: object) -> TypeEngine[Any]:  # noqa: ARG002  # SQLAlchemy's signature
        """The column's type for members; other numbers are compared with it as they are."""
        return self if isinstance(value, self.enum) else self.impl_instance

    def process_result_value(self, value: int | None, dialect: Dialect) -> Enum | None:  # noqa: ARG002  # SQLAlchemy's signature
        """The member of a number."""
        return None if value is None else self.enum(value)
