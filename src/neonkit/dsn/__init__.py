"""PostgreSQL URLs: parse, check, mask, rewrite, and render for each driver."""

from neonkit._public_names import show_public_names
from neonkit.dsn._dsn import Dsn

__all__ = ["Dsn"]

show_public_names(__name__)
