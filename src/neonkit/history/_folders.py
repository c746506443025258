"""Where an app's revisions are, and whose they are."""

import tomllib
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from dataclasses import dataclass
from pathlib import Path

from neonkit.errors import ConfigurationError

_ALEMBIC = "alembic.ini"
_PROJECT = "pyproject.toml"
_OURS = "neonkit.cli:alembic"  # Alembic's own command line on a history of ours
_FOREIGN = (
    "left alone: {file} says that Alembic itself runs the migrations in {owner}; go on with "
    "`alembic`, or let `neonkit adopt --carry-over` take them over"
)
_NONE = (
    "there are no migrations in {folder}: `neonkit makemigrations` writes the first, or, where the "
    "database has tables already, `neonkit adopt`"
)


@dataclass(frozen=True)
class History:
    """An app's revisions.

    Attributes:
        folder: holds `versions/`, and in it a file for each revision.
        owner: the folder of the user's own Alembic set-up, which is left alone; `None` where the
            history is ours to run.
        named_in: the file that names the owner.
    """

    folder: Path
    owner: Path | None = None
    named_in: Path | None = None

    @property
    def is_foreign(self) -> bool:
        """True if the user runs the history with Alembic itself."""
        return self.owner is not None

    @property
    def is_ours(self) -> bool:
        """True if there is a history, and the toolkit runs it."""
        return self.owner is None and self.folder.is_dir()

    @property
    def why_not_ours(self) -> str:
        """Why there is nothing to run, and what to do; empty for a history that is ours."""
        if self.owner is not None and self.named_in is not None:
            return _FOREIGN.format(file=self.named_in.name, owner=self.owner)
        return "" if self.is_ours else _NONE.format(folder=self.folder)


def find_history(folder: Path, project: Path) -> History:
    """Say whose the history of an app is.

    Args:
        folder: where its revisions are, if they are ours: `migrations` beside the app's module.
        project: where an `alembic.ini`, or `[tool.alembic]` of pyproject.toml, that names another
            folder claims the history.

    Raises:
        ConfigurationError: `alembic.ini` cannot be read.
    """
    for file, read in ((project / _ALEMBIC, _named_in_ini), (project / _PROJECT, _named_in_toml)):
        named = read(file) if file.is_file() else None
        if named is None or named == _OURS:
            continue
        owner = (project / named.replace("%(here)s", str(project))).resolve()
        is_ours = owner == folder.resolve()
        return History(folder) if is_ours else History(folder, owner, file)
    return History(folder)


def _named_in_ini(file: Path) -> str | None:
    here = str(file.parent.absolute()).replace("%", "%%")
    parser = ConfigParser({"here": here})  # as Alembic reads it
    try:
        parser.read_string(file.read_text(), source=str(file))
        return parser.get("alembic", "script_location", fallback=None)
    except (OSError, ValueError, ConfigParserError) as error:
        raise ConfigurationError(f"{_ALEMBIC} cannot be read: {error}") from None


def _named_in_toml(file: Path) -> str | None:
    try:
        tools = tomllib.loads(file.read_text()).get("tool", {})
    except (OSError, tomllib.TOMLDecodeError):  # whoever needs the file says what is wrong with it
        return None
    named = tools.get("alembic", {}).get("script_location")
    return named if isinstance(named, str) else None
