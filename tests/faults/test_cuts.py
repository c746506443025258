"""Connections torn one by one, on either side of the statement that commits.

The long form: `CUTS=1000 pytest tests/faults/test_cuts.py`.
"""

import os
from decimal import Decimal

import pytest
from sqlalchemy import text

from neonkit import Database
from neonkit.local import WireProxy
from neonkit.local._network_faults import When
from support.bank import Bank
from support.people import API

pytestmark = pytest.mark.both_drivers

_CUTS = int(os.environ.get("CUTS", "8"))
_ACCOUNTS = text("SELECT count(*) FROM accounts")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_transfer_is_told_as_it_is(
    bank: Bank, neon: WireProxy, db: Database, when: When
) -> None:
    """Under a key each is answered 201, and has happened once."""
    for _ in range(_CUTS):
        neon.cut_at("statement", when=when)
        await bank.pay(bank.accounts[0], bank.accounts[1], Decimal("0.01"))

    assert neon.cuts == _CUTS
    assert bank.answers["transfer 201"] == _CUTS
    assert await bank.broken_invariants(db) == []


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_write_without_a_key_is_unknown(
    bank: Bank, neon: WireProxy, db: Database, when: When
) -> None:
    """It is never sent again: one effect or none, and 503 outcome-unknown where the reply is lost.

    A driver that had it prepared in a trip of its own lost nothing there, and is answered 201.
    """
    effects, unknown = await _count(db), 0
    for _ in range(_CUTS):
        neon.cut_at("statement", when=when)
        answer = await bank.client.post(f"{API}/accounts", json={}, headers=bank.owner.headers)
        unknown += answer.json()["type"] == "/problems/outcome-unknown"

    assert neon.cuts == _CUTS == unknown
    assert await _count(db) - effects == (_CUTS if when == "after" else 0)


async def _count(db: Database) -> int:
    found: int = (await db.execute(_ACCOUNTS)).scalar_one()
    return found
