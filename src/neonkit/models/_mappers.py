"""Mappers of SQLModel's classes: settings that classes do not have to say each by itself."""

from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Mapper, RelationshipDirection, RelationshipProperty
from sqlmodel import SQLModel

from neonkit._seams.sqlalchemy import has_way_back, renew_dependency_processor
from neonkit.models._tables import TableModel


@event.listens_for(Mapper, "mapper_configured")
def _settle(mapper: Mapper[Any], kind: type[Any]) -> None:
    """Read back what an UPDATE lets the server make, and leave dependents to the database.

    SQLAlchemy reads it back after an INSERT alone, and expires the attribute after an UPDATE; in an
    async session the next touch of that is an error.
    """
    if not issubclass(kind, SQLModel):
        return
    if mapper.eager_defaults == "auto":
        mapper.eager_defaults = True
    if issubclass(kind, TableModel):
        for relation in mapper.relationships:
            _leave_dependents(relation)


def _leave_dependents(relation: RelationshipProperty[Any]) -> None:
    """Let the foreign key decide on a row that others refer to: refuse, cascade or set NULL.

    SQLAlchemy would read the other rows and take their keys away, allowed or not. Where the other
    side has no relation back, it must: nothing else writes what is removed from the list.
    """
    is_own = relation.cascade.delete or relation.cascade.delete_orphan or relation.viewonly
    is_many = relation.direction is RelationshipDirection.ONETOMANY
    if is_many and has_way_back(relation) and not is_own and not relation.passive_deletes:
        relation.passive_deletes = "all"
        renew_dependency_processor(relation)
