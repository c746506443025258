"""Relations that were not loaded say what to load, instead of sending a query by surprise."""

from typing import Any, NoReturn

from sqlalchemy.orm import RelationshipProperty

from neonkit._seams.sqlalchemy import LazyLoader
from neonkit.errors import RelationNotLoadedError

NEVER_BY_SURPRISE = "neonkit_never_by_surprise"


@RelationshipProperty.strategy_for(lazy=NEVER_BY_SURPRISE)
class _RaisingLoader(LazyLoader):
    """SQLAlchemy's `raise_on_sql`, with an error that names the remedy."""

    def __init__(self, parent: RelationshipProperty[Any], strategy_key: tuple[Any, ...]) -> None:
        super().__init__(parent, strategy_key)
        self._raise_on_sql = True

    def _invoke_raise_load(self, state: object, passive: object, lazy: str) -> NoReturn:  # noqa: ARG002  # SQLAlchemy's signature
        owner = self.parent_property.parent.class_.__name__
        raise RelationNotLoadedError(f"{owner}.{self.key}")
