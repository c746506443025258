"""The scope of a request, task or script: its deadline, its guard, and what it spent."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from neonkit.db._conditions import Guard


def _unnamed() -> str:
    return "-"


@dataclass
class Scope:
    """One request, task or script, as the database room sees it.

    Attributes:
        deadline: when it must be over, on the monotonic clock; `None` for no bound.
        seconds: time spent waiting for the database so far.
        trips: how often it was waited for, opening connections excepted.
        label: names it, such as `/posts/{id}`; `-` by default. It is asked when needed,
            because a request's route is not known when its scope opens.
        guard: a condition that every statement of its sessions depends on; `None` for none.
        has_sent_commit: whether a COMMIT, or a statement that is one, has been sent. From then on
            it goes on to its end, whoever loses interest in it.
        doubts: how much is on its way, or was lost, that may have been committed.
        is_answered: whether its response has begun.
    """

    deadline: float | None = None
    seconds: float = 0.0
    trips: int = 0
    label: Callable[[], str] = _unnamed
    guard: Guard | None = None
    has_sent_commit: bool = False
    doubts: int = 0
    is_answered: bool = False

    def remaining(self) -> float | None:
        """Seconds left until the deadline, never negative; `None` where there is no bound."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


_current: ContextVar[Scope | None] = ContextVar("neonkit.scope", default=None)


def current_scope() -> Scope:
    """The scope of the running task; one without a deadline where none was opened."""
    return _current.get() or Scope()


def guard_scope(guard: Guard) -> None:
    """Put a guard on the running task's scope; where none was opened, on one of its own."""
    scope = _current.get()
    if scope is None:
        scope = Scope()
        _current.set(scope)
    scope.guard = guard


@contextmanager
def open_scope(timeout: float | None = None) -> Iterator[Scope]:
    """Make a scope current for the block, and for every task started inside it.

    Args:
        timeout: seconds until its deadline; `None` for no bound.
    """
    scope = Scope(None if timeout is None else time.monotonic() + timeout)
    token = _current.set(scope)
    try:
        yield scope
    finally:
        _current.reset(token)
