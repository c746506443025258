"""The pytest plugin: a real PostgreSQL for every test, a client of the app, a live server.

The fixtures `app`, `client`, `db`, `session` and `live_server`, and the marker `real_commits`,
are there wherever `neonkit[testing]` is installed; nothing is imported for them. A fixture of
yours with one of these names wins.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neonkit.testing._live import LiveServer

__all__ = ["LiveServer"]


def __getattr__(name: str) -> object:
    """Import `LiveServer` when it is first asked for: pytest imports this room in every run."""
    if name == "LiveServer":
        from neonkit.testing._live import LiveServer

        return LiveServer
    raise AttributeError(f"module 'neonkit.testing' has no attribute {name!r}")
