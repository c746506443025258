"""Ids of requests: the client's own where it is harmless, else one of ours."""

import re
from secrets import token_hex

_USABLE = re.compile(rb"[A-Za-z0-9._-]{1,64}\Z")


def usable_request_id(given: bytes) -> str:
    """The id of a request.

    Args:
        given: its `X-Request-ID`; empty where there is none.
    """
    return given.decode() if _USABLE.match(given) else token_hex(16)
