"""The fixture `budget`: requests held to the round trips that the committed file has."""

import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from neonkit.local import Trips, WireProxy
from neonkit.observe import Fingerprint
from neonkit.testing._budget_file import Budget, Spending, read_budgets

_MOST_SENDS = 6
_LONGEST = 160  # characters of a statement in the file

_NOT_COUNTED = """\
{name}: the loop's body counts nothing, or more than one block. Write

    for once in budget("{name}"):
        with once:
            ...  # send the request"""


@dataclass(frozen=True)
class BudgetSource:
    """The file in the eyes of one test.

    Attributes:
        file: of the budgets.
        shown: what it is called in messages.
        test: the test's id.
        accept: takes note of a new budget; `None` where the run does not accept any.
    """

    file: Path
    shown: str
    test: str
    accept: Callable[[str, Spending], None] | None = None


class TripBudget:
    """Holds requests to the round trips and the statements that the committed file has for them."""

    def __init__(self, wire: WireProxy, source: BudgetSource) -> None:
        self._wire = wire
        self._source = source
        self._budgets = read_budgets(source.file)

    def __call__(self, name: str) -> Iterator[AbstractContextManager[Trips]]:
        """Count a block until two in a row cost the same, and fail unless the file says so too.

        The first sends prepare statements and fill caches, once per connection; what the file
        holds is what every later request costs.

        Args:
            name: of the file's entry: method and route such as `GET /notes`, and whatever tells
                two cases of a route apart.

        Yields:
            what to send one request in: `with once:`. The rest of the loop's body is not counted.
        """
        __tracebackhide__ = True
        counted: list[Trips] = []
        for number in range(1, _MOST_SENDS + 1):
            yield self._counting(counted)
            if len(counted) != number:
                pytest.fail(_NOT_COUNTED.format(name=name), pytrace=False)
            if number > 1 and _spending_of(counted[-1]).is_like(_spending_of(counted[-2])):
                self._judge(name, counted[-1])
                return
        pytest.fail(
            f"{name}: no two requests in a row cost the same, of {_MOST_SENDS}. The last one:\n"
            f"{counted[-1]}",
            pytrace=False,
        )

    @contextmanager
    def _counting(self, counted: list[Trips]) -> Iterator[Trips]:
        with self._wire.counting() as trips:
            yield trips
        counted.append(trips)

    def _judge(self, name: str, trips: Trips) -> None:
        __tracebackhide__ = True
        spent = _spending_of(trips)
        budget = self._budgets.get(name, Budget())
        file, accept = self._source.shown, self._source.accept
        if budget.ceiling is not None and spent.trips > budget.ceiling:
            fix = f"The ceiling is written by hand: spend less, or raise it in {file}."
            _fail(name, f"above the ceiling of {budget.ceiling} in {file}", budget, trips, fix)
        if spent.is_like(budget.spending):
            return
        if accept is not None:
            accept(name, spent)
            return
        if budget.spending is not None and budget.spending.trips == spent.trips:
            what = f"as in {file}, but for other statements"
        elif budget.spending is not None:
            what = f"where {file} has {budget.spending.trips}"
        elif self._source.file.exists():
            what = f"for which {file} has no budget"
        else:
            what = f"for which there is no budget: {file} does not exist"
        command = f"pytest --accept-round-trips {shlex.quote(self._source.test)}"
        _fail(name, what, budget, trips, f"If that is meant, accept it:\n  {command}")


TripBudget.__module__ = "neonkit.testing"  # that room imports nothing, so it shows no names


def _fail(name: str, what: str, budget: Budget, trips: Trips, fix: str) -> NoReturn:
    __tracebackhide__ = True
    had = Counter(budget.spending.statements if budget.spending else ())
    has = Counter(_spending_of(trips).statements)
    plural = "" if trips.count == 1 else "s"
    lines = [
        f"{name}: {trips.count} round trip{plural}, {what}.",
        *(f"  - {text}" for text in (had - has).elements()),
        *(f"  + {text}" for text in (has - had).elements()),
        "It sent:",
        str(trips) or "  nothing",
        fix,
    ]
    pytest.fail("\n".join(lines), pytrace=False)


def _spending_of(trips: Trips) -> Spending:
    return Spending(trips.count, tuple(_line_of(text) for text in trips.statements))


def _line_of(statement: str) -> str:
    found = Fingerprint.of(statement)
    text = found.text if len(found.text) <= _LONGEST else found.text[:_LONGEST] + "…"
    return f"{found.hash} {text}"
