"""The URL variables: which of them is the pooled URL, and which the direct one."""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import NamedTuple

from neonkit.dsn import Dsn


class GivenUrl(NamedTuple):
    """A URL, and the variable that holds it."""

    variable: str
    dsn: Dsn


@dataclass(frozen=True)
class Urls:
    """The URLs that the variables hold, each named as its variable; the first of a kind counts.

    DATABASE_URL and POSTGRES_URL are pooled URLs if their host is a Neon pooler, else direct ones.
    """

    neon_database_url: Dsn | None = None
    neon_pooled_database_url: Dsn | None = None
    database_url_unpooled: Dsn | None = None
    database_url: Dsn | None = None
    postgres_url: Dsn | None = None

    @cached_property
    def pooled(self) -> GivenUrl | None:
        """The pooled URL that was given."""
        return self._first(
            "neon_pooled_database_url", *(each for each in _EITHER if self._is_pooled(each))
        )

    @cached_property
    def direct(self) -> GivenUrl | None:
        """The direct URL that was given."""
        return self._first(
            "neon_database_url",
            "database_url_unpooled",
            *(each for each in _EITHER if not self._is_pooled(each)),
        )

    @cached_property
    def traffic_dsn(self) -> Dsn | None:
        """The address for requests: the pooled URL, given or derived, else the direct one."""
        if self.pooled is not None:
            return self.pooled.dsn
        return self.direct and self.direct.dsn.pooled()

    @cached_property
    def direct_dsn(self) -> Dsn | None:
        """The address for migrations, never through a pooler.

        `None` also where only the URL of another pooler than Neon's is given: what stands behind
        it cannot be derived.
        """
        if self.direct is not None:
            return self.direct.dsn.direct()
        if self.pooled is not None and self.pooled.dsn.is_neon:
            return self.pooled.dsn.direct()
        return None

    def _first(self, *names: str) -> GivenUrl | None:
        found = ((name, getattr(self, name)) for name in names)
        return next((GivenUrl(name.upper(), dsn) for name, dsn in found if dsn is not None), None)

    def _is_pooled(self, name: str) -> bool:
        dsn: Dsn | None = getattr(self, name)
        return dsn is not None and dsn.is_pooled


URL_FIELDS = tuple(each.name for each in fields(Urls))
_EITHER = ("database_url", "postgres_url")


def are_apart(pooled: Dsn, direct: Dsn) -> bool:
    """Compare the databases behind a Neon pooler's URL and a direct URL; true for different ones.

    Only Neon's own names can be compared: another pooler may stand in front of anything.
    """
    if not pooled.is_neon:
        return False
    return (_endpoint(pooled), pooled.database) != (_endpoint(direct), direct.database)


def _endpoint(dsn: Dsn) -> str:
    return dsn.direct().host.partition(".")[0]
