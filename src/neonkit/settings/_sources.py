"""Where each value comes from: the environment, a file, the code, or a default."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from dotenv import dotenv_values
from pydantic import AliasChoices, AliasPath
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from neonkit.errors import ConfigurationError

_LOCAL = ".env.local"


@dataclass(frozen=True)
class Sources:
    """The names that were there to read when the settings were made; in capitals, without values.

    Attributes:
        variables: for each field the variables that set it, its own first.
        given: fields that the code gave.
        environment: variables of the process.
        files: those that are read, in order; `.env.local` is not among them in a test.
        in_files: for each variable of a file the last one that sets it.
    """

    variables: Mapping[str, tuple[str, ...]]
    given: frozenset[str]
    environment: frozenset[str]
    files: tuple[Path, ...]
    in_files: Mapping[str, str]

    @classmethod
    def of(cls, settings: type[BaseSettings], values: Mapping[str, object]) -> Self:
        """Look at what a settings class is about to read.

        Raises:
            ConfigurationError: a file cannot be read.
        """
        encoding = settings.model_config.get("env_file_encoding")
        paths = _paths(values.get("_env_file", settings.model_config.get("env_file")))
        read = {path: _read_file(path, encoding) for path in paths if path.is_file()}
        variables = variables_of(settings)
        shared = {path: found for path, found in read.items() if path.name != _LOCAL}
        if _is_test(variables.get("environment", ()), values, shared.values()):
            read = shared
        return cls(
            variables=variables,
            given=frozenset(name for name in values if not name.startswith("_")),
            environment=_set_names(os.environ),
            files=tuple(read),
            in_files={
                name: path.name for path, found in read.items() for name in _set_names(found)
            },
        )

    @property
    def known(self) -> set[str]:
        """The variables that mean something."""
        return {variable for variables in self.variables.values() for variable in variables}

    def field_of(self, name: str) -> str | None:
        """Find the field that a variable or a keyword sets."""
        if name in self.variables:
            return name
        found = (field for field, names in self.variables.items() if name.upper() in names)
        return next(found, None)

    def source_of(self, field: str) -> str:
        """Say where a field's value comes from; the code comes first, then the environment."""
        variables = set(self.variables[field])
        if field in self.given or variables & self.given:
            return "given"
        if variables & self.environment:
            return "environment"
        files = [name for name in map(self.in_files.get, self.variables[field]) if name]
        return files[0] if files else "default"


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


def _paths(files: Any) -> list[Path]:  # noqa: ANN401  # pydantic-settings' own
    if files is None:
        return []
    several = [files] if isinstance(files, str | os.PathLike) else files
    return [Path(file).expanduser() for file in several]


def _is_test(
    names: Iterable[str],
    values: Mapping[str, object],
    files: Iterable[Mapping[str, str | None]],
) -> bool:
    """Look for ENVIRONMENT=test, which decides about a file, before anything is read."""
    given = [value for name, value in values.items() if name.lower() == "environment"]
    for found in (os.environ, *files):
        given += [value for name, value in found.items() if name.upper() in names and value]
    return bool(given) and str(given[0]).strip().lower() == "test"


def _read_file(path: Path, encoding: str | None) -> dict[str, str | None]:
    try:
        return dict(dotenv_values(path, encoding=encoding))
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8: save it as UTF-8") from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error.strerror}): give this user the right to, or remove it"
        ) from None
