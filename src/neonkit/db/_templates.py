"""Statement templates: structure apart from values, so that the same structure is built once.

To build a statement costs more than to send it, and to build a page, a condition or a key around it
costs as much again. SQLAlchemy's cache key tells structure and values apart; here the first
statement of a structure stands for all that follow, and each brings its values.
"""

from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Executable
from sqlalchemy.sql.cache_key import HasCacheKey
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.util import LRUCache

from neonkit._seams.sqlalchemy import remember_on, structure_of
from neonkit.errors import ConfigurationError

Made = TypeVar("Made")

_MEMO = "_neonkit_bound"
_MOST = 512  # structures
_SHARED = (
    "the statement and the condition under which it is executed both have a parameter {}; give the "
    "one in the statement another name, so that neither gets the other's value"
)
_Names = tuple[tuple[int, str], ...]

_templates: LRUCache[Hashable, tuple[tuple[Any, ...], _Names]] = LRUCache(_MOST)


class Bound(NamedTuple):
    """Statements and expressions, and what their parameters are this time.

    Attributes:
        templates: the first ones of their structure.
        values: of the templates' parameters, by their names.
        is_lasting: whether the next ones of this structure get the same templates.
    """

    templates: tuple[Any, ...]
    values: Mapping[str, Any]
    is_lasting: bool = True

    def beside(self, other: "Bound") -> "Bound":
        """Both, for what is put together of them.

        Raises:
            ConfigurationError: a parameter of one has the name of one of the other's.
        """
        shared = self.values.keys() & other.values.keys()
        if shared:
            raise ConfigurationError(_SHARED.format(", ".join(sorted(shared))))
        return Bound(
            self.templates + other.templates,
            {**self.values, **other.values},
            is_lasting=self.is_lasting and other.is_lasting,
        )


NOTHING = Bound((), {})
"""No statement and no expression."""


def bind(*elements: object) -> Bound:
    """Tell the values of statements and expressions from their structure, taken together.

    Whatever has execution options, a value that is computed anew each time, or a structure that
    SQLAlchemy cannot name, stands for itself.
    """
    first = elements[0]
    if len(elements) > 1 or not isinstance(first, ClauseElement):
        return _bind(*elements)
    bound: Bound | None = first.__dict__.get(_MEMO)
    if bound is None:
        bound = _bind(first)
        remember_on(first, _MEMO, bound)  # its copies leave it out
    return bound


def _bind(*elements: object) -> Bound:
    named = [each for each in elements if isinstance(each, HasCacheKey) and not _has_options(each)]
    structure = structure_of(named) if len(named) == len(elements) else None
    if structure is None or any(each.callable for each in structure.parameters):
        return unbound(*elements)
    known = _templates.get(structure.key)
    if known is None:
        numbered = enumerate(structure.parameters)
        names = tuple((at, each.key) for at, each in numbered if not each.required)
        known = _templates[structure.key] = elements, names
    templates, valued = known
    values = {name: structure.parameters[at].effective_value for at, name in valued}
    return Bound(templates, {**values, **structure.given})


def _has_options(element: object) -> bool:
    return isinstance(element, Executable) and bool(element.get_execution_options())


def unbound(*elements: object) -> Bound:
    """Statements and expressions that stand for themselves, with their values in them."""
    return Bound(elements, {}, is_lasting=False)


def build_once(make: Callable[..., Made], bound: Bound, *given: Hashable) -> Made:
    """Make something of templates, once for the same ones.

    Args:
        make: takes what is given, then the templates; must do nothing else.
        bound: has the templates.
        given: whatever else tells what is made apart.
    """
    arguments = (*given, *bound.templates)
    return _made(make, *arguments) if bound.is_lasting else make(*arguments)


@lru_cache(_MOST)
def _made(make: Callable[..., Made], *arguments: Hashable) -> Made:
    return make(*arguments)
