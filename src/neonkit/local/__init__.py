"""The embedded PostgreSQL: a real server for development and tests, with nothing to install."""

from neonkit.local._binaries import Binaries, find_binaries
from neonkit.local._server import LocalServer

__all__ = ["Binaries", "LocalServer", "find_binaries"]
