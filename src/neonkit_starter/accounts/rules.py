"""Refusals of the statements that move money, as errors."""

from typing import Any

from sqlalchemy import Result, Row

from neonkit.errors import ForbiddenError, NotFoundError, ProblemError, StaleVersionError
from neonkit_starter.accounts.errors import (
    AccountClosedError,
    BalanceLimitError,
    BalanceNotZeroError,
    CurrencyMismatchError,
    InsufficientFundsError,
)

_REFUSALS: dict[str, type[ProblemError]] = {
    "not-found": NotFoundError,
    "forbidden": ForbiddenError,
    "stale-version": StaleVersionError,
    "account-closed": AccountClosedError,
    "balance-limit": BalanceLimitError,
    "balance-not-zero": BalanceNotZeroError,
    "insufficient-funds": InsufficientFundsError,
    "currency-mismatch": CurrencyMismatchError,
}


def carried_out(done: Result[Any]) -> Row[*tuple[Any, ...]]:
    """Give the row of a statement that moved money.

    Raises:
        ProblemError: what its `refusal` means, where it moved none.
    """
    row: Row[*tuple[Any, ...]] = done.one()
    if row.refusal is not None:
        raise _REFUSALS[row.refusal]
    return row
