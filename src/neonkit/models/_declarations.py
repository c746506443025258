"""Declarations of a class and its bases, joined: `__mapper_args__` and `__table_args__`.

SQLAlchemy reads the nearest of them alone, so that a class with one of its own would lose those of
the bases that it names.
"""

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy.orm import declared_attr

_OWN = "neonkit_own"


def join_declarations(cls: type) -> None:
    """Let a class's own `__mapper_args__` and `__table_args__` add to those of its bases."""
    for name, join in (("__mapper_args__", _join_options), ("__table_args__", _join_arguments)):
        if name in vars(cls) or sum(name in vars(base) for base in cls.__mro__) > 1:
            _declare(cls, name, join)


def _declare(cls: type, name: str, join: Callable[[Iterator[Any]], Any]) -> None:
    own = vars(cls).get(name)

    def joined(mapped: type) -> object:
        return join(_declared(mapped, name))

    setattr(joined, _OWN, own)
    # SQLModel's metaclass would give it to SQLAlchemy, which has not seen the class yet
    type.__setattr__(cls, name, declared_attr.directive(joined))


def _declared(cls: type, name: str) -> Iterator[Any]:
    """The values that a class and its bases declare, the bases' first.

    A base that is a table of its own keeps its own: they name what is its alone.
    """
    for base in reversed(cls.__mro__):
        declared = vars(base).get(name)
        is_foreign = base is not cls and "__mapper__" in vars(base)
        if declared is None or is_foreign:
            continue
        function = getattr(declared, "fget", None)
        value = getattr(function, _OWN, declared)
        if value is not None:
            yield _read(value, cls)


def _read(declared: Any, cls: type) -> Any:  # noqa: ANN401  # a class may have anything there
    function = getattr(declared, "fget", None)
    if function is not None:
        return function(cls)
    if hasattr(declared, "__get__"):
        declared = declared.__get__(None, cls)
    return declared() if callable(declared) else declared


def _join_options(parts: Iterator[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}


def _join_arguments(parts: Iterator[Any]) -> tuple[Any, ...] | None:
    """Constraints and indexes one after the other, and one dict of options as the last."""
    arguments: list[Any] = []
    options: dict[str, Any] = {}
    for part in parts:
        given = (part,) if isinstance(part, dict) else tuple(part)
        if given and isinstance(given[-1], dict):
            info = {**options.get("info", {}), **given[-1].get("info", {})}
            options |= given[-1] | ({"info": info} if info else {})
            given = given[:-1]
        arguments += given
    return (*arguments, options) if arguments or options else None
