"""A list's query string as one parameter."""

from typing import Annotated

from fastapi import Depends, Query
from starlette.requests import HTTPConnection

from neonkit.resources import PageRequest
from neonkit.web._runtime import Runtime


async def get_page(
    connection: HTTPConnection, page: Annotated[PageRequest, Query()]
) -> PageRequest:
    """Read limit, offset, cursor, sort, q and total; cursors are signed with the app's keys."""
    return page.signed_by(Runtime.of(connection).cursors)


PageDep = Annotated[PageRequest, Depends(get_page)]
