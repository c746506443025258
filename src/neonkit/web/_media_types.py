"""Media types in `Content-Type` and `Accept` (RFC 9110), read without a parser of mail headers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from neonkit.errors import UnsupportedMediaTypeError

LONGEST = 256
"""Bytes of a `Content-Type` that are read; the longest boundary of a form has 70 of them."""

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_PARAMETER = rf"[ \t]*;(?:[ \t]*({_WORD})=({_WORD}|{_QUOTED}))?"
_SHAPE = re.compile(rf"({_WORD}/{_WORD})((?:{_PARAMETER})*)[ \t]*")
_PARAMETERS = re.compile(_PARAMETER)
_RANGE = rf"[ \t]*(?:({_WORD}/{_WORD})((?:{_PARAMETER})*)[ \t]*)?(?:,|\Z)"
_RANGES = re.compile(rf"(?:{_RANGE})+")
_EACH_RANGE = re.compile(_RANGE)
_QUALITY = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_ESCAPED = re.compile(r"\\(.)")
_UTF_8 = {"utf-8", "utf8"}
_UNREADABLE = f"Content-Type must be one media type of at most {LONGEST} bytes."


@dataclass(frozen=True)
class MediaType:
    """A media type, comparable: what has no case is in lower case.

    Attributes:
        essence: type and subtype, such as `application/json`; empty where none was sent.
        parameters: by name in lower case; values without their quotes.
    """

    essence: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_json(self) -> bool:
        """True if it is `application/json`, or a format that is written in JSON (RFC 6839)."""
        return self.essence == "application/json" or (
            self.essence.startswith("application/") and self.essence.endswith("+json")
        )

    @property
    def is_form(self) -> bool:
        """True if it is one of the two kinds of form that browsers send."""
        return self.essence in {FORM, MULTIPART}

    @property
    def is_utf_8(self) -> bool:
        """True if its `charset` is UTF-8, or left out. A name that a client sent is no codec."""
        return self.parameters.get("charset", "utf-8").lower() in _UTF_8


_KNOWN = {
    b"": MediaType(),
    b"application/json": MediaType("application/json"),
    FORM.encode(): MediaType(FORM),
}


def read_media_type(value: bytes) -> MediaType:
    """Read the value of a `Content-Type`.

    Raises:
        UnsupportedMediaTypeError: it is too long, is no media type, says a parameter twice, or
            encodes one as RFC 2231 does for mail, which readers understand differently (415).
    """
    if (known := _KNOWN.get(value)) is not None:
        return known
    if len(value) > LONGEST:
        raise UnsupportedMediaTypeError(_UNREADABLE)
    return _read(value)


@lru_cache(64)
def _read(value: bytes) -> MediaType:
    found = _SHAPE.fullmatch(value.decode("latin-1").strip(" \t"))
    if found is None:
        raise UnsupportedMediaTypeError(_UNREADABLE)
    parameters: dict[str, str] = {}
    for name, given in _PARAMETERS.findall(found[2]):
        key = name.lower()
        if key in parameters or "*" in key:
            raise UnsupportedMediaTypeError("Each parameter of Content-Type stands once, as it is.")
        if key:
            parameters[key] = _ESCAPED.sub(r"\1", given[1:-1]) if given[0] == '"' else given
    return MediaType(found[1].lower(), parameters)


def admits_json(accept: bytes) -> bool:
    """Tell if a client takes JSON: the most specific range of its `Accept` decides (12.5.1).

    One that cannot be read says nothing.
    """
    text = accept.decode("latin-1")
    if not _RANGES.fullmatch(text):
        return True
    ranges = [each for each in _EACH_RANGE.findall(text) if each[0]]
    found = {essence.lower(): _quality_in(given) for essence, given, *_ in ranges}
    if None in found.values():
        return True
    for essence in ("application/json", "application/*", "*/*"):
        if essence in found:
            return found[essence] != 0
    return not found


def _quality_in(parameters: str) -> float | None:
    """The weight of a range, 1 by default; `None` where it is none."""
    given = next((q for name, q in _PARAMETERS.findall(parameters) if name.lower() == "q"), "1")
    return float(given) if _QUALITY.fullmatch(given) else None
