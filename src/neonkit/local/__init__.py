"""The embedded PostgreSQL, with nothing to install; and a wire to it that counts and that fails."""

from neonkit._public_names import show_public_names
from neonkit.local._binaries import Binaries, find_binaries
from neonkit.local._certificate import Certificate
from neonkit.local._network_faults import Refusal
from neonkit.local._pooler import LocalPooler, find_pgbouncer
from neonkit.local._ports import address_of, open_listener
from neonkit.local._round_trips import Trip, Trips
from neonkit.local._server import LocalServer
from neonkit.local._tls_request import open_tls
from neonkit.local._wire_proxy import WireProxy

__all__ = [
    "Binaries",
    "Certificate",
    "LocalPooler",
    "LocalServer",
    "Refusal",
    "Trip",
    "Trips",
    "WireProxy",
    "address_of",
    "find_binaries",
    "find_pgbouncer",
    "open_listener",
    "open_tls",
]

show_public_names(__name__)
