"""Errors about a user, beyond what the toolkit knows."""

from neonkit.errors import ProblemError


class WeakPasswordError(ProblemError):
    """The password is too easy to guess."""

    detail = "The password is too easy to guess."
