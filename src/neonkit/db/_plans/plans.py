"""Plans: how the statements of one structure are sent, and what their rows become."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Result, Select
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler

from neonkit._seams.sqlalchemy import (
    EntityGetters,
    Selected,
    arguments_of,
    is_missing_key,
    next_run,
    result_of_chunks,
    selected_by,
    tuples_from,
)
from neonkit.db._plans.entities import EntityLoader, Made, Row

Pick = Callable[[Row], Sequence[Any]]

_plans: WeakKeyDictionary[SQLCompiler, "Plan | str"] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Plan:
    """How one structure of a SELECT is read.

    It lives as long as the compiled statement, of which an engine keeps a bounded number.

    Attributes:
        compiled: the statement without its values.
        selected: what SQLAlchemy knows of its columns and entities.
        makers: for each of them, what a row's part becomes.
        tuples: rows of the driver's, each value as its column's type has it.
    """

    compiled: SQLCompiler
    selected: Selected
    makers: tuple[EntityLoader | Made, ...]
    tuples: Callable[[Sequence[Any]], Sequence[Row]]

    @property
    def sql(self) -> str:
        """As it is sent."""
        return self.compiled.string

    def arguments(self, values: dict[str, Any]) -> tuple[Any, ...]:
        """Put values in the statement's order, as the driver takes them."""
        order = self.compiled.positiontup or ()
        return arguments_of(values, self.selected.processors, order)

    def is_heard(self) -> bool:
        """True if somebody listens to the loading of an entity."""
        return any(isinstance(each, EntityLoader) and each.is_heard for each in self.makers)

    def result(
        self,
        statement: Select[*tuple[Any, ...]],
        rows: Sequence[Any],
        session: Session,
        *,
        is_buffered: bool,
    ) -> Result[Any]:
        """The ORM's result, whose rows become objects when they are first asked for.

        Args:
            statement: of this time.
            rows: of the driver's.
            session: gets the objects.
            is_buffered: whether they become objects at once.
        """
        run = next_run()

        def chunk(at: slice) -> list[Any]:
            makers = [
                each.into(session, run) if isinstance(each, EntityLoader) else each
                for each in self.makers
            ]
            received = self.tuples(rows[at])
            if self.selected.is_single_entity:
                return list(map(makers[0], received))
            return [tuple([make(row) for make in makers]) for row in received]

        return result_of_chunks(self.selected, statement, len(rows), chunk, is_buffered=is_buffered)


def plan_of(compiled: object) -> Plan | str:
    """The plan of a compiled statement that was executed before, or why it has none."""
    if not isinstance(compiled, SQLCompiler):
        return "it is no SELECT"
    plan = _plans.get(compiled)
    if plan is None:
        selected = selected_by(compiled)
        if selected is None:
            return "it has not been executed yet"  # and so its columns' types are not known
        plan = _plans[compiled] = _make(compiled, selected)
    return plan


def _make(compiled: SQLCompiler, selected: Selected | str) -> Plan | str:
    if isinstance(selected, str):
        return selected
    makers = tuple(
        _loader(each) if isinstance(each, EntityGetters) else each for each in selected.getters
    )
    return Plan(compiled, selected, makers, tuples_from(selected.columns))


def _loader(of: EntityGetters) -> EntityLoader:
    names = tuple(name for name, _ in of.attributes)
    at = tuple(place for _, place in of.attributes)
    return EntityLoader(
        of.mapper, of.key_of, is_missing_key(of.mapper), names, _picking(at), of.path
    )


def _picking(at: tuple[int, ...]) -> Pick:
    """Pick the values in these places of a row."""
    if at == tuple(range(len(at))):
        end = len(at)
        return lambda row: row[:end]
    if len(at) == 1:
        (only,) = at
        return lambda row: (row[only],)
    return itemgetter(*at)
