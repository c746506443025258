"""The bodies that clients get."""

from typing import Literal

from pydantic import BaseModel


class TokenRead(BaseModel):
    """A token, as OAuth2 answers with it (RFC 6749 section 5.1)."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  # the kind of token, as RFC 6750 names it
    expires_in: int
