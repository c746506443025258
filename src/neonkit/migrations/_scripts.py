"""An app's revisions as Alembic reads them."""

from pathlib import Path
from traceback import extract_tb

from alembic.script import ScriptDirectory
from alembic.util import CommandError

from neonkit.errors import ConfigurationError
from neonkit.history import one_head

_TEMPLATE = Path(__file__).parent
_FILE_NAME = "%(year)d_%(month).2d_%(day).2d_%(slug)s_%(rev)s"


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
    return one_head(heads_of(script))


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
