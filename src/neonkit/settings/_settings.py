"""Every variable of the environment that neonkit reads."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from neonkit.db import PoolPolicy, TimeoutPolicy
from neonkit.dsn import Dsn
from neonkit.errors import ConfigurationError
from neonkit.settings import _values
from neonkit.settings._misspellings import misspelt, misspelt_in_environment
from neonkit.settings._rules import problems_of, warnings_of
from neonkit.settings._secret_key import kept_key
from neonkit.settings._sources import Sources
from neonkit.settings._urls import direct_url, pooled_url

_HOME = Path(".neonkit")


class Settings(BaseSettings):
    """What the environment and `.env` say; subclass it to add your own.

    A value given by keyword comes before the environment, which comes before `.env`. An empty
    variable counts as unset. `_env_file=None` reads no file.

    Raises:
        ConfigurationError: with every problem at once, each with the variable and its fix.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        dotenv_filtering="only_existing",  # the file may hold other programs' variables
        extra="forbid",
        env_ignore_empty=True,
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    neon_database_url: _values.Url = None
    neon_pooled_database_url: _values.Url = None
    database_url_unpooled: _values.Url = None
    database_url: _values.Url = None
    pooler_tracks_statements: _values.Switch = "auto"
    scale_to_zero: _values.Switch = "auto"
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
    environment: _values.Name = None
    debug: bool = False
    api_v1_prefix: _values.Prefix = "/api/v1"
    cors_origins: _values.Words = []
    secret_key: SecretStr | None = None
    previous_secret_keys: _values.Secrets = []
    access_token_ttl: _values.Lifetime = 900
    refresh_token_ttl: _values.Lifetime = 2_592_000
    refresh_token_grace: _values.Grace = 10
    first_admin_username: str | None = None
    first_admin_email: str | None = None
    first_admin_password: SecretStr | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=1000)
    max_body_bytes: int = Field(default=65536, ge=1)
    rate_limit_enabled: bool = True
    login_max_failures: int = Field(default=10, ge=1)
    login_window: _values.Seconds = 300
    idempotency_ttl: _values.Lifetime = 86400
    trusted_proxies: _values.Networks = []
    metrics_token: SecretStr | None = None
    slow_query_seconds: _values.Seconds = 1.0
    log_level: _values.LogLevel = "info"
    log_format: _values.LogFormat = None
    drain_seconds: _values.Pause = 5
    shutdown_timeout: _values.Seconds = 25

    _sources: Sources = PrivateAttr()
    _warnings: tuple[str, ...] = PrivateAttr(())

    def __init__(self, **values: Any) -> None:  # the fields' own types
        sources = Sources.of(type(self), values)
        try:
            super().__init__(**values)
        except SettingsError as error:
            raise ConfigurationError(_listed([f"{error}: write it as JSON"])) from None
        except ValidationError as error:
            said, wrong = _explain(error, sources)
            said += self._broken_rules(values, wrong)
            raise ConfigurationError(_listed(said)) from None
        if problems := [problem.text for problem in problems_of(self)]:
            raise ConfigurationError(_listed(problems))
        self._sources = sources
        self._warnings = (*_misspellings(sources), *warnings_of(self))

    def _broken_rules(self, values: Mapping[str, Any], wrong: set[str]) -> list[str]:
        """Try again without the wrong values, for the rules that the others break."""
        fields = type(self).model_fields
        kept = {name: value for name, value in values.items() if name not in wrong}
        defaults = {
            name: fields[name].get_default(call_default_factory=True, validated_data={})
            for name in wrong & fields.keys()
            if not fields[name].is_required()
        }
        try:
            super().__init__(**kept | defaults)
        except ValidationError:
            return []
        return [each.text for each in problems_of(self) if wrong.isdisjoint(each.fields)]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is unwise or was mended, a line each."""
        return self._warnings

    @cached_property
    def traffic_dsn(self) -> Dsn | None:
        """Where requests go: the pooled URL, given or derived, else the direct one."""
        pooled, direct = pooled_url(self), direct_url(self)
        if pooled is not None:
            return pooled.dsn
        return direct and direct.dsn.pooled()

    @cached_property
    def direct_dsn(self) -> Dsn | None:
        """Where migrations go, never through the pooler.

        `None` also where only the URL of another pooler than Neon's is given: what stands behind
        it cannot be derived.
        """
        pooled, direct = pooled_url(self), direct_url(self)
        if direct is not None:
            return direct.dsn.direct()
        return pooled.dsn.direct() if pooled is not None and pooled.dsn.is_neon else None

    @property
    def is_production(self) -> bool:
        """Whether this is production: any name but `development` and `test` counts as it.

        Without a name it is production if the database is on another machine. `neonkit dev` and
        `neonkit serve` set the name where nobody did.
        """
        if self.environment is not None:
            return self.environment.lower() not in {"development", "test"}
        return self.traffic_dsn is not None and not self.traffic_dsn.is_local

    @property
    def sleeps_when_idle(self) -> bool:
        """Whether the compute scales to zero: nothing of ours may wake it or keep it awake."""
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
        """Each variable with its value, secrets masked, and where it comes from.

        The source is `environment`, `.env`, `default`, or `given` for a keyword. A value that
        another one decides is shown as decided; none is the empty string.
        """
        decided = {
            "environment": self.environment
            or ("production" if self.is_production else "development"),
            "log_format": self.effective_log_format,
        }
        return sorted(
            (variables[0], _shown(decided.get(name, getattr(self, name))), sources.source_of(name))
            for sources in (self._sources,)
            for name, variables in sources.variables.items()
        )


def _misspellings(sources: Sources) -> list[str]:
    names = misspelt_in_environment(sources.environment, sources.known)
    names |= misspelt(sources.file, sources.known)
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


def _explain(error: ValidationError, sources: Sources) -> tuple[list[str], set[str]]:
    """Say what is wrong, and name the fields and keywords that are."""
    said, wrong = [], set()
    for entry in error.errors(include_input=False, include_context=False, include_url=False):
        text = entry["msg"].removeprefix("Value error, ")
        if not entry["loc"]:
            said.append(text)
            continue
        name = str(entry["loc"][0])
        field = sources.field_of(name)
        wrong.add(field or name)
        said.append(f"{sources.variables[field][0] if field else name}: {text}")
    return said, wrong


def _listed(problems: Iterable[str]) -> str:
    return "the settings are wrong:\n" + "\n".join(f"  {problem}" for problem in problems)
