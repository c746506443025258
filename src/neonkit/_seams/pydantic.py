"""The inside of Pydantic: what a generic model was made of."""

from typing import Any, Final

from pydantic import BaseModel

from neonkit._seams.record import ATTRIBUTE, Seam

__all__ = ["SEAMS", "arguments_of"]


def arguments_of(model: type[BaseModel]) -> tuple[Any, ...]:
    """The types between a generic model's brackets; none where it has no brackets."""
    return model.__pydantic_generic_metadata__["args"]


SEAMS: Final = (
    Seam(
        "pydantic:RootModel",  # any model but BaseModel itself
        "__pydantic_generic_metadata__",
        ATTRIBUTE,
        "a page of rows takes four times as long to answer, or is not answered",
    ),
    Seam(
        "pydantic:RootModel",
        "__pydantic_fields__",
        ATTRIBUTE,
        "enums of table classes become types of PostgreSQL's",
    ),
    Seam(
        "pydantic:BaseModel",
        "__pydantic_init_subclass__",
        "(cls, **kwargs)",
        "table classes lose their text enums, and their relations load by surprise",
    ),
)
