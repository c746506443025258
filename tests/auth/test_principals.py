"""Roles, as text or as members of an enum."""

import enum

import pytest

from neonkit.auth import Principal
from neonkit.errors import ForbiddenError


class Old(str, enum.Enum):  # noqa: UP042  # it is what is tested
    """A role as enums of text were written before `StrEnum`: it prints its name."""

    ADMIN = "admin"
    USER = "user"


class New(enum.StrEnum):
    """A role that prints its value."""

    ADMIN = "admin"


class Other(enum.Enum):
    """A role that is no text."""

    ADMIN = "admin"


@pytest.mark.parametrize("role", ["admin", Old.ADMIN, New.ADMIN, Other.ADMIN])
@pytest.mark.parametrize("allowed", ["admin", Old.ADMIN, New.ADMIN, Other.ADMIN])
def test_roles_compare_by_value(role: str, allowed: str) -> None:
    """Whichever kind of enum either is of."""
    principal = Principal(1, role)

    assert principal.role == "admin"
    assert principal == Principal(1, "admin")
    principal.require("moderator", allowed)
    with pytest.raises(ForbiddenError):
        principal.require(Old.USER, "Old.ADMIN")
