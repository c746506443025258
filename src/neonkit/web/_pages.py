"""A list's query string as one parameter."""

from typing import Annotated

from fastapi import Query

from neonkit.resources import PageRequest

PageDep = Annotated[PageRequest, Query()]
