"""Every variable of the environment that neonkit reads."""

import os
from collections.abc import Iterable
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from neonkit.db import PoolPolicy, TimeoutPolicy
from neonkit.dsn import Dsn
from neonkit.errors import ConfigurationError, UrlError
from neonkit.settings._names import misspelt, misspelt_in_environment
from neonkit.settings._secret_key import kept_key, weakness_of

_HOME = Path(".neonkit")


def _split(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _dsn(value: object) -> object:
    if isinstance(value, str):
        try:
            return Dsn.parse(value)
        except UrlError as error:
            raise ValueError(str(error)) from None
    return value


Words = Annotated[list[str], NoDecode, BeforeValidator(_split)]
Secrets = Annotated[list[SecretStr], NoDecode, BeforeValidator(_split)]
Networks = Annotated[list[IPv4Network | IPv6Network], NoDecode, BeforeValidator(_split)]
Url = Annotated[Dsn | None, BeforeValidator(_dsn)]
Seconds = Annotated[float, Field(gt=0, le=86400 * 365)]
Auto = Literal["auto"]


class Settings(BaseSettings):
    """What the environment and `.env` say; subclass it to add your own.

    Raises:
        ConfigurationError: with every problem at once, each with the variable and its fix.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        env_ignore_empty=True,
        arbitrary_types_allowed=True,
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    neon_database_url: Url = Field(
        default=None, validation_alias=AliasChoices("NEON_DATABASE_URL", "DATABASE_URL_UNPOOLED")
    )
    neon_pooled_database_url: Url = None
    database_url: Url = None
    pooler_tracks_statements: Auto | bool = "auto"
    scale_to_zero: Auto | bool = "auto"
    database_driver: Literal["asyncpg", "psycopg"] = "asyncpg"
    pool_size: int = Field(default=5, ge=1, le=1000)
    max_overflow: int = Field(default=10, ge=0, le=1000)
    pool_recycle: Seconds = 240
    pool_timeout: Seconds = 5
    connect_timeout: Seconds = 12
    statement_timeout: Seconds = 5
    lock_timeout: Seconds = 2
    request_timeout: Seconds = 15
    app_name: str = Field(default="FastAPI with Neon", min_length=1, max_length=63)
    environment: str | None = None
    debug: bool = False
    api_v1_prefix: str = Field(default="/api/v1", pattern=r"^(/[A-Za-z0-9._~-]+)*$")
    cors_origins: Words = []
    secret_key: SecretStr | None = None
    previous_secret_keys: Secrets = []
    access_token_ttl: int = Field(default=900, ge=1)
    refresh_token_ttl: int = Field(default=2_592_000, ge=1)
    refresh_token_grace: int = Field(default=10, ge=0)
    first_admin_username: str | None = None
    first_admin_email: str | None = None
    first_admin_password: SecretStr | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=1000)
    max_body_bytes: int = Field(default=65536, ge=1)
    rate_limit_enabled: bool = True
    login_max_failures: int = Field(default=10, ge=1)
    login_window: Seconds = 300
    idempotency_ttl: int = Field(default=86400, ge=1)
    trusted_proxies: Networks = []
    metrics_token: SecretStr | None = None
    slow_query_seconds: Seconds = 1.0
    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    log_format: Literal["json", "console"] | None = None
    drain_seconds: float = Field(default=5, ge=0)
    shutdown_timeout: Seconds = 25

    _warnings: tuple[str, ...] = PrivateAttr(())

    def __init__(self, **values: Any) -> None:  # the fields' own types
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigurationError(_explain(error)) from None
        problems = [*self._timeouts_out_of_order(), *self._missing()]
        if problems:
            raise ConfigurationError(_listed(problems))
        self._warnings = tuple(self._find_unwise(values.get("_env_file", ".env")))

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _fold(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is unwise or was mended, a line each."""
        return self._warnings

    @cached_property
    def traffic_dsn(self) -> Dsn | None:
        """Where requests go: the pooled URL, given or derived, else the direct one."""
        given = self.neon_pooled_database_url or self._alias_dsn(is_pooled=True)
        direct = self.neon_database_url or self._alias_dsn(is_pooled=False)
        return given or (direct and direct.pooled())

    @cached_property
    def direct_dsn(self) -> Dsn | None:
        """Where migrations go: never through the pooler."""
        given = self.neon_database_url or self._alias_dsn(is_pooled=False) or self.traffic_dsn
        return given and given.direct()

    def _alias_dsn(self, *, is_pooled: bool) -> Dsn | None:
        url = self.database_url
        return url if url is not None and url.is_pooled == is_pooled else None

    @property
    def is_production(self) -> bool:
        """Whether this is production: any name but `development` and `test` counts as it."""
        if self.environment is not None:
            return self.environment.lower() not in {"development", "test"}
        return self.traffic_dsn is not None and not self.traffic_dsn.is_local

    @property
    def sleeps_when_idle(self) -> bool:
        """Whether the compute scales to zero: nothing of ours may wake it or keep it awake."""
        if self.scale_to_zero != "auto":
            return self.scale_to_zero
        return self.traffic_dsn is not None and self.traffic_dsn.is_neon

    @property
    def signing_keys(self) -> tuple[bytes, ...]:
        """The key that signs, then those that only verify."""
        current = self.secret_key.get_secret_value() if self.secret_key else kept_key(_HOME)
        return (
            current.encode(),
            *(key.get_secret_value().encode() for key in self.previous_secret_keys),
        )

    @property
    def effective_log_format(self) -> Literal["json", "console"]:
        """`json` in production, else `console`, unless LOG_FORMAT says."""
        return self.log_format or ("json" if self.is_production else "console")

    def pool_policy(self) -> PoolPolicy:
        """How many connections a worker keeps."""
        return PoolPolicy(self.pool_size, self.max_overflow, self.pool_recycle, self.pool_timeout)

    def timeout_policy(self) -> TimeoutPolicy:
        """The bounds on each wait."""
        return TimeoutPolicy(
            self.connect_timeout, self.statement_timeout, self.lock_timeout, self.request_timeout
        )

    def effective(self) -> list[tuple[str, str, str]]:
        """Each variable with its value, secrets masked, and where it comes from."""
        in_file = {name.upper() for name in _read_file(".env")}
        rows = []
        for name in sorted(type(self).model_fields):
            variable = name.upper()
            is_set = name in self.model_fields_set
            source = (
                "environment"
                if variable in os.environ
                else ".env"
                if variable in in_file
                else "given"
            )
            rows.append((variable, str(getattr(self, name)), source if is_set else "default"))
        return rows

    def _timeouts_out_of_order(self) -> list[str]:
        rules = (
            ("lock_timeout", "statement_timeout"),
            ("statement_timeout", "request_timeout"),
            ("pool_timeout", "request_timeout"),
            ("connect_timeout", "request_timeout"),
            ("drain_seconds", "shutdown_timeout"),
        )
        return [
            f"{less.upper()} ({getattr(self, less):g}) must be smaller than "
            f"{more.upper()} ({getattr(self, more):g})"
            for less, more in rules
            if getattr(self, less) >= getattr(self, more)
        ]

    def _missing(self) -> list[str]:
        problems = []
        admin = (self.first_admin_username, self.first_admin_email, self.first_admin_password)
        if any(admin) and not all(admin):
            problems.append("FIRST_ADMIN_USERNAME, _EMAIL and _PASSWORD: set all three, or none")
        if self.database_driver == "psycopg":
            problems.append("DATABASE_DRIVER: psycopg is not in this release; leave it out")
        if not self.is_production:
            return problems
        if self.traffic_dsn is None:
            problems.append(
                "NEON_DATABASE_URL is not set: production has no database of its own; copy the "
                "connection string from Neon's console"
            )
        if self.secret_key is None:
            problems.append(f"SECRET_KEY is not set; {_MAKE_A_KEY}")
        elif weakness := weakness_of(self.secret_key.get_secret_value()):
            problems.append(f"SECRET_KEY is weak: {weakness}; {_MAKE_A_KEY}")
        return problems

    def _find_unwise(self, env_file: Any) -> list[str]:  # noqa: ANN401  # pydantic-settings' own
        known = _variables(type(self))
        names = misspelt_in_environment(os.environ, known)
        names |= misspelt(_read_file(env_file), known)
        found = [f"{name} is not a setting: did you mean {meant}?" for name, meant in names.items()]
        if self.neon_database_url is not None and self.neon_database_url.is_pooled:
            found.append(
                "NEON_DATABASE_URL names the pooler: migrations will go to the direct host instead"
            )
        dsn = self.traffic_dsn
        if dsn and not dsn.is_local and dsn.sslmode in {"disable", "allow", "prefer"}:
            found.append("the database is on another host without TLS: add sslmode=verify-full")
        if self.debug and self.is_production:
            found.append("DEBUG is on in production: each statement is logged")
        if "*" in self.cors_origins:
            found.append("CORS_ORIGINS=* lets every site read answers: name the origins")
        if self.drain_seconds + self.request_timeout + 1 > self.shutdown_timeout:
            found.append(
                "DRAIN_SECONDS + REQUEST_TIMEOUT + 1 exceeds SHUTDOWN_TIMEOUT: a shutdown may "
                "cut requests off"
            )
        return found


_MAKE_A_KEY = "make one: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"


def _variables(settings: type[BaseSettings]) -> set[str]:
    return {name.upper() for name in settings.model_fields} | {"DATABASE_URL_UNPOOLED"}


def _read_file(env_file: Any) -> dict[str, str | None]:  # noqa: ANN401  # pydantic-settings' own
    return dict(dotenv_values(env_file)) if env_file and Path(env_file).is_file() else {}


def _explain(error: ValidationError) -> str:
    return _listed(
        f"{str(entry['loc'][0]).upper()}: {entry['msg'].removeprefix('Value error, ')}"
        for entry in error.errors(include_input=False, include_context=False, include_url=False)
    )


def _listed(problems: Iterable[str]) -> str:
    return "the settings are wrong:\n" + "\n".join(f"  {problem}" for problem in problems)
