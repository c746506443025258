"""Answers that every resource gives: the row or 404; 201 with its Location; its entity tag."""

from typing import Annotated, Any, Protocol, TypeVar

from fastapi import Depends, Request, Response
from sqlalchemy import Result, Row

from neonkit.errors import NotFoundError
from neonkit.models import VersionMixin

Model = TypeVar("Model")
AnyRow = Row[*tuple[Any, ...]]


def existing(found: Result[Any] | AnyRow | Model | None) -> Model:
    """Give the one row that was asked for: `existing(await session.get(Post, post_id))`.

    A row answers as any model with its fields, so it takes the place of the route's response model.

    Args:
        found: an object, a row or `None`; or a result of at most one row.

    Raises:
        NotFoundError: there is none (404).
    """
    row: Any = found.one_or_none() if isinstance(found, Result) else found
    if row is None:
        raise NotFoundError
    answer: Model = row
    return answer


def entity_tag_of(row: object) -> str | None:
    """The opaque part of a row's entity tag: its `etag`, or the `version` of `VersionMixin`.

    `None` where it has neither.
    """
    tag = getattr(row, "etag", None)
    if tag is None and isinstance(row, VersionMixin):
        tag = row.version
    return None if tag is None else str(tag)


def set_entity_tag(response: Response, row: object) -> None:
    """Add the header `ETag`, where the row has a version."""
    tag = entity_tag_of(row)
    if tag is not None:
        response.headers["ETag"] = f'"{tag}"'


class Created(Protocol):
    """Gives a new row as the answer, and names it in the header `Location`."""

    def __call__(self, row: AnyRow | Model, /) -> Model:
        """Name it by the request's path and its id, and its version in the header `ETag`."""
        ...


async def get_created(request: Request, response: Response) -> Created:
    """Answer with a new resource; the route itself says `status_code=201`."""

    def created(row: Any) -> Any:  # noqa: ANN401  # as the protocol types it
        response.headers["Location"] = f"{request.scope['path']}/{row.id}"
        set_entity_tag(response, row)
        return row

    return created


CreatedDep = Annotated[Created, Depends(get_created)]
"""`return created(row)`: the row, with its `Location` and, where it has a version, its `ETag`."""
