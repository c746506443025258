"""The variables that `dev` and `serve` need before they import the app."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, PrivateAttr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from neonkit.dsn import Dsn
from neonkit.errors import ConfigurationError
from neonkit.settings import _values
from neonkit.settings._rules import SHUTDOWN, BrokenRule, out_of_order
from neonkit.settings._sources import Sources
from neonkit.settings._urls import URL_FIELDS, Urls


class LaunchSettings(BaseSettings):
    """The server's own variables and the database's URLs; `Settings` adds the app's.

    `neonkit dev` and `neonkit serve` read these by the names and defaults that stand here, before
    the app is imported: a subclass of `Settings` that gives them other ones is for the app alone.

    Raises:
        ConfigurationError: with every problem at once, each with the variable and its fix.
    """

    model_config = SettingsConfigDict(
        env_file=(".env", ".env.local"),
        dotenv_filtering="only_existing",  # the files may hold other programs' variables
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
    postgres_url: _values.Url = None
    pooler_tracks_statements: _values.Switch = "auto"
    scale_to_zero: _values.Switch = "auto"
    environment: _values.Name = None
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=1000)
    trusted_proxies: _values.Networks = []
    log_level: _values.LogLevel = "info"
    log_format: _values.LogFormat = None
    drain_seconds: _values.Pause = 5
    shutdown_timeout: _values.Seconds = 25

    _sources: Sources = PrivateAttr()

    def __init__(self, **values: Any) -> None:  # the fields' own types
        sources = Sources.of(type(self), values)
        values["_env_file"] = sources.files
        try:
            super().__init__(**values)
        except SettingsError as error:
            raise ConfigurationError(_listed([f"{error}: write it as JSON"])) from None
        except ValidationError as error:
            said, wrong = _refused_values(error, sources)
            said += self._other_problems(values, wrong)
            raise ConfigurationError(_listed(said)) from None
        if problems := [rule.text for rule in self._broken_rules()]:
            raise ConfigurationError(_listed(problems))
        self._sources = sources

    def _broken_rules(self) -> Iterator[BrokenRule]:
        """Find the rules between values that are broken."""
        return out_of_order(SHUTDOWN, self.__dict__)

    def _other_problems(self, values: Mapping[str, Any], wrong: set[str]) -> list[str]:
        """Find the rules that the other values break; validators of a subclass are rules too."""
        said: list[str] = []
        if wrong:  # else only a subclass's own rule was broken, and the values are there
            try:
                super().__init__(**_without(type(self), values, wrong))
            except ValidationError as error:
                said, still_wrong = _refused_values(error, Sources.of(type(self), values))
                if still_wrong:
                    return []
                names = {name.upper() for name in wrong}
                said = [text for text in said if not any(name in text for name in names)]
        return said + [rule.text for rule in self._broken_rules() if wrong.isdisjoint(rule.fields)]

    @cached_property
    def urls(self) -> Urls:
        """The URLs that were given."""
        return Urls(**{name: getattr(self, name) for name in URL_FIELDS})

    @property
    def traffic_dsn(self) -> Dsn | None:
        """The address for requests: the pooled URL, given or derived, else the direct one."""
        return self.urls.traffic_dsn

    @property
    def direct_dsn(self) -> Dsn | None:
        """The address for migrations, never through a pooler.

        `None` also where only the URL of another pooler than Neon's is given: what stands behind
        it cannot be derived.
        """
        return self.urls.direct_dsn

    @property
    def is_production(self) -> bool:
        """Production or not: any name but `development` and `test` counts as it.

        Without a name it is production if the database is on another machine. `neonkit dev` and
        `neonkit serve` set the name where nobody did.
        """
        if self.environment is not None:
            return self.environment.lower() not in {"development", "test"}
        return self.traffic_dsn is not None and not self.traffic_dsn.is_local

    @property
    def is_development_guessed(self) -> bool:
        """Nobody set ENVIRONMENT, and only the database's being here says that it is development.

        So it is where another server than `neonkit dev` runs the app.
        """
        return self.environment is None and not self.is_production

    @property
    def effective_log_format(self) -> Literal["json", "console"]:
        """`json` in production, else `console`, unless LOG_FORMAT says."""
        return self.log_format or ("json" if self.is_production else "console")


def _without(
    settings: type[BaseSettings], values: Mapping[str, Any], wrong: set[str]
) -> dict[str, Any]:
    """Put defaults in the place of wrong values, and drop keywords that are no fields."""
    fields = settings.model_fields
    kept = {name: value for name, value in values.items() if name not in wrong}
    return kept | {
        name: fields[name].get_default(call_default_factory=True, validated_data={})
        for name in wrong & fields.keys()
        if not fields[name].is_required()
    }


def _refused_values(error: ValidationError, sources: Sources) -> tuple[list[str], set[str]]:
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
