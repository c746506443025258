"""The pytest plugin: a real PostgreSQL for every test, a client of the app, a live server.

The fixtures `app`, `client`, `db`, `session`, `live_server`, `neon`, `trips`, `budget`, `access`
and `revisions`, and the marker `real_commits`, are there wherever `neonkit[testing]` is installed;
nothing is imported for them.
A fixture of yours with one of these names wins.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neonkit.testing._access_walk import Access, AccessWalk
    from neonkit.testing._budget_fixture import TripBudget
    from neonkit.testing._live_server import LiveServer
    from neonkit.testing._revisions_fixture import Revisions
    from neonkit.testing._trips_fixture import TripCounter

__all__ = ["Access", "AccessWalk", "LiveServer", "Revisions", "TripBudget", "TripCounter"]


def __getattr__(name: str) -> object:
    """Import a name when it is first asked for: pytest imports this room in every run."""
    if name in {"Access", "AccessWalk"}:
        from neonkit.testing import _access_walk

        return getattr(_access_walk, name)
    if name == "LiveServer":
        from neonkit.testing._live_server import LiveServer

        return LiveServer
    if name == "Revisions":
        from neonkit.testing._revisions_fixture import Revisions

        return Revisions
    if name == "TripBudget":
        from neonkit.testing._budget_fixture import TripBudget

        return TripBudget
    if name == "TripCounter":
        from neonkit.testing._trips_fixture import TripCounter

        return TripCounter
    raise AttributeError(f"module 'neonkit.testing' has no attribute {name!r}")
