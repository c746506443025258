"""Passwords that change: asked for whenever a connection is opened, and kept nowhere."""

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeAlias

from neonkit.dsn import Dsn
from neonkit.errors import PasswordError

PasswordSource: TypeAlias = Callable[[], str | Awaitable[str]]
"""Gives the password of the moment: a function, or a coroutine function where it has to wait."""


async def with_password(dsn: Dsn, source: PasswordSource | None) -> Dsn:
    """The address with the password of the moment; unchanged where nobody gives one.

    Raises:
        PasswordError: the source failed, or gave no text.
    """
    if source is None:
        return dsn
    try:
        given: object = source()
        password = await given if isawaitable(given) else given
    except Exception as error:
        raise PasswordError(f"failed: {type(error).__name__}") from error
    if not isinstance(password, str) or not password:
        raise PasswordError(f"gave {type(password).__name__ if password else 'nothing'}")
    return dsn.replace(password=password)
