"""Listeners of an engine that are known to be harmless: they neither write, wait nor refuse.

Those are ours, those that `listen` was told of, and the well-known tracers'. Whoever is not known
keeps the careful road, and is named once in a line of the log at the level DEBUG.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Dialect, Engine, event
from sqlalchemy.pool import Pool

from neonkit._seams.sqlalchemy import listeners_of, original_of

_log = logging.getLogger("neonkit.db")
_told: WeakKeyDictionary[Engine, set[str]] = WeakKeyDictionary()
_harmless: WeakKeyDictionary[Engine, set[tuple[str, Callable[..., Any]]]] = WeakKeyDictionary()


class _Tracer(NamedTuple):
    """A package that listens to engines, and the versions whose listeners were read and tested."""

    distribution: str
    since: tuple[int, int]
    before: tuple[int, int]
    listeners: frozenset[str]


_TRACERS: Final = {
    "opentelemetry.instrumentation.sqlalchemy.engine": _Tracer(
        "opentelemetry-instrumentation-sqlalchemy",
        (0, 66),
        (0, 67),
        frozenset(
            {
                "EngineTracer._before_cur_exec",
                "EngineTracer._pool_checkin",
                "EngineTracer._pool_checkout",
                "_after_cur_exec",
            }
        ),
    ),
    "sentry_sdk.integrations.sqlalchemy": _Tracer(
        "sentry-sdk",
        (2, 75),
        (3, 0),
        frozenset({"_before_cursor_execute", "_after_cursor_execute"}),
    ),
    "ddtrace.contrib.internal.sqlalchemy.engine": _Tracer(
        "ddtrace",
        (4, 16),
        (5, 0),
        frozenset({"EngineTracer._before_cur_exec", "EngineTracer._after_cur_exec"}),
    ),
}


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
    _harmless.setdefault(engine, set()).add((name, listener))


def unlisten(engine: Engine, name: str, listener: Callable[..., Any]) -> None:
    """Undo `listen`."""
    event.remove(engine, name, listener)
    _harmless[engine].discard((name, listener))


def heard_by_others(
    engine: Engine, names: Iterable[str], target: Engine | Dialect | None = None
) -> str | None:
    """The first of these events that anybody unknown listens to, if there is one.

    Args:
        engine: whose harmless listeners are known.
        names: of events.
        target: that has them, where it is not the engine itself.
    """
    for name in names:
        for stranger in _strangers(engine, name, target):
            _tell(engine, name, stranger)
            return name
    return None


def strangers_on(engine: Engine, names: Iterable[str]) -> Iterator[str]:
    """Whoever is not known, as `before_execute: shop.monitoring.note`."""
    for name in names:
        for stranger in _strangers(engine, name):
            yield f"{name}: {_named(stranger)}"


def has_strangers(pool: Pool, name: str, ours: int) -> bool:
    """True if anybody unknown listens to an event of a pool, beside so many of ours."""
    return sum(not _is_tracers(each) for each in listeners_of(pool, name)) > ours


def _strangers(
    engine: Engine, name: str, target: Engine | Dialect | None = None
) -> Iterator[Callable[..., Any]]:
    harmless = _harmless.get(engine, ())
    for each in listeners_of(target or engine, name):
        listener = original_of(each)
        if (name, listener) not in harmless and not _is_tracers(listener):
            yield listener


def _is_tracers(listener: Callable[..., Any]) -> bool:
    listener = original_of(listener)
    tracer = _TRACERS.get(listener.__module__)
    return (
        tracer is not None
        and listener.__qualname__ in tracer.listeners
        and tracer.since <= _version_of(tracer.distribution) < tracer.before
    )


@cache
def _version_of(distribution: str) -> tuple[int, ...]:
    try:
        return tuple(map(int, re.findall(r"\d+", version(distribution))[:2]))
    except PackageNotFoundError:
        return ()


def _tell(engine: Engine, name: str, stranger: Callable[..., Any]) -> None:
    told, words = _told.setdefault(engine, set()), f"{name}: {_named(stranger)}"
    if words not in told:
        told.add(words)
        _log.debug(
            "somebody listens to the engine (%s), so each write has its BEGIN and COMMIT; "
            "neonkit.db.listen vouches for a listener that neither writes nor refuses",
            words,
        )


def _named(listener: Callable[..., Any]) -> str:
    kind = type(listener)
    module = getattr(listener, "__module__", None) or kind.__module__
    return f"{module}.{getattr(listener, '__qualname__', kind.__qualname__)}"
