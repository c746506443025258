"""The bodies that clients send and get."""

from typing import Annotated, Literal

from pydantic import BaseModel, StringConstraints

from neonkit import InputModel
from neonkit_starter.users.schemas import Password


class TokenRead(BaseModel):
    """A pair of tokens, as OAuth2 answers with it (RFC 6749 section 5.1)."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  # the kind of token, as RFC 6750 names it
    expires_in: int


class RefreshTokenGiven(InputModel):
    """A refresh token, to be renewed or ended."""

    refresh_token: Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class PasswordChange(InputModel):
    """A new password, from somebody who knows the old one."""

    current_password: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    new_password: Password
