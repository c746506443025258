"""Accounts, their ledgers and transfers as clients see them."""

from typing import Any

from sqlalchemy import Select, String, func, or_, select
from sqlmodel import col

from neonkit.web import Principal
from neonkit_starter.accounts.models import Account, Entry, Transfer
from neonkit_starter.users.models import Role

SHOWN = (
    col(Account.id),
    col(Account.owner_id),
    col(Account.currency),
    col(Account.balance),
    col(Account.version),
    col(Account.status),
)
ACCOUNTS = select(*SHOWN)
ETAG = func.concat(col(Account.version), "-", col(Account.status), type_=String).label("etag")
"""The version is the ledger's, which closing leaves as it is: the tag tells of the status too."""
ACCOUNT = select(*SHOWN, ETAG)
"""An account on its own, with its entity tag."""
ENTRIES = select(
    col(Entry.version),
    col(Entry.transfer_id),
    col(Entry.amount),
    col(Entry.balance_after),
    col(Entry.created_at),
)
TRANSFERS = select(
    col(Transfer.id),
    col(Transfer.from_account_id),
    col(Transfer.to_account_id),
    col(Transfer.amount),
    col(Transfer.created_at),
)


def visible_accounts(me: Principal) -> Select[*tuple[Any, ...]]:
    """The caller's own accounts; an administrator's are everybody's."""
    return _visible_to(me, ACCOUNTS)


def visible_account(me: Principal, account_id: int) -> Select[*tuple[Any, ...]]:
    """One of them, with its entity tag."""
    return _visible_to(me, ACCOUNT).where(col(Account.id) == account_id)


def _visible_to(me: Principal, accounts: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    return accounts if me.role == Role.ADMIN else accounts.where(col(Account.owner_id) == me.id)


def visible_transfers(me: Principal) -> Select[*tuple[Any, ...]]:
    """The transfers from and to the caller's accounts; an administrator's are everybody's."""
    if me.role == Role.ADMIN:
        return TRANSFERS
    own = select(col(Account.id)).where(col(Account.owner_id) == me.id)
    return TRANSFERS.where(
        or_(col(Transfer.from_account_id).in_(own), col(Transfer.to_account_id).in_(own))
    )
