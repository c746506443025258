"""An address of a wire: where clients come in, and by whose rules."""

import ssl
from dataclasses import dataclass
from typing import Literal

from neonkit.dsn import Dsn

Tls = ssl.SSLContext | Literal["pass"] | None

_TLS_PARAMETERS = {"sslmode", "sslrootcert", "sslcert", "sslkey"}


@dataclass(frozen=True)
class ListeningAddress:
    """One port of a wire.

    Attributes:
        target: the server behind it.
        tls: a context ends a client's TLS, `pass` lets it through unread, `None` declines it.
        is_neon: whether it treats a login as Neon's proxy does.
        is_pooled: whether a pooler is behind it: it dies with the compute, without a word.
    """

    target: Dsn
    tls: Tls = None
    is_neon: bool = False
    is_pooled: bool = False

    def address(self, port: int) -> Dsn:
        """Where clients connect instead of the target."""
        parameters = dict(self.target.parameters)
        parameters.pop("sslnegotiation", None)  # the wire wants to be asked first
        if self.tls != "pass":
            parameters = {
                name: value for name, value in parameters.items() if name not in _TLS_PARAMETERS
            }
            parameters["sslmode"] = "disable" if self.tls is None else "require"
            parameters["channel_binding"] = "disable"
        return self.target.replace(host="127.0.0.1", port=port, parameters=parameters)
