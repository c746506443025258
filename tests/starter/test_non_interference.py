"""Who cannot pay learns nothing of the other account, and holds nobody up."""

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from itertools import product

import httpx2
import pytest
from sqlalchemy import text

from neonkit import Database
from neonkit_starter.accounts.models import MOST
from starter.conftest import Call

AMOUNTS = ("0.01", "17.00", f"{MOST}")
FORBIDDEN_LOCKS = text("""
SELECT id FROM accounts WHERE id = ANY(:ids) FOR UPDATE NOWAIT
""")


Told = set[tuple[object, ...]]


@dataclass(frozen=True)
class Payee:
    """An account of somebody else's, in a state that is nobody's business."""

    balance: str = "0.00"
    currency: str = "EUR"
    is_closed: bool = False


PAYEES = [
    Payee(),
    Payee("0.01"),
    Payee("4606657.21"),
    Payee(f"{MOST}"),
    Payee(f"{MOST - Decimal('0.01')}"),
    Payee(currency="JPY"),
    Payee("5.00", "USD"),
    Payee(is_closed=True),
    Payee(currency="JPY", is_closed=True),
]


async def _open(call: Call, who: str, state: Payee) -> int:
    """Open an account, and bring it into a state."""
    made = await call("POST /accounts", who, json={"currency": state.currency})
    account: int = made.json()["id"]
    if state.balance != "0.00":
        body = {"amount": state.balance}
        key = {"Idempotency-Key": f"deposit-{account:05}"}
        paid = await call(f"POST /accounts/{account}/deposits", "admin", json=body, headers=key)
        assert paid.status_code == 201
    if state.is_closed:
        assert (await call(f"POST /accounts/{account}/close", who)).status_code == 200
    return account


def _told(answer: httpx2.Response) -> tuple[object, ...]:
    """All of an answer but what differs between any two."""
    body = answer.json() | {"instance": ""}
    names = sorted(answer.headers.keys())
    changing = {"date", "x-request-id", "x-process-time", "server-timing"}
    said = {name: answer.headers[name] for name in names if name not in changing}
    return answer.status_code, str(body), str(said)


async def _answers(
    call: Call, payer: int, payees: list[int], amount: str
) -> set[tuple[object, ...]]:
    found = set()
    for payee in payees:
        body = {"from_account_id": payer, "to_account_id": payee, "amount": amount}
        key = {"Idempotency-Key": f"transfer-{payer}-{payee}-{amount}"}
        found.add(_told(await call("POST /transfers", "ada", json=body, headers=key)))
    return found


@pytest.mark.parametrize("payer", [Payee(), Payee("0.00", "JPY"), Payee(is_closed=True)])
async def test_the_answer_depends_on_the_payer_alone(call: Call, payer: Payee) -> None:
    """For one payer and one amount that it has not: one answer, to whatever account it goes."""
    source = await _open(call, "ada", payer)
    payees = [await _open(call, "bob", state) for state in PAYEES]

    for amount in AMOUNTS:
        told = await _answers(call, source, payees, amount)
        slug = "account-closed" if payer.is_closed else "insufficient-funds"
        assert len(told) == 1, told
        assert f"/problems/{slug}" in str(told)


async def test_who_does_not_own_the_payer_is_told_of_neither(call: Call) -> None:
    """404 for every pair of other people's accounts, as for one that is not there."""
    accounts = [await _open(call, "bob", state) for state in PAYEES[:4]]
    missing = 2**31 - 1
    told: Told = set()
    for payer, payee in product([*accounts, missing], [*accounts, missing]):
        if payer != payee:
            told |= await _answers(call, payer, [payee], "0.01")

    assert len(told) == 1, told
    assert next(iter(told))[0] == 404


@pytest.mark.real_commits
@pytest.mark.parametrize("who", ["ada", "admin"])
async def test_nobody_elses_account_is_locked(call: Call, db: Database, who: str) -> None:
    """While somebody holds the account, who may not pay or close it is refused without a wait."""
    mine = await _open(call, who, Payee())
    other = await _open(call, "bob", Payee("5.00"))
    async with db.session() as session:
        connection = await session.connection()
        await connection.execute(FORBIDDEN_LOCKS, {"ids": [other]})
        requests = [
            call(
                "POST /transfers",
                who,
                json={"from_account_id": payer, "to_account_id": payee, "amount": "1.00"},
                headers={"Idempotency-Key": f"transfer-{payer}-to-{payee}"},
            )
            for payer, payee in ((mine, other), (other, mine))
        ]
        requests += [call(f"POST /accounts/{other}/close", who)]
        async with asyncio.timeout(10):
            answers = [await each for each in requests]
        await session.rollback()

    strange = 403 if who == "admin" else 404
    assert [answer.status_code for answer in answers] == [400, strange, strange]
