"""Who calls: passwords at rest, and access tokens."""

from neonkit.auth._passwords import hash_password, verify_password
from neonkit.auth._tokens import TokenPolicy, issue_access_token, read_access_token

__all__ = [
    "TokenPolicy",
    "hash_password",
    "issue_access_token",
    "read_access_token",
    "verify_password",
]
