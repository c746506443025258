"""Who calls, and what they may."""

from dataclasses import dataclass

from neonkit.errors import ForbiddenError


@dataclass(frozen=True)
class Principal:
    """Who calls.

    Attributes:
        id: the user's.
        role: what they are, such as `admin`.
    """

    id: int
    role: str

    def require(self, *roles: str) -> None:
        """Let only these roles through.

        Raises:
            ForbiddenError: the caller has none of them (403).
        """
        if self.role not in map(str, roles):
            raise ForbiddenError
