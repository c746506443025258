"""The bodies that clients send and get."""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    Strict,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from neonkit import InputModel, UtcDateTime
from neonkit_starter.accounts.models import Status
from neonkit_starter.parameters import LARGEST_ID

_PATTERN = r"^(0|[1-9][0-9]{0,14})\.[0-9]{2}$"
_ABOVE_ZERO = r"^([1-9][0-9]{0,14}\.[0-9]{2}|0\.[0-9][1-9]|0\.[1-9]0)$"
_SIGNED = r"^-?(0|[1-9][0-9]{0,14})\.[0-9]{2}$"


def _read_amount(value: object) -> Decimal:
    """Take a string of digits with two after the point: a JSON number may not be what was meant."""
    if not isinstance(value, str) or not re.fullmatch(_PATTERN[1:-1], value, re.ASCII):
        raise PydanticCustomError(
            "money", 'Money is a string such as "12.50": up to 15 digits, a point, two digits'
        )
    amount = Decimal(value)
    if not amount:
        raise PydanticCustomError("greater_than", "The amount must be above zero")
    return amount


def _write(amount: Decimal) -> str:
    return f"{amount:.2f}"


Amount = Annotated[
    Decimal,
    BeforeValidator(_read_amount),
    WithJsonSchema({"type": "string", "pattern": _ABOVE_ZERO, "examples": ["12.50"]}),
]
Money = Annotated[
    Decimal,
    PlainSerializer(_write, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _PATTERN, "examples": ["12.50"]}),
]
SignedMoney = Annotated[
    Decimal,
    PlainSerializer(_write, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _SIGNED, "examples": ["-12.50"]}),
]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
AccountId = Annotated[int, Strict(), Field(ge=1, le=LARGEST_ID)]


class AccountCreate(InputModel):
    """A new account."""

    currency: Currency = "EUR"


class AccountRead(BaseModel):
    """An account, as its owner sees it."""

    id: int
    owner_id: int
    currency: str
    balance: Money
    version: int
    status: Status


class DepositCreate(InputModel):
    """Money that comes from outside."""

    amount: Amount


class DepositRead(BaseModel):
    """A deposit that was made."""

    id: int
    account_id: int
    amount: Money
    created_at: UtcDateTime


class EntryRead(BaseModel):
    """One step of a ledger; without a transfer it is a deposit."""

    version: int
    transfer_id: int | None
    amount: SignedMoney
    balance_after: Money
    created_at: UtcDateTime


class BalanceRead(BaseModel):
    """An account's balance and version at one moment."""

    id: int
    balance: Money
    version: int


class Snapshot(BaseModel):
    """Accounts at one moment."""

    accounts: list[BalanceRead]


class TransferCreate(InputModel):
    """Money that is to go from one account to another."""

    from_account_id: AccountId
    to_account_id: AccountId
    amount: Amount


class TransferRead(BaseModel):
    """A transfer that was made."""

    id: int
    from_account_id: int
    to_account_id: int
    amount: Money
    created_at: UtcDateTime
