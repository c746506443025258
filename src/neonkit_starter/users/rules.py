"""Rules for names, addresses and passwords, and who sees an account."""

import unicodedata

from neonkit.auth import weakness_of
from neonkit.errors import FieldProblem, NotFoundError
from neonkit.web import Principal
from neonkit_starter.users.errors import WeakPasswordError
from neonkit_starter.users.models import Role

_VISIBLE = ("L", "M", "N", "P", "S")


def check_email(address: str) -> str:
    """Accept an address that could be delivered to: one `@`, nothing invisible.

    Raises:
        ValueError: what is wrong with it.
    """
    local, at, domain = address.partition("@")
    if not at or not local or "@" in domain:
        raise ValueError("must hold exactly one @, with something before it")
    if any(not unicodedata.category(character).startswith(_VISIBLE) for character in address):
        raise ValueError("must not hold spaces, control or invisible characters")
    if not unicodedata.is_normalized("NFC", address):
        raise ValueError("must be in Unicode's composed form (NFC)")
    labels = domain.split(".")
    if len(labels) < 2 or not all(labels):  # noqa: PLR2004  # a name and a top-level domain
        raise ValueError("must end in a domain, such as example.com")
    return address


def refuse_strangers(me: Principal, user_id: int) -> None:
    """Hide other people's accounts: to a stranger, one that exists looks like one that does not.

    Raises:
        NotFoundError: the account is another's, and the caller no administrator (404).
    """
    if me.id != user_id and me.role != Role.ADMIN:
        raise NotFoundError


def refuse_weak(password: str, *, username: str, email: str, field: str = "password") -> None:
    """Refuse a password that is too easy to guess.

    Args:
        password: the new one.
        username: whose it is to be.
        email: and their address.
        field: of the body that it stands in.

    Raises:
        WeakPasswordError: why, at the password's field (422).
    """
    weakness = weakness_of(password, username, email)
    if weakness is not None:
        fault = FieldProblem(f"/body/{field}", "weak-password", weakness)
        raise WeakPasswordError(errors=[fault])
