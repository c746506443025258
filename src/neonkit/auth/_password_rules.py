"""Which passwords are too easy to guess (NIST SP 800-63B-4, section 3.1.1.2).

Length does the work: 15 characters where a password is the only factor. There is no rule about
kinds of characters; what length alone would let through is refused by a list that comes with this
package.
"""

import re
import unicodedata
from functools import cache
from pathlib import Path

_FEWEST = 15
_MOST = 128
_FEWEST_DIFFERENT = 5
_MOST_WORDS = 2
_SHORTEST_NAME = 3
_LIST = Path(__file__).with_name("common_passwords.txt")
_SIGNS = re.compile(r"[\W_]+")
_LOOKALIKES = str.maketrans("@401!3$57", "aaoiiesst")


def weakness_of(password: str, *names: str) -> str | None:
    """Why a password is too easy to guess; `None` where it will do.

    Args:
        password: the new one.
        names: what everybody knows of its owner, such as the username and the e-mail address.

    Returns:
        the rest of a sentence that begins with "it".
    """
    if not _FEWEST <= len(password) <= _MOST:
        return f"it must have {_FEWEST} to {_MOST} characters"
    folded = unicodedata.normalize("NFKC", password).casefold()
    if len(set(folded)) < _FEWEST_DIFFERENT:
        return f"it must hold at least {_FEWEST_DIFFERENT} different characters"
    known = {name.casefold() for name in names}
    if folded in known:
        return "it must not be the username or the e-mail address"
    own = {bare for name in known for bare in map(_bare, (name, name.partition("@")[0]))}
    words = _listed() | {each for each in own if len(each) >= _SHORTEST_NAME}
    if any(_is_made_of(words, spelling) for spelling in _spellings(folded)):
        return "it is on the list of common passwords"
    return None


def _spellings(folded: str) -> set[str]:
    """A password without blanks and signs, as it is typed and as it is meant."""
    return {_bare(folded), _bare(folded.translate(_LOOKALIKES))}


def _bare(text: str) -> str:
    return _SIGNS.sub("", text)


@cache
def _listed() -> frozenset[str]:
    lines = _LIST.read_text("utf-8").splitlines()
    return frozenset(_bare(line) for line in lines if line and not line.startswith("#"))


def _is_made_of(words: frozenset[str], text: str) -> bool:
    """True for one or two words of the list, however often, and a few characters besides."""
    rest, used = text, 0
    for word in sorted(words, key=len, reverse=True):
        if word in rest:
            rest, used = rest.replace(word, " "), used + 1
    left = set(rest) - {" "}
    return 0 < used <= _MOST_WORDS and len(left) < _FEWEST_DIFFERENT
