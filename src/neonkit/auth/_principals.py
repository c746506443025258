"""Principals: callers, their role, and the sign-in that they call by."""

from dataclasses import dataclass, field
from enum import Enum

from neonkit.errors import ForbiddenError


@dataclass(frozen=True)
class SignIn:
    """What lasts from a password until a logout: a family of refresh tokens, and what they renew.

    Attributes:
        id: names it, without being a secret.
        epoch: how often its owner had ended all sign-ins when it began.
    """

    id: bytes
    epoch: int = 0


@dataclass(frozen=True)
class Principal:
    """A caller.

    Attributes:
        id: the user's.
        role: theirs, such as `admin`; of an enum's member it is the value.
        sign_in: by which they call; `None` where their token belongs to none.
    """

    id: int
    role: str
    sign_in: SignIn | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "role", role_name(self.role))

    def require(self, *roles: str) -> None:
        """Let only these roles through; enums' members count by their values.

        Raises:
            ForbiddenError: the caller has none of them (403).
        """
        if self.role not in map(role_name, roles):
            raise ForbiddenError


def role_name(role: object) -> str:
    """A role as text: an enum's member by its value, as the database and a token keep it."""
    return str(role.value if isinstance(role, Enum) else role)
