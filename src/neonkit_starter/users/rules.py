"""Rules for names, addresses and passwords, and who sees an account."""

import unicodedata

from neonkit.errors import FieldProblem, NotFoundError
from neonkit.web import Principal
from neonkit_starter.users.errors import WeakPasswordError
from neonkit_starter.users.models import Role

_VISIBLE = ("L", "M", "N", "P", "S")
_FEWEST_DIFFERENT = 5
_COMMON_PARTS = (
    "password", "passwort", "qwerty", "letmein", "welcome", "iloveyou", "administrator",
    "correcthorsebatterystaple", "abcdefghijklmnopqrstuvwxyz", "1234567890", "0987654321",
    "12345678", "123456",
)  # fmt: skip


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
    weakness = weakness_of(password, username=username, email=email)
    if weakness is not None:
        fault = FieldProblem(f"/body/{field}", "weak-password", weakness)
        raise WeakPasswordError(errors=[fault])


def weakness_of(password: str, *, username: str, email: str) -> str | None:
    """Why a password is too easy to guess; `None` where it will do.

    Length does the work (NIST SP 800-63B-4: 15 characters where a password is the only factor);
    these rules refuse what length alone would let through.
    """
    folded = password.casefold()
    if len(set(password)) < _FEWEST_DIFFERENT:
        return "it must hold at least 5 different characters"
    if folded in {username.casefold(), email.casefold()}:
        return "it must not be the username or the e-mail address"
    if _is_common(folded):
        return "it is on the list of common passwords"
    return None


def _is_common(folded: str) -> bool:
    rest = folded
    for part in _COMMON_PARTS:
        rest = rest.replace(part, "")
    has_common = len(rest) < len(folded)
    return has_common and len(set(rest)) < _FEWEST_DIFFERENT
