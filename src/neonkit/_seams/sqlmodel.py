"""The inside of SQLModel: what a field and a relation say about their column."""

from collections.abc import Collection
from typing import Final

from sqlmodel import SQLModel
from sqlmodel.main import FieldInfoMetadata, RelationshipInfo

from neonkit._seams.record import ATTRIBUTE, Seam

__all__ = ["SEAMS", "FieldInfoMetadata", "RelationshipInfo", "relations_of"]


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
    Seam("sqlmodel:SQLModel", "__sqlmodel_relationships__", ATTRIBUTE, _LAZY),
)
