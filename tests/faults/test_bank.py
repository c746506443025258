"""The starter's bank under a nemesis: nothing is lost, nothing happens twice, nobody is misled.

The long form: `TRANSFERS=20000 pytest tests/faults/test_bank.py -k foul_weather -s`; another
`SEED` draws other faults, and `CUSTOMERS=16` suits a machine with other work.
"""

import asyncio
import os
import random
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple

import pytest
from sqlalchemy import text

from neonkit import Database
from neonkit.db import current_scope
from neonkit.db._statements import execution, keyed_statement
from neonkit.db._wire.connection import UnitOfWorkConnection
from neonkit.db._wire.retries import Retries
from neonkit.errors import DatabaseUnavailableError, OutcomeUnknownError
from neonkit.local import WireProxy
from neonkit.local._conversation import Moment
from neonkit.local._network_faults import When
from support.bank import Bank
from support.nemesis import Nemesis, draw

_ASKED = int(os.environ.get("TRANSFERS", "40"))
_SEED = int(os.environ.get("SEED", "14"))
_IS_LONG = _ASKED > 1000
_CUSTOMERS = int(os.environ.get("CUSTOMERS", "64" if _IS_LONG else "8"))
_FAULTS: dict[str, Any] = (
    {"pause": 20, "longest": 2.0} if _IS_LONG else {"pause": 2, "longest": 0.3}
)


async def _live(bank: Bank, nemesis: Nemesis) -> None:
    """Let customers ask for so many things while the nemesis rages."""
    raging = asyncio.create_task(nemesis.rage(draw(_SEED, **_FAULTS)))
    left = iter(range(_ASKED))

    async def customer(number: int) -> None:
        chance = random.Random(_SEED * 1000 + number)
        for _ in left:
            nemesis.note_request()
            await bank.ask_for_something(chance)

    await asyncio.gather(*map(customer, range(_CUSTOMERS)))
    assert not raging.done(), "a nemesis that fails lets no fault happen"
    raging.cancel()
    await asyncio.gather(raging, return_exceptions=True)


def _failed(bank: Bank) -> Counter[str]:
    return Counter({told: n for told, n in bank.answers.items() if not told.endswith(_WELL)})


_WELL = (" 200", " 201", " insufficient-funds")


@pytest.mark.both_drivers
async def test_the_bank_in_foul_weather(bank: Bank, neon: WireProxy, past_it: Database) -> None:
    """Customers who never ask twice get their answers, whatever befalls; I1 to I8 hold."""
    await bank.open_for_business(_CUSTOMERS // 2)
    nemesis = Nemesis(neon, past_it)
    await _live(bank, nemesis)
    print(f"\n{dict(bank.answers)}\n{dict(nemesis.happened)}")  # noqa: T201  # the long form's figures

    assert await bank.broken_invariants(past_it) == []
    assert sum(_failed(bank).values()) <= len(bank.history) / 10_000, _failed(bank)
    assert nemesis.happened.total() >= _ASKED / _FAULTS["pause"] / 2, "fair weather proves nothing"
    assert nemesis.happened["write torn after"] + nemesis.happened["write torn during"] > 0


def test_the_same_seed_draws_the_same_faults() -> None:
    """A run that failed can be had again."""
    first, second, other = (list(islice(draw(seed, **_FAULTS), 100)) for seed in (1, 1, 2))
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


def _pay(bank: Bank) -> Awaitable[object]:
    return bank.pay(bank.accounts[0], bank.accounts[1], Decimal(1))


def _deposit(bank: Bank) -> Awaitable[object]:
    return bank.deposit(bank.accounts[0], Decimal(1))


class Defect(NamedTuple):
    """A defect, and the cut that shows it.

    Attributes:
        plant: puts it in.
        ask: what a customer does meanwhile.
        moment: which statement is torn.
        when: on which side of it.
        found: how what is told of it begins.
    """

    plant: Callable[[pytest.MonkeyPatch], None]
    ask: Callable[[Bank], Awaitable[object]]
    moment: Moment
    when: When
    found: str


_DEFECTS = [
    Defect(_say_unavailable, _pay, "write", "after", "I7"),
    Defect(_send_nothing_again, Bank.look, "statement", "before", "look database-unavailable"),
    Defect(_keep_the_key_apart, _deposit, "write", "after", "I4"),
]


async def test_planted_defects_are_found(
    bank: Bank, neon: WireProxy, past_it: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cut at the right moment shows each: what says nothing of a defect proves nothing."""
    told: list[str] = []
    for defect in _DEFECTS:
        with monkeypatch.context() as patch:
            defect.plant(patch)
            neon.cut_at(defect.moment, when=defect.when)
            await defect.ask(bank)
        assert not any(each.startswith(defect.found) for each in told), told
        told = [*await bank.broken_invariants(past_it), *_failed(bank)]
        assert any(each.startswith(defect.found) for each in told), told


# A trigger of the database's own would refuse half of a transfer, and a foreign key a balance that
# is not its ledger's: an update can be lost without a word only where both are gone.
_LOSE_AN_UPDATE = """
ALTER TABLE accounts DROP CONSTRAINT fk_accounts_last_entry;
CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER lose BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION lose();
"""


async def test_a_lost_update_is_found(bank: Bank, past_it: Database) -> None:
    """The ledger tells of money that the balance does not show."""
    async with past_it.engine.begin() as connection:
        for statement in _LOSE_AN_UPDATE.strip().split("\n"):
            await connection.execute(text(statement))
    await _pay(bank)
    told = await bank.broken_invariants(past_it)
    assert [each for each in told if each.startswith("I6: the balance of")], told
