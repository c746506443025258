"""Bodies that clients send: validated, with nothing unknown in them."""

import re
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, field_validator
from pydantic_core import CoreSchema, PydanticCustomError, core_schema
from sqlmodel import SQLModel

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def _has_unstorable_text(value: object) -> bool:
    """Without recursion: how deep a value is nested is the client's choice."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            if _UNSTORABLE.search(part):
                return True
        elif isinstance(part, dict):
            waiting.extend(part)
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
    return False


def _fields_of(schema: Any) -> dict[str, Any]:  # noqa: ANN401  # a core schema is a tree of dicts
    while schema["type"] != "model-fields":
        schema = schema["schema"]
    fields: dict[str, Any] = schema["fields"]
    return fields


class InputModel(SQLModel):
    """Base of request bodies: unknown fields are refused, and so is text PostgreSQL cannot hold."""

    model_config = ConfigDict(extra="forbid")  # type: ignore[assignment]  # SQLModel's own type

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_unstorable_text(cls, value: object) -> object:
        if _has_unstorable_text(value):
            raise PydanticCustomError(
                "string_unstorable", "Text must not hold NUL characters or lone surrogates"
            )
        return value


class PatchModel(InputModel):
    """Base of PATCH bodies: every field may be left out, and null is a value of its own.

    Declare fields as they are in the full body. One that is left out is not in `changes()`; null
    is refused, unless the field's type allows it. An empty body changes nothing.
    """

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema = handler(source)
        for field in _fields_of(handler.resolve_ref_schema(schema)).values():
            if field["schema"]["type"] != "default":
                field["schema"] = core_schema.with_default_schema(field["schema"], default=None)
        return schema

    def changes(self) -> dict[str, Any]:
        """The fields that were sent, with their values."""
        return {name: getattr(self, name) for name in self.model_fields_set}

    def apply_to(self, row: SQLModel) -> Self:
        """Set what was sent on a row, and nothing else."""
        for name, value in self.changes().items():
            setattr(row, name, value)
        return self
