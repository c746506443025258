"""Who calls: passwords at rest, and access tokens."""

from neonkit._public_names import show_public_names
from neonkit.auth._passwords import hash_password, verify_password
from neonkit.auth._principals import Principal
from neonkit.auth._tokens import (
    AccessToken,
    TokenPolicy,
    issue_access_token,
    read_access_token,
)

__all__ = [
    "AccessToken",
    "Principal",
    "TokenPolicy",
    "hash_password",
    "issue_access_token",
    "read_access_token",
    "verify_password",
]

show_public_names(__name__)
