"""The inside of SQLModel: what a field and a relation say about their column."""

from collections.abc import Collection
from typing import Final

from sqlmodel import SQLModel
from sqlmodel.main import FieldInfoMetadata, RelationshipInfo

from neonkit._seams.record import ATTRIBUTE, Seam

__all__ = [
    "SEAMS",
    "FieldInfoMetadata",
    "RelationshipInfo",
    "names_of_tables",
    "relations_of",
]


def names_of_tables() -> set[str]:
    """The names of every table class."""
    return {mapper.class_.__name__ for mapper in SQLModel._sa_registry.mappers}


def relations_of(model: type[SQLModel]) -> Collection[RelationshipInfo]:
    """The relations that a class declares, before the mapper is made of them."""
    return model.__sqlmodel_relationships__.values()


_ENUMS = "enums become types of PostgreSQL's, which cost each new connection round trips"
_LAZY = "a relation that was not loaded sends a query by surprise"

SEAMS: Final = (
    Seam("sqlmodel.main", "FieldInfoMetadata", ATTRIBUTE, _ENUMS),
    Seam("sqlmodel.main:FieldInfoMetadata", "sa_type", ATTRIBUTE, _ENUMS),
    Seam("sqlmodel.main", "RelationshipInfo", ATTRIBUTE, _LAZY),
    Seam("sqlmodel.main:RelationshipInfo", "sa_relationship", ATTRIBUTE, _LAZY),
    Seam("sqlmodel.main:RelationshipInfo", "sa_relationship_kwargs", ATTRIBUTE, _LAZY),
    Seam("sqlmodel:SQLModel", "_sa_registry", ATTRIBUTE, "a row that breaks its rules is a 500"),
    Seam("sqlmodel:SQLModel", "__sqlmodel_relationships__", ATTRIBUTE, _LAZY),
)
