"""What is asked about money, and the statements that move it.

Each of these statements is a whole unit of work: it locks the accounts in the order of their ids,
decides by what it then reads, and writes both sides or nothing. It gives one row, whose `refusal`
says why nothing was written.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CTE,
    Boolean,
    DateTime,
    Integer,
    Numeric,
    Select,
    String,
    bindparam,
    column,
    exists,
    insert,
    or_,
    select,
    text,
    true,
)
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.types import TypeEngine
from sqlmodel import col

from neonkit_starter.accounts.models import MOST, Account, Entry, Transfer

Row = tuple[Any, ...]
Call = tuple[Select[*Row], dict[str, Any]]
"""A statement, made once, and its parameters."""
Types = dict[str, TypeEngine[Any]]

SHOWN = (
    col(Account.id),
    col(Account.owner_id),
    col(Account.currency),
    col(Account.balance),
    col(Account.version),
    col(Account.status),
)
"""What a client sees of an account."""
_ENTRY = (
    col(Entry.version),
    col(Entry.transfer_id),
    col(Entry.amount),
    col(Entry.balance_after),
    col(Entry.created_at),
)
_TRANSFER = (
    col(Transfer.id),
    col(Transfer.from_account_id),
    col(Transfer.to_account_id),
    col(Transfer.amount),
    col(Transfer.created_at),
)

_MONEY = Numeric(17, 2)
_MOMENT = DateTime(timezone=True)
_GIVEN: Types = {
    "account": Integer(),
    "payer": Integer(),
    "payee": Integer(),
    "caller": Integer(),
    "is_admin": Boolean(),
    "amount": _MONEY,
    "most": _MONEY,
    "key": String(),
}


def _types_of(columns: Sequence[Any]) -> Types:
    return {each.key: each.type for each in columns}


def _step(name: str, sql: str, *given: str, **columns: TypeEngine[Any]) -> CTE:
    """A step of a statement: later ones know it by its name."""
    step = text(sql).bindparams(*(bindparam(each, type_=_GIVEN[each]) for each in given))
    return step.columns(*(column(key, kind) for key, kind in columns.items())).cte(name)


def _in_order(*steps: CTE, verdict: CTE, made: CTE) -> Select[*Row]:
    """A statement of these steps, which tells one's refusal and what another has made."""
    row = select(*verdict.c, *made.c).select_from(verdict.outerjoin(made, true()))
    return row.add_cte(*steps)


_REFUSAL: Types = {"refusal": String()}
_LOCKED_PAIR = _step("locked", """
  SELECT id, owner_id, currency, balance, version, status
  FROM accounts WHERE id IN (:payer, :payee) ORDER BY id FOR NO KEY UPDATE
""", "payer", "payee", id=Integer())  # fmt: skip
_LOCKED = _step("locked", """
  SELECT id, owner_id, currency, balance, version, status
  FROM accounts WHERE id = :account FOR NO KEY UPDATE
""", "account", **_types_of(SHOWN))  # fmt: skip
_CHANGED = _step("changed", """
  UPDATE accounts SET balance = balance_after, version = booked.version
  FROM booked WHERE accounts.id = account_id
  RETURNING accounts.id
""", id=Integer())  # fmt: skip

_MAY_MOVE = _step("verdict", """
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
""", "payer", "payee", "caller", "is_admin", "amount", "most", **_REFUSAL)  # fmt: skip
_MOVED = _step("made", """
  INSERT INTO transfers (from_account_id, to_account_id, amount, caller_id, key)
  SELECT :payer, :payee, :amount, :caller, :key FROM verdict WHERE refusal IS NULL
  RETURNING id, from_account_id, to_account_id, amount, created_at
""", "payer", "payee", "amount", "caller", "key", **_types_of(_TRANSFER))  # fmt: skip
_BOOKED_TWICE = _step("booked", """
  INSERT INTO entries (account_id, version, transfer_id, amount, balance_before, balance_after)
  SELECT locked.id, version + 1, made.id, signed.amount, balance, balance + signed.amount
  FROM made, locked, LATERAL (
    SELECT CASE locked.id WHEN from_account_id THEN -made.amount ELSE made.amount END AS amount
  ) AS signed
  RETURNING account_id, version, balance_after
""", account_id=Integer())  # fmt: skip
_MOVE = _in_order(
    _LOCKED_PAIR, _MAY_MOVE, _MOVED, _BOOKED_TWICE, _CHANGED, verdict=_MAY_MOVE, made=_MOVED
)

