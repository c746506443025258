"""Security events: log lines with names of their own, for whoever watches."""

import logging
from typing import Literal, TypeAlias

from neonkit.db import current_scope

_log = logging.getLogger("neonkit.security")

SecurityEvent: TypeAlias = Literal[
    "login-refused",
    "password-changed",
    "refresh-token-reused",
    "role-changed",
    "sign-ins-ended",
    "too-many-attempts",
]
"""The names; what they mean stands in `docs/how-to/sign-in.md`."""


def log_security_event(event: SecurityEvent, **fields: str | int | bool | None) -> None:
    """Write the line: a warning of the logger `neonkit.security`, its name in `event`.

    Args:
        event: its name.
        **fields: what else is known, such as `subject`; never a secret, nor what was typed.
    """
    told = {name: value for name, value in fields.items() if value is not None}
    said = " ".join(f"{name}={value}" for name, value in told.items())
    route = current_scope().label()
    _log.warning("%s %s", event, said, extra={**told, "event": event, "route": route})
