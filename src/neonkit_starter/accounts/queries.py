"""What is asked about money, and the statements that move it.

Each of these statements is a whole unit of work: it locks the accounts in the order of their ids,
decides by what it then reads, and writes both sides or nothing. It gives one row, whose `refusal`
says why nothing was written.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import DateTime, Integer, Numeric, String, TextualSelect, insert, or_, text
from sqlalchemy.sql.dml import ReturningInsert
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from neonkit_starter.accounts.models import MOST, Account, Entry, Transfer

_TRANSFER = text("""
WITH locked AS MATERIALIZED (
  SELECT id, owner_id, currency, balance, version, status
  FROM accounts WHERE id IN (:payer, :payee) ORDER BY id FOR NO KEY UPDATE
), verdict AS (
  SELECT CASE
    WHEN payer.id IS NULL OR payee.id IS NULL THEN 'not-found'
    WHEN payer.owner_id <> :caller THEN CASE WHEN :is_admin THEN 'forbidden' ELSE 'not-found' END
    WHEN 'closed' IN (payer.status, payee.status) THEN 'account-closed'
    WHEN payee.balance + :amount > :most THEN 'balance-limit'
    WHEN payer.balance < :amount THEN 'insufficient-funds'
    WHEN payer.currency <> payee.currency THEN 'currency-mismatch'
  END AS refusal
  FROM (SELECT) AS always
  LEFT JOIN locked AS payer ON payer.id = :payer
  LEFT JOIN locked AS payee ON payee.id = :payee
), made AS (
  INSERT INTO transfers (from_account_id, to_account_id, amount, caller_id, key)
  SELECT :payer, :payee, :amount, :caller, :key FROM verdict WHERE refusal IS NULL
  RETURNING id, from_account_id, to_account_id, amount, created_at
), booked AS (
  INSERT INTO entries (account_id, version, transfer_id, amount, balance_before, balance_after)
  SELECT locked.id, version + 1, made.id, signed.amount, balance, balance + signed.amount
  FROM made, locked, LATERAL (
    SELECT CASE locked.id WHEN from_account_id THEN -made.amount ELSE made.amount END AS amount
  ) AS signed
  RETURNING account_id, version, balance_after
), changed AS (
  UPDATE accounts SET balance = balance_after, version = booked.version
  FROM booked WHERE accounts.id = account_id
)
SELECT refusal, made.* FROM verdict LEFT JOIN made ON true
""").columns(
    refusal=String,
    id=Integer,
    from_account_id=Integer,
    to_account_id=Integer,
    amount=Numeric(17, 2),
    created_at=DateTime(timezone=True),
)

_DEPOSIT = text("""
WITH locked AS MATERIALIZED (
  SELECT id, balance, version, status FROM accounts WHERE id = :account FOR NO KEY UPDATE
), verdict AS (
  SELECT CASE
    WHEN id IS NULL THEN 'not-found'
    WHEN status = 'closed' THEN 'account-closed'
    WHEN balance + :amount > :most THEN 'balance-limit'
  END AS refusal
  FROM (SELECT) AS always LEFT JOIN locked ON true
), booked AS (
  INSERT INTO entries (account_id, version, amount, balance_before, balance_after)
  SELECT id, version + 1, :amount, balance, balance + :amount
  FROM locked, verdict WHERE refusal IS NULL
  RETURNING id, account_id, amount, created_at, version, balance_after
), changed AS (
  UPDATE accounts SET balance = balance_after, version = booked.version
  FROM booked WHERE accounts.id = account_id
)
SELECT refusal, booked.id, account_id, amount, created_at
FROM verdict LEFT JOIN booked ON true
""").columns(
    refusal=String,
    id=Integer,
    account_id=Integer,
    amount=Numeric(17, 2),
    created_at=DateTime(timezone=True),
)

_CLOSE = text("""
WITH locked AS MATERIALIZED (
  SELECT * FROM accounts WHERE id = :account FOR NO KEY UPDATE
), verdict AS (
  SELECT CASE
    WHEN id IS NULL THEN 'not-found'
    WHEN owner_id <> :caller THEN CASE WHEN :is_admin THEN 'forbidden' ELSE 'not-found' END
    WHEN balance <> 0 THEN 'balance-not-zero'
  END AS refusal
  FROM (SELECT) AS always LEFT JOIN locked ON true
), closed AS (
  UPDATE accounts SET status = 'closed'
  FROM verdict WHERE accounts.id = :account AND refusal IS NULL
)
SELECT refusal, id, owner_id, currency, balance, version, 'closed' AS status
FROM verdict LEFT JOIN locked ON true
""").columns(
    refusal=String,
    id=Integer,
    owner_id=Integer,
    currency=String,
    balance=Numeric(17, 2),
    version=Integer,
    status=String,
)


_SHOWN = (
    col(Account.id),
    col(Account.owner_id),
    col(Account.currency),
    col(Account.balance),
    col(Account.version),
    col(Account.status),
)


def transfer(
    *, payer: int, payee: int, amount: Decimal, caller: int, is_admin: bool, key: str
) -> TextualSelect:
    """Move money, if it is the caller's and all of it is there."""
    return _TRANSFER.bindparams(
        payer=payer,
        payee=payee,
        amount=amount,
        caller=caller,
        is_admin=is_admin,
        key=key,
        most=MOST,
    )


