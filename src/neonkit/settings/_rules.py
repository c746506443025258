"""What one variable asks of another: what is refused at start, and what is only said."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from neonkit.settings._secret_key import weakness_of
from neonkit.settings._urls import are_apart, direct_url, pooled_url

if TYPE_CHECKING:
    from neonkit.settings._settings import Settings

_LESS_THAN = (
    ("lock_timeout", "statement_timeout"),
    ("statement_timeout", "request_timeout"),
    ("pool_timeout", "request_timeout"),
    ("connect_timeout", "request_timeout"),
    ("drain_seconds", "shutdown_timeout"),
)
_URLS = ("neon_database_url", "neon_pooled_database_url", "database_url_unpooled", "database_url")
_ADMIN = ("first_admin_username", "first_admin_email", "first_admin_password")
_MAKE_A_KEY = "make one: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
_ORIGIN = re.compile(r"\*|null|[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s*]+")
_SHORTEST_KEY = 16  # bytes; cursors are not signed with less
_WITHOUT_TLS = {"disable", "allow", "prefer"}  # the last two may end without it


class Problem(NamedTuple):
    """Why the start is refused.

    Attributes:
        fields: those whose values the rule looked at.
        text: the rule and its fix; never a secret.
    """

    fields: tuple[str, ...]
    text: str


def problems_of(settings: "Settings") -> Iterator[Problem]:
    """Find the rules that are broken."""
    yield from _timeouts_out_of_order(settings)
    admin = [getattr(settings, name) for name in _ADMIN]
    if any(admin) and not all(admin):
        text = "FIRST_ADMIN_USERNAME, _EMAIL and _PASSWORD: set all three, or none"
        yield Problem(_ADMIN, text)
    if settings.is_production:
        yield from _missing_in_production(settings)
        yield from (Problem(("previous_secret_keys",), weak) for weak in _weak_keys(settings))
    else:
        yield from _short_keys(settings)
    yield from _beyond_the_driver(settings)


def _beyond_the_driver(settings: "Settings") -> Iterator[Problem]:
    """What a URL requires of the connection is had, or the start is refused."""
    if settings.traffic_dsn is not None and settings.database_driver == "asyncpg":
        refusal = settings.traffic_dsn.asyncpg_refusal
        if refusal is not None:
            yield Problem((*_URLS, "database_driver"), str(refusal))


def _timeouts_out_of_order(settings: "Settings") -> Iterator[Problem]:
    for less, more in _LESS_THAN:
        small, large = getattr(settings, less), getattr(settings, more)
        if small >= large:
            text = f"{less.upper()} ({small:g}) must be smaller than {more.upper()} ({large:g})"
            yield Problem((less, more), text)


def _missing_in_production(settings: "Settings") -> Iterator[Problem]:
    if settings.traffic_dsn is None:
        yield Problem(
            _URLS,
            "NEON_DATABASE_URL is not set: production has no database of its own; copy the "
            "connection string from Neon's console",
        )
    if settings.secret_key is None:
        yield Problem(("secret_key",), f"SECRET_KEY is not set; {_MAKE_A_KEY}")
    elif weakness := weakness_of(settings.secret_key.get_secret_value()):
        yield Problem(("secret_key",), f"SECRET_KEY is weak: {weakness}; {_MAKE_A_KEY}")


def warnings_of(settings: "Settings") -> Iterator[str]:
    """Say what is unwise or was mended: what, then a colon and what to do about it."""
    yield from _about_urls(settings)
    if settings.debug and settings.is_production:
        yield "DEBUG is on in production: each statement is logged"
    yield from _about_origins(settings)
    if not settings.is_production:
        yield from _weak_keys(settings)
    if settings.drain_seconds + settings.request_timeout + 1 > settings.shutdown_timeout:
        yield (
            "DRAIN_SECONDS + REQUEST_TIMEOUT + 1 exceeds SHUTDOWN_TIMEOUT: a shutdown may cut "
            "requests off"
        )


def _weak_keys(settings: "Settings") -> Iterator[str]:
    """Whatever verifies a token is worth as much to a forger as what signs it."""
    for at, key in enumerate(settings.previous_secret_keys, 1):
        if weakness := weakness_of(key.get_secret_value()):
            yield (
                f"PREVIOUS_SECRET_KEYS holds a weak key, entry {at} ({weakness}): whoever guesses "
                "it can sign; drop it"
            )


def _short_keys(settings: "Settings") -> Iterator[Problem]:
    """Refuse, outside of production too, a key that cursors cannot be signed with."""
    current = [("secret_key", settings.secret_key)] if settings.secret_key else []
    previous = [("previous_secret_keys", key) for key in settings.previous_secret_keys]
    for name, key in current + previous:
        if len(key.get_secret_value().encode()) < _SHORTEST_KEY:
            text = f"{name.upper()} holds a key of less than {_SHORTEST_KEY} bytes; {_MAKE_A_KEY}"
            yield Problem((name,), text)


def _about_urls(settings: "Settings") -> Iterator[str]:
    pooled, direct = pooled_url(settings), direct_url(settings)
    if direct is not None and direct.dsn.is_pooled:
        yield f"{direct.variable} names the pooler: migrations will go to the direct host instead"
    if pooled is not None and direct is not None and are_apart(pooled.dsn, direct.dsn):
        yield (
            f"{pooled.variable} and {direct.variable} name different databases: traffic goes to "
            "the first, migrations go to the second; leave one out"
        )
    if pooled is not None and settings.direct_dsn is None:
        yield (
            f"{pooled.variable} is not Neon's, so that the direct URL cannot be derived: set "
            "NEON_DATABASE_URL too, for migrations"
        )
    urls = (settings.traffic_dsn, settings.direct_dsn)
    traffic = settings.traffic_dsn
    if traffic is not None and settings.database_driver == "asyncpg":
        yield from traffic.asyncpg_notes
    if any(dsn and not dsn.is_local and dsn.sslmode in _WITHOUT_TLS for dsn in urls):
        yield "the database is on another host without TLS: add sslmode=verify-full"


def _about_origins(settings: "Settings") -> Iterator[str]:
    if "*" in settings.cors_origins:
        yield "CORS_ORIGINS=* lets every site read answers: name the origins"
    for at, origin in enumerate(settings.cors_origins, 1):
        if not _ORIGIN.fullmatch(origin):
            yield (
                f"CORS_ORIGINS has an entry that no browser sends, entry {at}: write "
                "scheme://host or scheme://host:port, without a path"
            )
