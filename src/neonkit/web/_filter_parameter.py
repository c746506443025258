"""A list's filters as one parameter."""

from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from fastapi import Depends, Query

from neonkit.resources import Filters

Declared = TypeVar("Declared", bound=Filters)

if TYPE_CHECKING:
    FilterDep: TypeAlias = Annotated[Declared, Depends()]
else:

    class FilterDep:
        """A parameter with the filters of a list: `filters: FilterDep[PostFilters]`.

        Each operator of each field is a query parameter of its own, in OpenAPI and in a 422.
        """

        def __class_getitem__(cls, declared: type[Filters]) -> Any:  # noqa: ANN401  # an annotation
            """The annotation of a parameter that holds these filters."""
            return Annotated[declared, Depends(_reader_of(declared))]


@cache
def _reader_of(declared: type[Filters]) -> Any:  # noqa: ANN401  # a dependency
    model = declared.parameters()

    async def get_filters(sent: Annotated[model, Query()]) -> Filters:  # type: ignore[valid-type]  # made from the declaration
        return declared.read(sent)

    return get_filters
