"""Throttling: how often an address may call a route."""

from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from neonkit.auth import Attempt, Limit, Throttles
from neonkit.web._route_names import method_of, route_of
from neonkit.web._runtime import Runtime
from neonkit.web._session_dependencies import DatabaseDep

_OF_ONE_CLIENT = 64  # bits: whoever has an IPv6 address has all that share its first half
_QUIET_SECONDS = 10.0


def address_of(connection: HTTPConnection) -> str:
    """The address that a client is counted by: of IPv6, the network that one client has.

    Behind a proxy it is the client's own where TRUSTED_PROXIES names the proxy, else the proxy's.
    """
    host = connection.client.host if connection.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, _OF_ONE_CLIENT), strict=False))


async def get_throttles(connection: HTTPConnection) -> Throttles:
    """The counts of what was tried too often."""
    return Runtime.of(connection).serving.throttles


ThrottlesDep = Annotated[Throttles, Depends(get_throttles)]


class EarlyThrottle:
    """A dependency that refuses before who calls is looked at, and what is wrong with the body.

    A subclass is called as any dependency is, and says there what it counts. Before FastAPI comes
    to that, a request whose input is at fault is held against what was counted until then.

    Args:
        attempts_of: what of a request's head counts, such as its client's address.
    """

    def __init__(self, attempts_of: Callable[[HTTPConnection], Sequence[Attempt]]) -> None:
        self.attempts_of = attempts_of

    def refuse(self, connection: HTTPConnection) -> None:
        """Refuse what was tried too often, by what is counted here: it costs no round trip.

        Raises:
            RateLimitedError: with the seconds until the window ends (429).
        """
        Runtime.of(connection).serving.throttles.refuse(*self.attempts_of(connection))


class _Throttle(EarlyThrottle):
    async def __call__(
        self, connection: HTTPConnection, throttles: ThrottlesDep, database: DatabaseDep
    ) -> None:
        """Count the request.

        Raises:
            RateLimitedError: there were too many (429).
        """
        settings = Runtime.of(connection).serving.settings
        is_awake = database.health.idle_seconds() < _QUIET_SECONDS
        may_wake = is_awake or not settings.sleeps_when_idle
        for attempt in self.attempts_of(connection):
            await throttles.take(attempt, database, may_wake=may_wake)


def throttle(
    most: int,
    seconds: float,
    *,
    name: str | None = None,
    by: Callable[[HTTPConnection], str] = address_of,
) -> Callable[..., Awaitable[None]]:
    """Make a dependency that lets a client call so often, and answers 429 with `Retry-After` then.

        @app.post("/invitations", dependencies=[Depends(throttle(20, 3600))])

    What is counted is shared by all workers; a round trip goes to it for each tenth of `most` that
    a client uses up, and none where a database that scales to zero may be asleep. Nothing is
    refused where RATE_LIMIT_ENABLED is false.

    Args:
        most: times, within a window that begins with the first.
        seconds: how long the window is.
        name: of what is counted; by default the route's, so that each route counts apart.
        by: names who calls; by default their address.
    """

    def attempts_of(connection: HTTPConnection) -> tuple[Attempt]:
        counted = name or f"{method_of(connection.scope)} {route_of(connection.scope)}"
        return (Attempt(Limit(counted, most, seconds), by(connection)),)

    return _Throttle(attempts_of)
