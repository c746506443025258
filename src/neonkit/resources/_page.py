"""Pages: a list's query string as a value, and one page as the answer."""

from typing import Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from sqlalchemy import Row

from neonkit._seams.pydantic import arguments_of
from neonkit.resources._cursor import CursorPolicy
from neonkit.resources._total import Total

Item = TypeVar("Item")

_PROCESS_POLICY = CursorPolicy.random()


class Page(BaseModel, Generic[Item]):
    """One page of a list.

    Attributes:
        items: the rows, in order.
        next_cursor: what `cursor` continues with; `None` on the last page.
        total: how many rows the whole list has, where that was asked for.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)  # a page of SQLAlchemy's rows

    items: list[Item]
    next_cursor: str | None
    total: int | None

    @field_validator("items", mode="before")
    @classmethod
    def _read_by_name(cls, items: object) -> object:
        """Give models dicts of rows: to ask rows for each attribute takes four times as long."""
        if not (isinstance(items, list) and items and isinstance(items[0], Row)):
            return items
        (item,) = arguments_of(cls) or (None,)
        if not (isinstance(item, type) and issubclass(item, BaseModel)):
            return items
        if item.model_config.get("extra", "ignore") != "ignore":
            return items  # attributes that it does not know are nothing to a model; keys are
        names = items[0]._fields
        return [dict(zip(names, row, strict=True)) for row in items]


class PageRequest(BaseModel):
    """A list's query string: how much of it, from where, in which order.

    Other parameters of the query are the route's own filters: refusing the unknown ones is left
    to whoever sees them all.

    Attributes:
        limit: the most items of a page.
        offset: how many rows to skip; deep offsets read what they skip, a cursor does not.
        cursor: the `next_cursor` of the page before; never together with `offset`.
        sort: keys by comma, a leading `-` for descending.
        q: text to find, literally and without case.
        total: whether to count.
    """

    model_config = ConfigDict(frozen=True)

    limit: int = Field(default=20, ge=1, le=100, description="The most items of a page.")
    offset: int | None = Field(
        default=None, ge=0, le=10_000, description="How many items to skip, instead of `cursor`."
    )
    cursor: str | None = Field(
        default=None, description="The `next_cursor` of the page before, instead of `offset`."
    )
    sort: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Keys by comma, a leading `-` for descending: `-created_at,id`.",
    )
    q: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Text to find, literally and without case.",
    )
    total: Total = Field(default="none", description="Whether and how to count the whole list.")

    _policy: CursorPolicy = _PROCESS_POLICY

    @field_validator("q")
    @classmethod
    def _refuse_nul(cls, q: str | None) -> str | None:
        if q is not None and "\0" in q:
            raise PydanticCustomError("nul", "Text may not contain the character U+0000")
        return q

    @field_validator("cursor")
    @classmethod
    def _refuse_both(cls, cursor: str | None, info: ValidationInfo) -> str | None:
        if cursor is not None and info.data.get("offset") is not None:
            raise PydanticCustomError("cursor_and_offset", "Give a cursor or an offset, not both")
        return cursor

    def signed_by(self, policy: CursorPolicy) -> Self:
        """The same request, whose cursors are read and written with these keys.

        Without it the key is one that no other process knows, and that ends with this one.
        """
        copy = self.model_copy()
        copy._policy = policy  # noqa: SLF001  # its own copy
        return copy

    @property
    def policy(self) -> CursorPolicy:
        """The keys that its cursors are read and written with."""
        return self._policy
