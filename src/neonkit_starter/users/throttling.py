"""How often passwords are tried, and names and addresses written."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from neonkit.auth import Attempt, Limit, Ride
from neonkit.web import Runtime, ThrottlesDep, address_of

_OF_ONE_SIDE = 10  # times as often by an account from anywhere, and from an address at any account
_NAME_WRITES = 30

NameWrites = Callable[[], Ride]
Attempts = Callable[[str], tuple[Attempt, ...]]


async def get_name_writes(connection: HTTPConnection, throttles: ThrottlesDep) -> NameWrites:
    """Writes of a username or an e-mail: whether one is taken, a stranger learns 30 times a window.

    To write one more raises `RateLimitedError` where this address has written too many (429).
    """
    limit = Limit("names", _NAME_WRITES, Runtime.of(connection).settings.login_window)
    return partial(throttles.ride, Attempt(limit, address_of(connection)), adding=1)


NameWritesDep = Annotated[NameWrites, Depends(get_name_writes)]
"""Counts a write, where it is called; the statement carries the count."""


async def get_password_attempts(connection: HTTPConnection) -> Attempts:
    """Wrong passwords, by account and address, by account, and by address."""
    settings = Runtime.of(connection).settings
    most, seconds, address = (
        settings.login_max_failures,
        settings.login_window,
        address_of(connection),
    )

    def attempts(username: str) -> tuple[Attempt, ...]:
        account = username.casefold()
        by_any = most * _OF_ONE_SIDE
        return (
            Attempt(Limit("login", most, seconds), f"{address} {account}"),
            Attempt(Limit("login-address", by_any, seconds), address),
            Attempt(Limit("login-account", by_any, seconds), account),
        )

    return attempts


PasswordAttemptsDep = Annotated[Attempts, Depends(get_password_attempts)]
"""The attempts that a password for an account counts among."""
