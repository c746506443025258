"""Who calls: passwords at rest, tokens, and the sign-ins that they belong to."""

from neonkit._public_names import show_public_names
from neonkit.auth._issuers import Issuer, IssuerTokens, check_issuer_url, issuer_of
from neonkit.auth._one_time_tokens import OneTimeTokens
from neonkit.auth._password_rules import weakness_of
from neonkit.auth._passwords import hash_password, needs_rehash, verify_password
from neonkit.auth._principals import Principal, SignIn
from neonkit.auth._security_log import SecurityEvent, log_security_event
from neonkit.auth._sign_ins import (
    FindPrincipal,
    SignIns,
    TokenPair,
    alive_values,
    ending_sign_ins,
    is_alive,
    sign_in_epoch,
)
from neonkit.auth._throttles import Attempt, Limit, Ride, Throttles
from neonkit.auth._tokens import (
    AccessToken,
    TokenPolicy,
    issue_access_token,
    read_access_token,
)

__all__ = [
    "AccessToken",
    "Attempt",
    "FindPrincipal",
    "Issuer",
    "IssuerTokens",
    "Limit",
    "OneTimeTokens",
    "Principal",
    "Ride",
    "SecurityEvent",
    "SignIn",
    "SignIns",
    "Throttles",
    "TokenPair",
    "TokenPolicy",
    "alive_values",
    "check_issuer_url",
    "ending_sign_ins",
    "hash_password",
    "is_alive",
    "issue_access_token",
    "issuer_of",
    "log_security_event",
    "needs_rehash",
    "read_access_token",
    "sign_in_epoch",
    "verify_password",
    "weakness_of",
]

show_public_names(__name__)