_MAY_BOOK = _step("verdict", """
  SELECT CASE
    WHEN id IS NULL THEN 'not-found'
    WHEN status = 'closed' THEN 'account-closed'
    WHEN balance + :amount > :most THEN 'balance-limit'
  END AS refusal
  FROM (SELECT) AS always LEFT JOIN locked ON true
""", "amount", "most", **_REFUSAL)  # fmt: skip
_BOOKED = _step("booked", """
  INSERT INTO entries (account_id, version, amount, balance_before, balance_after)
  SELECT id, version + 1, :amount, balance, balance + :amount
  FROM locked, verdict WHERE refusal IS NULL
  RETURNING id, account_id, amount, created_at, version, balance_after
""", "amount", id=Integer(), account_id=Integer(), amount=_MONEY, created_at=_MOMENT)  # fmt: skip
_BOOK = _in_order(_LOCKED, _MAY_BOOK, _BOOKED, _CHANGED, verdict=_MAY_BOOK, made=_BOOKED)

_MAY_CLOSE = _step("verdict", """
  SELECT CASE
    WHEN id IS NULL THEN 'not-found'
    WHEN owner_id <> :caller THEN CASE WHEN :is_admin THEN 'forbidden' ELSE 'not-found' END
    WHEN balance <> 0 THEN 'balance-not-zero'
  END AS refusal
  FROM (SELECT) AS always LEFT JOIN locked ON true
""", "caller", "is_admin", **_REFUSAL)  # fmt: skip
_CLOSED = _step("closed", """
  UPDATE accounts SET status = 'closed'
  FROM verdict WHERE accounts.id = :account AND refusal IS NULL
  RETURNING id, owner_id, currency, balance, version, status
""", "account", **_types_of(SHOWN))  # fmt: skip
_CLOSE = _in_order(_LOCKED, _MAY_CLOSE, _CLOSED, verdict=_MAY_CLOSE, made=_CLOSED)


def transfer(  # each a value of the statement, by name
    *, payer: int, payee: int, amount: Decimal, caller: int, is_admin: bool, key: str
) -> Call:
    """Move money, if it is the caller's and all of it is there."""
    return _MOVE, {
        "payer": payer,
        "payee": payee,
        "amount": amount,
        "caller": caller,
        "is_admin": is_admin,
        "key": key,
        "most": MOST,
    }


def deposit(*, account: int, amount: Decimal) -> Call:
    """Book money that comes from outside."""
    return _BOOK, {"account": account, "amount": amount, "most": MOST}


def close(*, account: int, caller: int, is_admin: bool) -> Call:
    """Close an empty account; one that is closed stays so."""
    return _CLOSE, {"account": account, "caller": caller, "is_admin": is_admin}


def open_account(*, owner_id: int, currency: str) -> ReturningInsert[*Row]:
    """Open an empty account."""
    return insert(Account).values(owner_id=owner_id, currency=currency).returning(*SHOWN)


def accounts(*, owner_id: int | None = None) -> Select[*Row]:
    """All accounts, or those of one owner."""
    found = select(*SHOWN)
    return found if owner_id is None else found.where(col(Account.owner_id) == owner_id)


def account_by_id(account_id: int, *, owner_id: int | None) -> Select[*Row]:
    """The account, if there is one and it is this owner's; `None` asks for no owner."""
    return accounts(owner_id=owner_id).where(col(Account.id) == account_id)


def accounts_among(ids: Sequence[int], *, owner_id: int | None) -> Select[*Row]:
    """Those of these accounts that are this owner's: one statement, so one moment."""
    return accounts(owner_id=owner_id).where(col(Account.id).in_(ids))


def entries(account_id: int, *, after_version: int, owner_id: int | None) -> Select[*Row]:
    """An account's ledger from a version on, if it is this owner's; `None` asks for no owner."""
    return select(*_ENTRY).where(
        exists(account_by_id(account_id, owner_id=owner_id)),
        col(Entry.account_id) == account_id,
        col(Entry.version) > after_version,
    )


def transfer_by_id(transfer_id: int, *, owner_id: int | None) -> Select[*Row]:
    """The transfer, if one of its accounts is this owner's; `None` asks for no owner."""
    found = select(*_TRANSFER).where(col(Transfer.id) == transfer_id)
    if owner_id is None:
        return found
    theirs = accounts(owner_id=owner_id).with_only_columns(col(Account.id))
    return found.where(
        or_(col(Transfer.from_account_id).in_(theirs), col(Transfer.to_account_id).in_(theirs))
    )


def transfer_by_key(key: str, *, caller: int) -> Select[*Row]:
    """The transfer that this caller made under this key."""
    return select(*_TRANSFER).where(col(Transfer.caller_id) == caller, col(Transfer.key) == key)
