"""Rules between variables: those that refuse the start, and those whose breach is only said."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from pydantic import SecretStr

from neonkit.settings._secret_key import weakness_of
from neonkit.settings._urls import URL_FIELDS, Urls, are_apart

TIMEOUTS = (
    ("lock_timeout", "statement_timeout"),
    ("statement_timeout", "request_timeout"),
    ("pool_timeout", "request_timeout"),
    ("connect_timeout", "request_timeout"),
)
SHUTDOWN = (("drain_seconds", "shutdown_timeout"),)
_MAKE_A_KEY = "make one: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
_ORIGIN = re.compile(r"\*|null|[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s*]+")
_SHORTEST_KEY = 16  # bytes; cursors are not signed with less
_WITHOUT_TLS = {"disable", "allow", "prefer"}  # the last two may end without it


class BrokenRule(NamedTuple):
    """A reason to refuse the start.

    Attributes:
        fields: those whose values the rule looked at.
        text: the rule and its fix; never a secret.
    """

    fields: tuple[str, ...]
    text: str


def weak_previous_keys(keys: Iterable[SecretStr]) -> Iterator[BrokenRule]:
    """Find those of PREVIOUS_SECRET_KEYS that can be guessed: production refuses them.

    Whatever verifies a token is worth as much to a forger as what signs it.
    """
    return (BrokenRule(("previous_secret_keys",), said) for said in about_previous_keys(keys))


def too_short_keys(key: SecretStr | None, previous: Iterable[SecretStr]) -> Iterator[BrokenRule]:
    """Find keys, outside of production too, that cursors cannot be signed with."""
    current = [("secret_key", key)] if key else []
    for name, each in [*current, *(("previous_secret_keys", each) for each in previous)]:
        if len(each.get_secret_value().encode()) < _SHORTEST_KEY:
            text = f"{name.upper()} holds a key of less than {_SHORTEST_KEY} bytes; {_MAKE_A_KEY}"
            yield BrokenRule((name,), text)


_LIBPQ = {"PGHOSTADDR", "PGSERVICE", "PGOPTIONS", "PGDATESTYLE", "PGTZ"}


def beyond_asyncpg(urls: Urls) -> Iterator[BrokenRule]:
    """Find what a URL requires of the connection and asyncpg cannot give: the start is refused."""
    if urls.traffic_dsn is not None and urls.traffic_dsn.asyncpg_refusal is not None:
        refusal = str(urls.traffic_dsn.asyncpg_refusal)
        yield BrokenRule((*URL_FIELDS, "database_driver"), refusal)


def about_libpq(environment: Iterable[str]) -> Iterator[str]:
    """Find variables by which psycopg goes elsewhere, or speaks otherwise, than the URL says."""
    for name in sorted(_LIBPQ.intersection(environment)):
        yield f"{name} is set, and psycopg follows it whatever the URL says: unset it"


def out_of_order(
    pairs: Iterable[tuple[str, str]], values: Mapping[str, float]
) -> Iterator[BrokenRule]:
    """Find pairs of settings whose first is not smaller than the second."""
    for less, more in pairs:
        small, large = values[less], values[more]
        if small >= large:
            text = f"{less.upper()} ({small:g}) must be smaller than {more.upper()} ({large:g})"
            yield BrokenRule((less, more), text)


def missing_in_production(urls: Urls, key: SecretStr | None) -> Iterator[BrokenRule]:
    """Find what production does not start without: a database and a strong signing key."""
    if urls.traffic_dsn is None:
        yield BrokenRule(
            URL_FIELDS,
            "NEON_DATABASE_URL is not set: production has no database of its own; copy the "
            "connection string from Neon's console",
        )
    if key is None:
        yield BrokenRule(("secret_key",), f"SECRET_KEY is not set; {_MAKE_A_KEY}")
    elif weakness := weakness_of(key.get_secret_value()):
        yield BrokenRule(("secret_key",), f"SECRET_KEY is weak: {weakness}; {_MAKE_A_KEY}")


def about_urls(urls: Urls) -> Iterator[str]:
    """Say what is unwise in the URLs or was mended: what, then a colon and what to do about it."""
    pooled, direct = urls.pooled, urls.direct
    if direct is not None and direct.dsn.is_pooled:
        yield f"{direct.variable} names the pooler: migrations will go to the direct host instead"
    if pooled is not None and direct is not None and are_apart(pooled.dsn, direct.dsn):
        yield (
            f"{pooled.variable} and {direct.variable} name different databases: traffic goes to "
            "the first, migrations go to the second; leave one out"
        )
    if pooled is not None and urls.direct_dsn is None:
        yield (
            f"{pooled.variable} is not Neon's, so that the direct URL cannot be derived: set "
            "NEON_DATABASE_URL too, for migrations"
        )
    used = (urls.traffic_dsn, urls.direct_dsn)
    if any(dsn and not dsn.is_local and dsn.sslmode in _WITHOUT_TLS for dsn in used):
        yield "the database is on another host without TLS: add sslmode=verify-full"


def about_origins(origins: Iterable[str]) -> Iterator[str]:
    """Say which CORS_ORIGINS let everybody in, and which no browser sends."""
    if "*" in origins:
        yield "CORS_ORIGINS=* lets every site read answers: name the origins"
    for at, origin in enumerate(origins, 1):
        if not _ORIGIN.fullmatch(origin):
            yield (
                f"CORS_ORIGINS has an entry that no browser sends, entry {at}: write "
                "scheme://host or scheme://host:port, without a path"
            )


def about_previous_keys(keys: Iterable[SecretStr]) -> Iterator[str]:
    """Say which of PREVIOUS_SECRET_KEYS can be guessed."""
    for at, key in enumerate(keys, 1):
        if weakness := weakness_of(key.get_secret_value()):
            yield (
                f"PREVIOUS_SECRET_KEYS holds a weak key, entry {at} ({weakness}): whoever guesses "
                "it can sign; drop it"
            )
