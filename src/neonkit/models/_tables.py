"""Table classes: one naming convention, text enums, and relations that never load by surprise."""

from enum import Enum
from typing import Any, ClassVar, get_args

import sqlalchemy
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sqlalchemy.orm import declared_attr
from sqlalchemy.types import TypeEngine
from sqlmodel import Field, SQLModel

from neonkit._seams.sqlmodel import FieldInfoMetadata, RelationshipInfo, relations_of
from neonkit.models._declarations import join_declarations
from neonkit.models._names import NAMED
from neonkit.models._number_enums import NumberEnum
from neonkit.models._relations import NEVER_BY_SURPRISE
from neonkit.models._times import UtcDateTime


class TableModel(SQLModel):
    """Base of table classes; declare them with `table=True`.

    A table class does not validate, as in plain SQLModel: that is what `InputModel` is for.

    * Constraints have names by one convention, so that a violation leads back to its field.
    * Enums are stored as text, by value, with a CHECK: no type to migrate, none to look up. An enum
      of whole numbers, such as an `IntEnum`, is stored as a number, and compared as one.
    * The server's part of a row comes back with the INSERT or UPDATE: no refresh.
    * `__mapper_args__` and `__table_args__` of a class add to those of its bases.
    * A row that others refer to is deleted as their foreign key says: refused (409), cascaded or
      set to NULL. Their keys are not taken away before, as SQLAlchemy does; `cascade_delete` and
      `passive_deletes` of a `Relationship` say otherwise.
    * A relation that was not loaded raises `RelationNotLoadedError` when it is touched, instead of
      sending a query; load it with `selectinload(User.posts)`.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for relation in relations_of(cls):
            _raise_when_not_loaded(relation)
        for name, field in cls.__pydantic_fields__.items():
            enum = _enum_in(field.annotation)
            if enum is not None:
                _set_column_type(field, _column_type(name, enum))
        join_declarations(cls)

    __table_args__: ClassVar[Any] = {"info": NAMED}

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:  # noqa: N805  # SQLAlchemy's hook
        arguments: dict[str, Any] = {"eager_defaults": True}
        columns = cls.__table__.c  # type: ignore[attr-defined]
        if issubclass(cls, VersionMixin) and "version" in columns:  # type: ignore[arg-type]  # a class, says SQLAlchemy
            arguments["version_id_col"] = columns.version
            _count_in_statements(columns.version)
        return arguments


class TimestampMixin(SQLModel):
    """`created_at` and `updated_at`, both by the server's clock."""

    created_at: UtcDateTime = Field(
        default=None,
        sa_column_kwargs={"server_default": sqlalchemy.func.now()},
        nullable=False,
    )
    updated_at: UtcDateTime = Field(
        default=None,
        sa_column_kwargs={
            "server_default": sqlalchemy.func.now(),
            "onupdate": sqlalchemy.func.now(),
        },
        nullable=False,
    )


class VersionMixin(SQLModel):
    """`version` counts a row's changes, from 1; a change of an outdated object is refused.

    An INSERT or UPDATE that is a statement of your own counts as well, unless it says otherwise.
    """

    version: int = Field(
        default=None, nullable=False, sa_column_kwargs={"server_default": sqlalchemy.text("1")}
    )


def _count_in_statements(version: sqlalchemy.Column[int]) -> None:
    """Let `update(Note)` add one to the version, as a flush does by itself."""
    if version.onupdate is None:
        version.onupdate = sqlalchemy.ColumnDefault(version + 1, for_update=True)


def _raise_when_not_loaded(relation: RelationshipInfo) -> None:
    if relation.sa_relationship is None:
        options = dict(relation.sa_relationship_kwargs or {})
        relation.sa_relationship_kwargs = {"lazy": NEVER_BY_SURPRISE, **options}


def _enum_in(annotation: object) -> type[Enum] | None:
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, Enum):
            return kind
    return None


def _text_enum(name: str, enum: type[Enum]) -> sqlalchemy.Enum:
    return sqlalchemy.Enum(
        enum,
        name=name,
        native_enum=False,
        create_constraint=True,
        values_callable=lambda members: [str(member.value) for member in members],
    )


def _column_type(name: str, enum: type[Enum]) -> TypeEngine[Any]:
    return NumberEnum(enum) if issubclass(enum, int) else _text_enum(name, enum)


def _set_column_type(field: FieldInfo, kind: TypeEngine[Any]) -> None:
    known = next((part for part in field.metadata if isinstance(part, FieldInfoMetadata)), None)
    if known is None:
        field.metadata.append(FieldInfoMetadata(sa_type=kind))
    elif known.sa_type is PydanticUndefined:
        known.sa_type = kind
