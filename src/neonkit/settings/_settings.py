"""Every variable of the environment that neonkit reads."""

import os
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from pydantic import Field, PrivateAttr, SecretStr

from neonkit.db import PoolPolicy, TimeoutPolicy
from neonkit.settings import _values
from neonkit.settings._database import HOME
from neonkit.settings._launch import LaunchSettings
from neonkit.settings._misspellings import misspelt, misspelt_in_environment
from neonkit.settings._rules import (
    TIMEOUTS,
    BrokenRule,
    about_libpq,
    about_origins,
    about_previous_keys,
    about_urls,
    beyond_asyncpg,
    missing_in_production,
    out_of_order,
    too_short_keys,
    weak_previous_keys,
)
from neonkit.settings._secret_key import kept_key
from neonkit.settings._sources import Sources


class Settings(LaunchSettings):
    """The environment, `.env` and `.env.local`; subclass it to add your own.

    A value given by keyword comes before the environment, which comes before `.env.local`, which
    comes before `.env`; where ENVIRONMENT is `test`, `.env.local` is not read. An empty variable
    counts as unset. `_env_file=None` reads no file.

    Raises:
        ConfigurationError: with every problem at once, each with the variable and its fix.
    """

    database_driver: _values.DriverName = "asyncpg"
    pool_size: int = Field(default=5, ge=1, le=1000)
    max_overflow: int = Field(default=10, ge=0, le=1000)
    pool_recycle: _values.Seconds = 240
    pool_timeout: _values.Seconds = 5
    connect_timeout: _values.Seconds = 12
    statement_timeout: _values.Seconds = 5
    lock_timeout: _values.Seconds = 2
    request_timeout: _values.Seconds = 15
    app_name: str = Field(default="FastAPI with Neon", min_length=1, max_length=63)
    debug: bool = False
    cors_origins: _values.Words = Field(default=[])
    secret_key: SecretStr | None = None
    previous_secret_keys: _values.Secrets = Field(default=[])
    access_token_ttl: _values.Lifetime = 900
    refresh_token_ttl: _values.Lifetime = 2_592_000
    refresh_token_grace: _values.Grace = 10
    neon_auth_base_url: _values.IssuerUrl = None
    max_body_bytes: int = Field(default=65536, ge=1)
    rate_limit_enabled: bool = True
    login_max_failures: int = Field(default=10, ge=1)
    login_window: _values.Seconds = 300
    idempotency_ttl: _values.Lifetime = 86400
    metrics_token: SecretStr | None = None
    slow_query_seconds: _values.Seconds = 1.0

    _warnings: tuple[str, ...] = PrivateAttr(())

    def __init__(self, **values: Any) -> None:  # the fields' own types
        super().__init__(**values)
        self._warnings = (*_misspellings(self._sources), *self._unwise())

    def _broken_rules(self) -> Iterator[BrokenRule]:
        yield from out_of_order(TIMEOUTS, self.__dict__)
        yield from super()._broken_rules()
        if self.database_driver == "asyncpg":
            yield from beyond_asyncpg(self.urls)
        if self.is_production:
            yield from missing_in_production(self.urls, self.secret_key)
            yield from weak_previous_keys(self.previous_secret_keys)
        else:
            yield from too_short_keys(self.secret_key, self.previous_secret_keys)

    def _unwise(self) -> Iterator[str]:
        yield from about_urls(self.urls)
        if self.database_driver == "psycopg" and self.traffic_dsn is not None:
            yield from about_libpq(os.environ)
        if self.debug and self.is_production:
            yield "DEBUG is on in production: each statement is logged"
        yield from about_origins(self.cors_origins)
        if not self.is_production:
            yield from about_previous_keys(self.previous_secret_keys)
        if self.drain_seconds + self.request_timeout + 1 > self.shutdown_timeout:
            yield (
                "DRAIN_SECONDS + REQUEST_TIMEOUT + 1 exceeds SHUTDOWN_TIMEOUT: a shutdown may cut "
                "requests off"
            )

    @property
    def warnings(self) -> tuple[str, ...]:
        """The unwise, mended and misspelt settings, a line each: what, a colon, and what to do."""
        return self._warnings

    @property
    def is_test(self) -> bool:
        """A test run: it changes nothing on another machine, whose database may be anybody's."""
        return (self.environment or "").lower() == "test"

    @property
    def sleeps_when_idle(self) -> bool:
        """The compute scales to zero: nothing of ours may wake it or keep it awake."""
        if self.scale_to_zero != "auto":
            return self.scale_to_zero
        return self.traffic_dsn is not None and self.traffic_dsn.is_neon

    @cached_property
    def signing_keys(self) -> tuple[bytes, ...]:
        """The key that signs, then those that only verify.

        Without SECRET_KEY, which only development does without, the first is made once and kept
        in `.neonkit/secret_key`.

        Raises:
            ConfigurationError: that file cannot be used.
        """
        current = self.secret_key.get_secret_value() if self.secret_key else kept_key(HOME)
        return (
            current.encode(),
            *(key.get_secret_value().encode() for key in self.previous_secret_keys),
        )

    def pool_policy(self) -> PoolPolicy:
        """The number of connections that a worker keeps, and for how long."""
        return PoolPolicy(self.pool_size, self.max_overflow, self.pool_recycle, self.pool_timeout)

    def timeout_policy(self) -> TimeoutPolicy:
        """The bounds on each wait."""
        return TimeoutPolicy(
            self.connect_timeout, self.statement_timeout, self.lock_timeout, self.request_timeout
        )

    def effective(self) -> list[tuple[str, str, str]]:
        """Each variable with its value, secrets masked, and where it comes from.

        The source is `environment`, a file's name, `default`, or `given` for a keyword. A value
        that another one decides is shown as decided; none is the empty string.
        """
        decided = {
            "environment": self.environment
            or ("production" if self.is_production else "development"),
            "log_format": self.effective_log_format,
        }
        sources = self._sources
        return sorted(
            (variables[0], _shown(decided.get(name, getattr(self, name))), sources.source_of(name))
            for name, variables in sources.variables.items()
        )


def _misspellings(sources: Sources) -> list[str]:
    names = misspelt_in_environment(sources.environment, sources.known)
    names |= misspelt(sources.in_files, sources.known)
    return [f"{name} is not a setting: did you mean {names[name]}?" for name in sorted(names)]


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case list():
            return ",".join(map(_shown, value))
        case _:
            return str(value)
