"""Conditions: what must be true for a statement to happen, judged in that statement's snapshot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement

from neonkit.db._templates import NOTHING, Bound, bind
from neonkit.errors import ConditionFailedError


@dataclass(frozen=True)
class Condition:
    """An expression that must be true for a statement to happen at all.

    It stands beside the statement, not inside of it: it speaks of rows by a subquery of its own,
    such as `select(Post.id).where(Post.id == 7).exists()`. Several are judged in their order, and
    the first that fails decides the error.

    Args:
        expression: true, or nothing happens; false and NULL fail.
        error: makes the error to raise where it fails, such as `NotFoundError`; by default a
            `ConditionFailedError` of this name.
        name: says which condition failed.
    """

    expression: ColumnElement[bool]
    error: Callable[[], Exception] | None = field(default=None, repr=False)
    name: str = "condition"

    def failure(self) -> Exception:
        """Make the error that says that it failed."""
        return ConditionFailedError(self.name) if self.error is None else self.error()


@dataclass
class Guard:
    """A condition on everything that is done in a scope, such as who calls.

    Attributes:
        bound: the expression that must be true, apart from its values.
        failure: makes the error to raise where it is not.
        renews: whether it is judged with every statement, as for a socket that stays open, and not
            only with the first of each session.
        refuse_late: raises where the scope has lasted too long, such as past a token's expiry.
        has_held: whether a statement that carried it was answered.
    """

    bound: Bound
    failure: Callable[[], Exception] = field(repr=False)
    renews: bool = False
    refuse_late: Callable[[], None] = field(default=lambda: None, repr=False)
    has_held: bool = False

    def judge(self, *, holds: object) -> None:
        """Take a statement's verdict.

        Raises:
            Exception: its failure, where it does not hold.
        """
        if not holds:
            raise self.failure()
        self.has_held = True


@dataclass(frozen=True)
class Conditions:
    """All that must hold for one statement: the scope's guard first, then its own conditions.

    Attributes:
        own: of the statement, in the order of their errors.
        guard: of the scope; `None` where it has none.
        bound: the expressions of all, apart from their values.
    """

    own: tuple[Condition, ...]
    guard: Guard | None
    bound: Bound

    @classmethod
    def of(cls, own: Sequence[Condition], guard: Guard | None) -> "Conditions":
        """Join a statement's conditions with its scope's guard.

        Raises:
            Exception: the guard's own, where the scope has lasted too long.
        """
        if guard is not None:
            guard.refuse_late()
        bound = bind(*(each.expression for each in own)) if own else NOTHING
        if guard is not None:
            bound = guard.bound.beside(bound) if own else guard.bound
        return cls(tuple(own), guard, bound)

    def __len__(self) -> int:
        return len(self.own) + (self.guard is not None)

    def judge_guard(self, verdicts: Sequence[object]) -> None:
        """Take a statement's verdict on the guard alone.

        Raises:
            Exception: the guard's failure, where it did not hold.
        """
        if self.guard is not None:
            self.guard.judge(holds=verdicts[0])

    def judge(self, verdicts: Sequence[object]) -> None:
        """Take a statement's verdicts.

        Raises:
            Exception: the error of the first condition that did not hold.
        """
        self.judge_guard(verdicts)
        own = verdicts[len(verdicts) - len(self.own) :]
        for condition, holds in zip(self.own, own, strict=True):
            if not holds:
                raise condition.failure()
