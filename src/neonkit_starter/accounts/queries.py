"""Accounts, their ledgers and transfers as clients see them."""

from typing import Any

from sqlalchemy import Select, or_, select
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
    return ACCOUNTS if me.role == Role.ADMIN else ACCOUNTS.where(col(Account.owner_id) == me.id)


def visible_transfers(me: Principal) -> Select[*tuple[Any, ...]]:
    """The transfers from and to the caller's accounts; an administrator's are everybody's."""
    if me.role == Role.ADMIN:
        return TRANSFERS
    own = select(col(Account.id)).where(col(Account.owner_id) == me.id)
    return TRANSFERS.where(
        or_(col(Transfer.from_account_id).in_(own), col(Transfer.to_account_id).in_(own))
    )
