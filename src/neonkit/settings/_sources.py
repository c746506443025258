"""Where each value comes from: the environment, a file, the code, or a default."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from dotenv import dotenv_values
from pydantic import AliasChoices, AliasPath
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from neonkit.errors import ConfigurationError

Source = Literal["given", "environment", ".env", "default"]


@dataclass(frozen=True)
class Sources:
    """What was there to read when the settings were made; names only, in capitals.

    Attributes:
        variables: for each field the variables that set it, its own first.
        given: fields that the code gave.
        environment: variables of the process.
        file: variables of `.env`.
    """

    variables: Mapping[str, tuple[str, ...]]
    given: frozenset[str]
    environment: frozenset[str]
    file: frozenset[str]

    @classmethod
    def of(cls, settings: type[BaseSettings], values: Mapping[str, object]) -> Self:
        """Look at what a settings class is about to read.

        Raises:
            ConfigurationError: a file cannot be read.
        """
        file = values.get("_env_file", settings.model_config.get("env_file"))
        encoding = settings.model_config.get("env_file_encoding")
        return cls(
            variables=variables_of(settings),
            given=frozenset(name for name in values if not name.startswith("_")),
            environment=_set_names(os.environ),
            file=_set_names(_read_files(file, encoding)),
        )

    @property
    def known(self) -> set[str]:
        """Every variable that means something."""
        return {variable for variables in self.variables.values() for variable in variables}

    def field_of(self, name: str) -> str | None:
        """The field that a variable or a keyword sets."""
        if name in self.variables:
            return name
        found = (field for field, names in self.variables.items() if name.upper() in names)
        return next(found, None)

    def source_of(self, field: str) -> Source:
        """Where a field's value comes from; the code comes first, then the environment."""
        variables = set(self.variables[field])
        if field in self.given or variables & self.given:
            return "given"
        if variables & self.environment:
            return "environment"
        return ".env" if variables & self.file else "default"


def variables_of(settings: type[BaseSettings]) -> dict[str, tuple[str, ...]]:
    """For each field of a settings class the variables that set it, in capitals."""
    prefix = settings.model_config.get("env_prefix") or ""
    return {
        name: tuple(variable.upper() for variable in _names_of(prefix + name, field))
        for name, field in settings.model_fields.items()
    }


def _names_of(own: str, field: FieldInfo) -> Iterable[str]:
    match field.validation_alias:
        case AliasChoices(choices=choices):
            return [str(each.path[0]) if isinstance(each, AliasPath) else each for each in choices]
        case AliasPath(path=path):
            return [str(path[0])]
        case str(alias):
            return [alias]
        case None:
            return [own]


def _set_names(values: Mapping[str, str | None]) -> frozenset[str]:
    return frozenset(name.upper() for name, value in values.items() if value)


def _read_files(files: Any, encoding: str | None) -> dict[str, str | None]:  # noqa: ANN401  # pydantic-settings' own
    if files is None:
        return {}
    found: dict[str, str | None] = {}
    for file in [files] if isinstance(files, str | os.PathLike) else files:
        path = Path(file).expanduser()
        if path.is_file():
            found |= _read_file(path, encoding)
    return found


def _read_file(path: Path, encoding: str | None) -> dict[str, str | None]:
    try:
        return dict(dotenv_values(path, encoding=encoding))
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8: save it as UTF-8") from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error.strerror}): give this user the right to, or remove it"
        ) from None