def deposit(*, account: int, amount: Decimal) -> TextualSelect:
    """Book money that comes from outside."""
    return _DEPOSIT.bindparams(account=account, amount=amount, most=MOST)


def close(*, account: int, caller: int, is_admin: bool) -> TextualSelect:
    """Close an empty account; one that is closed stays so."""
    return _CLOSE.bindparams(account=account, caller=caller, is_admin=is_admin)


def open_account(*, owner_id: int, currency: str) -> ReturningInsert[*tuple[Any, ...]]:
    """Open an empty account."""
    return insert(Account).values(owner_id=owner_id, currency=currency).returning(*_SHOWN)


def accounts(*, owner_id: int | None = None) -> SelectOfScalar[Account]:
    """All accounts, or those of one owner."""
    found = select(Account)
    return found if owner_id is None else found.where(col(Account.owner_id) == owner_id)


def account_by_id(account_id: int, *, owner_id: int | None) -> SelectOfScalar[Account]:
    """The account, if there is one and it is this owner's; `None` asks for no owner."""
    return accounts(owner_id=owner_id).where(col(Account.id) == account_id)


def accounts_among(ids: Sequence[int], *, owner_id: int | None) -> SelectOfScalar[Account]:
    """Those of these accounts that are this owner's: one statement, so one moment."""
    return accounts(owner_id=owner_id).where(col(Account.id).in_(ids))


def entries(account_id: int, *, after_version: int) -> SelectOfScalar[Entry]:
    """An account's ledger from a version on."""
    return select(Entry).where(
        col(Entry.account_id) == account_id, col(Entry.version) > after_version
    )


def transfer_by_id(transfer_id: int, *, owner_id: int | None) -> SelectOfScalar[Transfer]:
    """The transfer, if one of its accounts is this owner's; `None` asks for no owner."""
    found = select(Transfer).where(col(Transfer.id) == transfer_id)
    if owner_id is None:
        return found
    theirs = accounts(owner_id=owner_id).with_only_columns(col(Account.id))
    return found.where(
        or_(col(Transfer.from_account_id).in_(theirs), col(Transfer.to_account_id).in_(theirs))
    )


def transfer_by_key(key: str, *, caller: int) -> SelectOfScalar[Transfer]:
    """The transfer that this caller made under this key."""
    return select(Transfer).where(col(Transfer.caller_id) == caller, col(Transfer.key) == key)
