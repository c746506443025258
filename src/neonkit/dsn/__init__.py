"""PostgreSQL URLs: parse, check, mask, rewrite, and render for each driver."""

from neonkit.dsn._dsn import Dsn

__all__ = ["Dsn"]
