"""Where an app's revisions are, and whose they are."""

import tomllib
from configparser import Error as ConfigParserError
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from neonkit.errors import ConfigurationError

_TEMPLATE = Path(__file__).parent
_FILE_NAME = "%(year)d_%(month).2d_%(day).2d_%(slug)s_%(rev)s"
_ALEMBIC = "alembic.ini"
_PROJECT = "pyproject.toml"


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
        """True if there is a history, and it is run by this room."""
        return self.owner is None and self.folder.is_dir()


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
        if named is None:
            continue
        owner = (project / named.replace("%(here)s", str(project))).resolve()
        is_ours = owner == folder.resolve()
        return History(folder) if is_ours else History(folder, owner, file)
    return History(folder)


def _named_in_ini(file: Path) -> str | None:
    try:
        return Config(file).get_main_option("script_location")
    except (OSError, ValueError, ConfigParserError) as error:
        raise ConfigurationError(f"{_ALEMBIC} cannot be read: {error}") from None


def _named_in_toml(file: Path) -> str | None:
    try:
        tools = tomllib.loads(file.read_text()).get("tool", {})
    except (OSError, tomllib.TOMLDecodeError):  # whoever needs the file says what is wrong with it
        return None
    named = tools.get("alembic", {}).get("script_location")
    return named if isinstance(named, str) else None


def read_script(folder: Path) -> ScriptDirectory:
    """Open the revisions of a folder, as Alembic sees them."""
    return ScriptDirectory(
        str(_TEMPLATE),
        file_template=_FILE_NAME,
        version_locations=[str(folder / "versions")],
        timezone="UTC",
        messaging_opts={"quiet": True},
    )


def head_of(script: ScriptDirectory) -> str | None:
    """The newest revision; `None` where there is none.

    Raises:
        ConfigurationError: there are several, or a file is not a revision.
    """
    heads = heads_of(script)
    if len(heads) > 1:
        raise ConfigurationError(
            f"{' and '.join(heads)} are both the newest migration: `neonkit makemigrations "
            "--merge` writes one that comes after both"
        )
    return heads[0] if heads else None


def heads_of(script: ScriptDirectory) -> list[str]:
    """Every revision that none comes after.

    Raises:
        ConfigurationError: a file is not a revision.
    """
    try:
        return sorted(script.get_heads())
    except Exception as error:  # noqa: BLE001  # a revision's own code runs when it is read
        where = _file_of(error)
        raise ConfigurationError(
            f"the migrations cannot be read: {where}{type(error).__name__}: {error}"
            if where
            else f"the migrations cannot be read: {error}"
        ) from None


def _file_of(error: Exception) -> str:
    """The revision's file in which an error happened, with a colon."""
    if isinstance(error, CommandError):
        return ""
    places = [frame.filename for frame in extract_tb(error.__traceback__)]
    named = [getattr(error, "filename", None) or "", *reversed(places)]
    return next(
        (f"{Path(each).name}: " for each in named if Path(each).parent.name == "versions"), ""
    )


def knows(script: ScriptDirectory, revision: str) -> bool:
    """True if a revision is in the folder."""
    try:
        return script.get_revision(revision) is not None
    except CommandError:
        return False
