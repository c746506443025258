"""Which of the four URL variables is the pooled URL, and which the direct one."""

from typing import TYPE_CHECKING, NamedTuple

from neonkit.dsn import Dsn

if TYPE_CHECKING:
    from neonkit.settings._settings import Settings


class GivenUrl(NamedTuple):
    """A URL, and the variable that holds it."""

    variable: str
    dsn: Dsn


def pooled_url(settings: "Settings") -> GivenUrl | None:
    """The pooled URL: NEON_POOLED_DATABASE_URL, else DATABASE_URL with a Neon pooler's host."""
    if settings.neon_pooled_database_url is not None:
        return GivenUrl("NEON_POOLED_DATABASE_URL", settings.neon_pooled_database_url)
    if settings.database_url is not None and settings.database_url.is_pooled:
        return GivenUrl("DATABASE_URL", settings.database_url)
    return None


def direct_url(settings: "Settings") -> GivenUrl | None:
    """The direct URL: NEON_DATABASE_URL, DATABASE_URL_UNPOOLED, else any other DATABASE_URL."""
    if settings.neon_database_url is not None:
        return GivenUrl("NEON_DATABASE_URL", settings.neon_database_url)
    if settings.database_url_unpooled is not None:
        return GivenUrl("DATABASE_URL_UNPOOLED", settings.database_url_unpooled)
    if settings.database_url is not None and not settings.database_url.is_pooled:
        return GivenUrl("DATABASE_URL", settings.database_url)
    return None


def are_apart(pooled: Dsn, direct: Dsn) -> bool:
    """Whether a Neon pooler's URL and a direct URL name different databases.

    Only Neon's own names can be compared: another pooler may stand in front of anything.
    """
    if not pooled.is_neon:
        return False
    return (_endpoint(pooled), pooled.database) != (_endpoint(direct), direct.database)


def _endpoint(dsn: Dsn) -> str:
    return dsn.direct().host.partition(".")[0]
