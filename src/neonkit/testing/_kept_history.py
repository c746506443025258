"""What an app's revisions make, kept on the tests' server while the revisions are these."""

from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Self

_PREFIX = "neonkit_kept_"
_MADE_BY = ("neonkit", "alembic", "sqlalchemy")


@dataclass(frozen=True)
class KeptHistory:
    """A database that has what the revisions of a folder make.

    Attributes:
        folder: a hash of where the folder is.
        content: a hash of everything in it, and of the releases that run it.
    """

    folder: str
    content: str

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Look at the files of a folder."""
        content = sha256(repr([version(each) for each in _MADE_BY]).encode())
        for file in sorted(folder.rglob("*")):
            if file.is_file() and file.suffix != ".pyc":
                content.update(repr((str(file.relative_to(folder)), file.read_bytes())).encode())
        where = sha256(str(folder.resolve()).encode()).hexdigest()
        return cls(where[:8], content.hexdigest()[:16])

    @property
    def name(self) -> str:
        """Its name on the server."""
        return self.family + self.content

    @property
    def family(self) -> str:
        """What its name and those of earlier revisions of the folder begin with."""
        return f"{_PREFIX}{self.folder}_"
