"""The starter's bank under a nemesis: nothing is lost, nothing happens twice, nobody is misled.

It runs by a command of its own: `TRANSFERS=150 pytest tests/faults/test_bank.py`.
The long form: `TRANSFERS=200000 pytest tests/faults/test_bank.py -k bank_in_foul_weather -s`.
"""

import asyncio
import os
import random
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any

import pytest

from neonkit import Database
from neonkit.db import current_scope
from neonkit.db._statements import execution, keyed_statement
from neonkit.db._wire.connection import UnitOfWorkConnection
from neonkit.db._wire.retries import Retries
from neonkit.errors import DatabaseUnavailableError, OutcomeUnknownError
from neonkit.local import WireProxy
from support.bank import Bank
from support.nemesis import Nemesis, draw

_ASKED = int(os.environ.get("TRANSFERS", "150"))
_SEED = int(os.environ.get("SEED", "14"))
_SEEDS = range(_SEED, _SEED + 6)  # one will do, but on a machine that has no time for faults
_CUSTOMERS = 64 if _ASKED > 1000 else 16


async def _live(bank: Bank, nemesis: Nemesis, *, asked: int, seed: int) -> None:
    """Let customers ask for so many things while the nemesis rages."""
    raging = asyncio.create_task(nemesis.rage(draw(seed)))
    left = iter(range(asked))

    async def customer(number: int) -> None:
        chance = random.Random(seed * 1000 + number)
        for _ in left:
            await bank.ask_for_something(chance)

    try:
        await asyncio.gather(*map(customer, range(_CUSTOMERS)))
    finally:
        raging.cancel()
        await asyncio.gather(raging, return_exceptions=True)


def _failed(bank: Bank) -> Counter[str]:
    return Counter({told: n for told, n in bank.answers.items() if not told.endswith(_WELL)})


_WELL = (" 200", " 201", " insufficient-funds")


@pytest.mark.both_drivers
async def test_the_bank_in_foul_weather(bank: Bank, neon: WireProxy, db: Database) -> None:
    """Customers who never ask twice get their answers, whatever befalls; I1 to I8 hold."""
    nemesis = Nemesis(neon, db)
    for seed in _SEEDS:
        await _live(bank, nemesis, asked=_ASKED, seed=seed)
        if _is_foul(nemesis):
            break
    print(f"\n{dict(bank.answers)}\n{dict(nemesis.happened)}")  # noqa: T201  # the long form's figures

    assert await bank.broken_invariants(db) == []
    assert sum(_failed(bank).values()) <= len(bank.history) / 10_000, _failed(bank)
    assert _is_foul(nemesis), nemesis.happened


def _is_foul(nemesis: Nemesis) -> bool:
    """True once enough has befallen the bank: a run in fair weather proves nothing."""
    torn = nemesis.happened["tear after"] + nemesis.happened["tear during"]
    return torn > 0 and nemesis.happened.total() >= 10


def test_the_same_seed_draws_the_same_faults() -> None:
    """A run that failed can be had again."""
    first, second, other = (list(islice(draw(seed), 100)) for seed in (1, 1, 2))
    assert first == second != other


def _say_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    stock = UnitOfWorkConnection._committed

    async def committed(self: UnitOfWorkConnection, exchange: Awaitable[object]) -> object:
        try:
            return await stock(self, exchange)
        except OutcomeUnknownError as error:
            current_scope().doubts -= 1
            raise DatabaseUnavailableError from error

    monkeypatch.setattr(UnitOfWorkConnection, "_committed", committed)


def _send_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Retries, "pause_after", lambda *_, **__: None)


def _keep_the_key_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    stock = keyed_statement.parameters_of

    def parameters_of(*arguments: Any) -> dict[str, Any]:  # as the function's own
        return {**stock(*arguments), "neonkit_key": secrets.token_hex()}

    monkeypatch.setattr(execution, "parameters_of", parameters_of)


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (_say_unavailable, "I7"),
        (_send_nothing_again, "look database-unavailable"),
        (_keep_the_key_apart, "I4"),
    ],
)
async def test_a_planted_defect_is_found(
    bank: Bank,
    neon: WireProxy,
    db: Database,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
    found: str,
) -> None:
    """What says nothing of the defects that it is there for, proves nothing."""
    told: list[str] = []
    for seed in _SEEDS:
        plant(monkeypatch)
        await _live(bank, Nemesis(neon, db), asked=150, seed=seed)
        monkeypatch.undo()
        told += [*await bank.broken_invariants(db), *_failed(bank)]
        if any(each.startswith(found) for each in told):
            return
    pytest.fail(f"not found: {Counter(told)}")
