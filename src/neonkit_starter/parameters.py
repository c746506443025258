"""Parameters that every resource has."""

from typing import Annotated

from fastapi import Path, Query

LARGEST_ID = 2**31 - 1

Id = Annotated[int, Path(ge=1, le=LARGEST_ID)]
"""The id of a resource, in the path."""

IdFilter = Annotated[int | None, Query(ge=1, le=LARGEST_ID)]
"""The id of another resource, in the query."""
