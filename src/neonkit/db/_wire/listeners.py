"""Listeners of an engine that are known to be harmless: they neither write, wait nor refuse."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, event

from neonkit._seams.sqlalchemy import listeners_of

_harmless: WeakKeyDictionary[Engine, Counter[str]] = WeakKeyDictionary()
_NONE: Counter[str] = Counter()


def listen(engine: Engine, name: str, listener: Callable[..., Any]) -> None:
    """Listen to an event of an engine, as `sqlalchemy.event.listen` does, harmlessly.

    A write goes without BEGIN and COMMIT of its own only if nothing that it does not know can come
    in between. A listener that is added here promises that: it sends nothing to the database, and
    what it raises may come too late to undo the statement.

    Args:
        engine: the synchronous one: `AsyncEngine.sync_engine`.
        name: such as `after_cursor_execute`.
        listener: called as SQLAlchemy's documentation of that event says.
    """
    event.listen(engine, name, listener)
    _harmless.setdefault(engine, Counter())[name] += 1


def unlisten(engine: Engine, name: str, listener: Callable[..., Any]) -> None:
    """Undo `listen`."""
    event.remove(engine, name, listener)
    _harmless[engine][name] -= 1


def heard_by_others(engine: Engine, names: Iterable[str]) -> str | None:
    """The first of these events that anything else listens to, if there is one."""
    harmless = _harmless.get(engine, _NONE)
    return next((name for name in names if len(listeners_of(engine, name)) > harmless[name]), None)
