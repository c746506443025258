"""The tables of money, and what the database itself refuses.

* A balance below zero, or above what fits: CHECK.
* A gap in a ledger, or a sum that does not add up: each entry refers to the one before it, by its
  version and the balance it left, and an account refers to its last entry.
* Half a transfer: a trigger looks at both of its entries at the end of the statement that writes
  them.
"""

from decimal import Decimal
from enum import StrEnum

from sqlalchemy import (
    DDL,
    CheckConstraint,
    Computed,
    ForeignKeyConstraint,
    Index,
    Numeric,
    UniqueConstraint,
    event,
    func,
)
from sqlmodel import Field

from neonkit import TableModel, UtcDateTime

MOST = Decimal("999999999999999.99")
"""The largest balance: 15 digits before the point."""

_MONEY = Numeric(17, 2)


class Status(StrEnum):
    """True if an account takes part."""

    OPEN = "open"
    CLOSED = "closed"


class Account(TableModel, table=True):
    """An account: its balance and version are those of its ledger's last entry."""

    __tablename__ = "accounts"  # pyright: ignore[reportAssignmentType]  # SQLModel types it as a method
    __table_args__ = (
        CheckConstraint("balance >= 0", name="balance_not_negative"),
        CheckConstraint("version > 0 OR balance = 0", name="nothing_from_nothing"),
        CheckConstraint("status = 'open' OR balance = 0", name="closed_is_empty"),
        CheckConstraint(
            "length(currency) = 3 AND currency = upper(currency)", name="currency_code"
        ),
        ForeignKeyConstraint(
            ["id", "last_version", "balance"],
            ["entries.account_id", "entries.version", "entries.balance_after"],
            name="fk_accounts_last_entry",
            use_alter=True,
        ),
        Index(None, "owner_id", "id"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_column_kwargs={"autoincrement": True})
    owner_id: int = Field(foreign_key="users.id")
    currency: str = Field(max_length=3)
    balance: Decimal = Field(default=Decimal("0.00"), sa_type=_MONEY)
    version: int = Field(default=0)
    status: Status = Field(default=Status.OPEN)
    last_version: int | None = Field(
        default=None,
        sa_column_args=(Computed("nullif(version, 0)", persisted=True),),
    )


class Transfer(TableModel, table=True):
    """Money that went from one account to another, once."""

    __tablename__ = "transfers"  # pyright: ignore[reportAssignmentType]  # SQLModel types it as a method
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_above_zero"),
        CheckConstraint("from_account_id <> to_account_id", name="two_accounts"),
        UniqueConstraint("caller_id", "key"),
        Index(None, "from_account_id"),
        Index(None, "to_account_id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    from_account_id: int = Field(foreign_key="accounts.id")
    to_account_id: int = Field(foreign_key="accounts.id")
    amount: Decimal = Field(sa_type=_MONEY)
    caller_id: int = Field(foreign_key="users.id")
    key: str = Field(max_length=255)
    created_at: UtcDateTime = Field(
        default=None, sa_column_kwargs={"server_default": func.now()}, nullable=False
    )


class Entry(TableModel, table=True):
    """One step of an account's ledger; without a transfer it is a deposit."""

    __tablename__ = "entries"  # pyright: ignore[reportAssignmentType]  # SQLModel types it as a method
    __table_args__ = (
        CheckConstraint("balance_after = balance_before + amount", name="adds_up"),
        CheckConstraint("balance_after >= 0", name="balance_not_negative"),
        CheckConstraint("transfer_id IS NOT NULL OR amount > 0", name="deposit_above_zero"),
        CheckConstraint("version > 1 OR (version = 1 AND balance_before = 0)", name="begins"),
        UniqueConstraint("account_id", "version"),
        UniqueConstraint("account_id", "version", "balance_after"),
        UniqueConstraint("transfer_id", "account_id"),
        ForeignKeyConstraint(
            ["account_id", "previous_version", "balance_before"],
            ["entries.account_id", "entries.version", "entries.balance_after"],
            name="fk_entries_previous",
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    account_id: int = Field(foreign_key="accounts.id")
    version: int
    transfer_id: int | None = Field(default=None, foreign_key="transfers.id")
    amount: Decimal = Field(sa_type=_MONEY)
    balance_before: Decimal = Field(sa_type=_MONEY)
    balance_after: Decimal = Field(sa_type=_MONEY)
    previous_version: int | None = Field(
        default=None,
        sa_column_args=(Computed("nullif(version - 1, 0)", persisted=True),),
    )
    created_at: UtcDateTime = Field(
        default=None, sa_column_kwargs={"server_default": func.now()}, nullable=False
    )


_REFUSE_HALF_A_TRANSFER = DDL(  # type: ignore[no-untyped-call]  # SQLAlchemy annotates no constructor
    """
CREATE OR REPLACE FUNCTION refuse_half_a_transfer() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  transfer integer := CASE TG_TABLE_NAME WHEN 'transfers' THEN NEW.id
                      ELSE (to_jsonb(NEW) ->> 'transfer_id')::integer END;
BEGIN
  IF transfer IS NOT NULL AND (
    SELECT array_agg((entry.account_id, entry.amount) ORDER BY entry.amount)
    FROM entries AS entry WHERE entry.transfer_id = transfer
  ) IS DISTINCT FROM (
    SELECT ARRAY[(from_account_id, -amount), (to_account_id, amount)]
    FROM transfers WHERE id = transfer
  ) THEN
    RAISE EXCEPTION 'a transfer has one entry that pays and one that receives'
      USING ERRCODE = 'check_violation', TABLE = 'entries', CONSTRAINT = 'ck_entries_two_halves';
  END IF;
  RETURN NULL;
END $$
"""
)
_WATCH = DDL(  # type: ignore[no-untyped-call]  # as above
    """
CREATE TRIGGER two_halves AFTER INSERT OR UPDATE ON %(fullname)s
  FOR EACH ROW EXECUTE FUNCTION refuse_half_a_transfer()
"""
)

for _table, _statement in (
    ("transfers", _REFUSE_HALF_A_TRANSFER),
    ("transfers", _WATCH),
    ("entries", _WATCH),
):
    event.listen(
        Transfer.metadata.tables[_table],
        "after_create",
        _statement.execute_if(dialect="postgresql"),
    )
