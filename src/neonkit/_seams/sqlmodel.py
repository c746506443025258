"""The inside of SQLModel: what a field and a relation say about their column; its `execute`."""

from collections.abc import Callable, Collection
from inspect import unwrap
from typing import Any, Final, TypeVar

from sqlmodel import SQLModel
from sqlmodel.ext.asyncio import session
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.main import FieldInfoMetadata, RelationshipInfo

from neonkit._seams.record import ATTRIBUTE, Seam

__all__ = [
    "SEAMS",
    "FieldInfoMetadata",
    "RelationshipInfo",
    "deprecated_as_sqlmodels",
    "names_of_tables",
    "relations_of",
    "sqlmodels_execute",
]

_Method = TypeVar("_Method", bound=Callable[..., Any])
_stocks: Any = AsyncSession.execute

sqlmodels_execute: Callable[..., Any] = unwrap(_stocks)
"""Its `AsyncSession.execute` without the warning."""


def deprecated_as_sqlmodels(execute: _Method) -> _Method:
    """Let a method warn as SQLModel's `AsyncSession.execute` does."""
    warning: Any = session
    warned: _Method = warning.deprecated(_stocks.__deprecated__)(execute)
    return warned


def names_of_tables() -> set[str]:
    """The names of every table class."""
    return {mapper.class_.__name__ for mapper in SQLModel._sa_registry.mappers}


def relations_of(model: type[SQLModel]) -> Collection[RelationshipInfo]:
    """The relations that a class declares, before the mapper is made of them."""
    return model.__sqlmodel_relationships__.values()


_ENUMS = "enums become types of PostgreSQL's, which cost each new connection round trips"
_LAZY = "a relation that was not loaded sends a query by surprise"

_EXECUTE = "`session.execute` warns twice, or not as SQLModel's"

SEAMS: Final = (
    Seam("sqlmodel.ext.asyncio.session", "deprecated", ATTRIBUTE, _EXECUTE),
    Seam(
        "sqlmodel.ext.asyncio.session:AsyncSession.execute", "__deprecated__", ATTRIBUTE, _EXECUTE
    ),
    Seam("sqlmodel.main", "FieldInfoMetadata", ATTRIBUTE, _ENUMS),
    Seam("sqlmodel.main:FieldInfoMetadata", "sa_type", ATTRIBUTE, _ENUMS),
    Seam("sqlmodel.main", "RelationshipInfo", ATTRIBUTE, _LAZY),
    Seam("sqlmodel.main:RelationshipInfo", "sa_relationship", ATTRIBUTE, _LAZY),
    Seam("sqlmodel.main:RelationshipInfo", "sa_relationship_kwargs", ATTRIBUTE, _LAZY),
    Seam("sqlmodel:SQLModel", "_sa_registry", ATTRIBUTE, "a row that breaks its rules is a 500"),
    Seam("sqlmodel:SQLModel", "__sqlmodel_relationships__", ATTRIBUTE, _LAZY),
)
