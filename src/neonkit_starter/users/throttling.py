"""How often passwords are tried, and names and addresses written."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from neonkit.auth import Attempt, Limit, Ride
from neonkit.web import EarlyThrottle, Runtime, ThrottlesDep, address_of

_OF_ONE_SIDE = 10  # times as often by an account from anywhere, and from an address at any account
_NAME_WRITES = 30

NameWrites = Callable[[], Ride]
Attempts = Callable[[str], tuple[Attempt, ...]]


def _name_write(connection: HTTPConnection) -> tuple[Attempt]:
    window = Runtime.of(connection).settings.login_window
    return (Attempt(Limit("names", _NAME_WRITES, window), address_of(connection)),)


async def get_name_writes(connection: HTTPConnection, throttles: ThrottlesDep) -> NameWrites:
    """Writes of a username or an e-mail: whether one is taken, a stranger learns 30 times a window.

    To write one more raises `RateLimitedError` where this address has written too many (429).
    """
    return partial(throttles.ride, *_name_write(connection), adding=1)


NameWritesDep = Annotated[NameWrites, Depends(get_name_writes)]
"""Counts a write, where it is called; the statement carries the count."""


class _OnlyNameWrites(EarlyThrottle):
    """Of a route that writes nothing but a name or an address: what is wrong comes after 429."""

    async def __call__(self, connection: HTTPConnection, throttles: ThrottlesDep) -> NameWrites:
        self.refuse(connection)
        return await get_name_writes(connection, throttles)


OnlyNameWritesDep = Annotated[NameWrites, Depends(_OnlyNameWrites(_name_write))]
"""The same where a route's every request is such a write, so that no body need be read to know."""


def _at_any_account(connection: HTTPConnection) -> tuple[Attempt]:
    settings = Runtime.of(connection).settings
    most = settings.login_max_failures * _OF_ONE_SIDE
    limit = Limit("login-address", most, settings.login_window)
    return (Attempt(limit, address_of(connection)),)


class _PasswordAttempts(EarlyThrottle):
    """Wrong passwords, by account and address, by account, and by address."""

    async def __call__(self, connection: HTTPConnection) -> Attempts:
        self.refuse(connection)
        settings = Runtime.of(connection).settings
        most, seconds = settings.login_max_failures, settings.login_window

        def attempts(username: str) -> tuple[Attempt, ...]:
            account = username.casefold()
            of_both = f"{address_of(connection)} {account}"
            return (
                Attempt(Limit("login", most, seconds), of_both),
                *_at_any_account(connection),
                Attempt(Limit("login-account", most * _OF_ONE_SIDE, seconds), account),
            )

        return attempts


PasswordAttemptsDep = Annotated[Attempts, Depends(_PasswordAttempts(_at_any_account))]
"""The attempts that a password for an account counts among."""
