"""Fingerprints of statements: their text with every value taken out."""

import hashlib
import re
from dataclasses import dataclass

_LONGEST = 2000
_HASH_DIGITS = 12

# PostgreSQL's lexical rules (section 4.1). What is not closed is masked to the end.
_VALUES_AND_NAMES = re.compile(
    r"""(?xis)
      (?P<name> "(?:[^"]|"")*" )
    | (?P<comment> --[^\n]* | /\*(?:[^*/]|\*(?!/)|/(?!\*)|/\*(?:[^*]|\*(?!/))*\*/)*(?:\*/|\Z) )
    | (?P<value>
        \be'(?:[^'\\]|\\.|'')*(?:'|\Z)                          # E'it\'s'
      | (?:\b(?:n|b|x|u&))?'(?:[^']|'')*(?:'|\Z)                # 'it''s', x'1F'
      | (?<![\w$])\$(?P<tag>(?:[a-z_]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)   # $tag$it's$tag$
      | (?:\$\d+|%s|%\(\w+\)s)                                  # a parameter, and its cast
        (?:::(?:(?:timestamp|time)\ with(?:out)?\ time\ zone|double\ precision|\w+)(?:\[\])*)?
      | (?<![\w$])\.?\d[\w.]*                                   # 12, .5, 1e5, 0x1F, 1_000
      )
    """
)
_LIST = re.compile(r"\(\s*\?(?:\s*,\s*\?)*\s*\)")
_ROWS = re.compile(r"\(\?\)(?:\s*,\s*\(\?\))+")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Fingerprint:
    """The same for every call of a statement, whatever its values.

    Attributes:
        text: the statement with `?` for each literal and parameter, `(?)` for a list of them
            however long, without comments; cut at 2,000 characters.
        hash: 12 hexadecimal digits of the uncut text's SHA-256: short enough to search for.
    """

    text: str
    hash: str

    @classmethod
    def of(cls, statement: str) -> "Fingerprint":
        """Take a statement's values out.

        Quoted identifiers stay: names are no values. Plain strings are read as
        `standard_conforming_strings = on` has it, PostgreSQL's default.
        """
        text = _VALUES_AND_NAMES.sub(_mask, statement)
        text = _ROWS.sub("(?)", _LIST.sub("(?)", text))
        text = _SPACE.sub(" ", text).strip()
        digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        return cls(text[:_LONGEST], digest[:_HASH_DIGITS])


def _mask(found: re.Match[str]) -> str:
    if found["name"]:
        return found["name"]
    return " " if found["comment"] else "?"
