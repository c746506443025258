"""What may not be done with money, and who sees it."""

from neonkit.errors import ForbiddenError, NotFoundError, ProblemError
from neonkit.web import Principal
from neonkit_starter.accounts.errors import (
    AccountClosedError,
    BalanceLimitError,
    BalanceNotZeroError,
    CurrencyMismatchError,
    InsufficientFundsError,
)
from neonkit_starter.users.models import Role

_REFUSALS: dict[str, type[ProblemError]] = {
    "not-found": NotFoundError,
    "forbidden": ForbiddenError,
    "account-closed": AccountClosedError,
    "balance-limit": BalanceLimitError,
    "balance-not-zero": BalanceNotZeroError,
    "insufficient-funds": InsufficientFundsError,
    "currency-mismatch": CurrencyMismatchError,
}


def raise_refusal(refusal: str | None) -> None:
    """Raise what a statement's refusal means; `None` means that it was carried out."""
    if refusal is not None:
        raise _REFUSALS[refusal]


def is_admin(caller: Principal) -> bool:
    """Whether the caller sees every account."""
    return caller.role == Role.ADMIN


def owner_seen_by(caller: Principal) -> int | None:
    """Whose accounts the caller may read: their own, or anybody's (`None`)."""
    return None if is_admin(caller) else caller.id
