"""Why money does not move."""

from neonkit.errors import ProblemError


class InsufficientFundsError(ProblemError):
    """The paying account holds less than the amount."""

    detail = "The account does not hold enough."


class SameAccountError(ProblemError):
    """A transfer must be between two accounts."""

    detail = "A transfer needs two different accounts."


class CurrencyMismatchError(ProblemError):
    """Nothing is exchanged here."""

    detail = "The accounts are in different currencies."


class AccountClosedError(ProblemError):
    """A closed account neither pays nor receives."""

    detail = "The account is closed."


class BalanceNotZeroError(ProblemError):
    """Only an empty account can be closed."""

    detail = "The account still holds money; move it elsewhere first."


class BalanceLimitError(ProblemError):
    """The balance would have more than 15 digits before the point."""

    detail = "The receiving account cannot hold that much."
