"""What the database itself refuses of money, whoever asks."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Row, text
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit_starter.accounts.models import MOST, Account
from neonkit_starter.accounts.statements import DEPOSIT, TRANSFER
from neonkit_starter.users.models import User


async def _deposit(session: AsyncSession, account: int, amount: Decimal) -> Row[*tuple[Any, ...]]:
    values = {"account": account, "amount": amount, "most": MOST}
    return (await (await session.connection()).execute(DEPOSIT, values)).one()


async def _pay(session: AsyncSession, **values: object) -> Row[*tuple[Any, ...]]:
    given = {**values, "is_admin": False, "most": MOST}
    return (await (await session.connection()).execute(TRANSFER, given)).one()


async def _open(session: AsyncSession, owner: User) -> int:
    account = Account(owner_id=owner.id or 0, currency="EUR")
    session.add(account)
    await session.commit()
    assert account.id is not None
    return account.id


@pytest.fixture
async def owner(session: AsyncSession) -> User:
    """Somebody who owns accounts."""
    user = User(username="midas", email="midas@example.com", hashed_password="-")
    session.add(user)
    await session.commit()
    return user


@pytest.fixture
async def rich(session: AsyncSession, owner: User) -> int:
    """An account with a deposit of 10.00 and a transfer of 4.00 behind it."""
    account, other = await _open(session, owner), await _open(session, owner)
    await _deposit(session, account, Decimal("10.00"))
    paid = await _pay(
        session,
        payer=account,
        payee=other,
        amount=Decimal("4.00"),
        caller=owner.id or 0,
        key="first-of-all",
    )
    assert paid.refusal is None
    await session.commit()
    return account


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("UPDATE accounts SET balance = -1 WHERE id = :rich", "ck_accounts_balance_not_negative"),
        ("UPDATE accounts SET balance = balance + 1 WHERE id = :rich", "fk_accounts_last_entry"),
        ("UPDATE accounts SET version = 1 WHERE id = :rich", "fk_accounts_last_entry"),
        ("UPDATE accounts SET status = 'closed' WHERE id = :rich", "ck_accounts_closed_is_empty"),
        ("DELETE FROM entries WHERE account_id = :rich AND version = 1", "fk_entries_previous"),
        ("DELETE FROM entries WHERE account_id = :rich AND version = 2", "fk_accounts_last_entry"),
        (
            """INSERT INTO entries (account_id, version, amount, balance_before, balance_after)
               VALUES (:rich, 4, 1, 6, 7)""",
            "fk_entries_previous",
        ),
        (
            """INSERT INTO entries (account_id, version, amount, balance_before, balance_after)
               VALUES (:rich, 3, 1, 7, 8)""",
            "fk_entries_previous",
        ),
        (
            """INSERT INTO entries (account_id, version, amount, balance_before, balance_after)
               VALUES (:rich, 3, 1, 6, 8)""",
            "ck_entries_adds_up",
        ),
        (
            """INSERT INTO entries (account_id, version, amount, balance_before, balance_after)
               VALUES (:rich, 3, -1, 6, 5)""",
            "ck_entries_deposit_above_zero",
        ),
        (
            """INSERT INTO transfers (from_account_id, to_account_id, amount, caller_id, key)
               SELECT id, id + 1, 1, owner_id, 'half' FROM accounts WHERE id = :rich""",
            "one entry that pays and one that receives",
        ),
        (
            """UPDATE transfers SET amount = 3 WHERE from_account_id = :rich""",
            "one entry that pays and one that receives",
        ),
        (
            """WITH made AS (
                 INSERT INTO transfers (from_account_id, to_account_id, amount, caller_id, key)
                 SELECT id, id + 1, 1, owner_id, 'uneven' FROM accounts WHERE id = :rich
                 RETURNING id
               )
               INSERT INTO entries
                 (account_id, version, transfer_id, amount, balance_before, balance_after)
               SELECT :rich, 3, id, -1, 6, 5 FROM made UNION ALL
               SELECT :rich + 1, 2, id, 2, 4, 6 FROM made""",
            "one entry that pays and one that receives",
        ),
    ],
)
async def test_a_ledger_that_does_not_add_up_cannot_be_stored(
    session: AsyncSession, rich: int, statement: str, rule: str
) -> None:
    """No negative balance, no gap, no entry that is not the other half of one: not even by hand."""
    with pytest.raises(IntegrityError, match=rule):
        await (await session.connection()).execute(text(statement), {"rich": rich})
    await session.rollback()


async def test_a_balance_has_at_most_fifteen_digits(
    session: AsyncSession, owner: User, rich: int
) -> None:
    """What would not fit is refused before it is booked; what just fits is taken."""
    full = await _open(session, owner)

    fits = await _deposit(session, full, MOST)
    more = await _deposit(session, full, Decimal("0.01"))
    paid = await _pay(
        session,
        payer=rich,
        payee=full,
        amount=Decimal("0.01"),
        caller=owner.id or 0,
        key="one-too-many",
    )

    assert fits.refusal is None
    assert more.refusal == "balance-limit"
    assert paid.refusal == "balance-limit"
    await session.rollback()
