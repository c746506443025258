"""Principals: callers, and their role."""

from dataclasses import dataclass
from enum import Enum

from neonkit.errors import ForbiddenError


@dataclass(frozen=True)
class Principal:
    """A caller.

    Attributes:
        id: the user's.
        role: theirs, such as `admin`; of an enum's member it is the value.
    """

    id: int
    role: str

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
