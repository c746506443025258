"""The tutorial's chapter about changes of tables is executed: what it shows is what happens."""

import asyncio
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from support.forked import Commands, commands

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "life-of-a-table.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
UPGRADE = re.compile(r"^def upgrade.*?(?=^def downgrade)", re.MULTILINE | re.DOTALL)


@dataclass
class Reader:
    """Somebody who does what the page says, block by block.

    Attributes:
        folder: of the app.
        url: of the database.
        neonkit: the command.
        printed: what the commands of the last block have printed.
    """

    folder: Path
    url: str
    neonkit: Commands
    printed: str = ""

    @property
    def newest(self) -> Path:
        """The revision that was written last."""
        versions = (self.folder / "migrations" / "versions").glob("*.py")
        return max(versions, key=lambda file: file.stat().st_mtime_ns)

    def bash(self, text: str) -> None:
        """Run each command."""
        self.printed = ""
        for line in text.splitlines():
            name, *arguments = shlex.split(line)
            assert name == "neonkit"
            _, output = self.neonkit.run(*arguments)
            self.printed += output

    def text(self, shown: str) -> None:
        """Compare what was printed; without a command it is of the newest revision."""
        if not self.printed:
            assert shown in self.newest.read_text()
            return
        pattern = ".+".join(re.escape(part) for part in shown.strip().split("…"))
        assert re.fullmatch(pattern, self.printed.strip(), re.DOTALL), (shown, self.printed)
        self.printed = ""

    def diff(self, text: str) -> None:
        """Change the app."""
        lines = text.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] != "+")
        new = "".join(line[1:] for line in lines if line[0] != "-")
        file = self.folder / "guests.py"
        app = file.read_text()
        assert app.count(old) == 1, text
        file.write_text(app.replace(old, new))

    def python(self, text: str) -> None:
        """Write the app, or change the newest revision."""
        if text.startswith("# guests.py"):
            (self.folder / "guests.py").write_text(text)
        elif "def upgrade" in text:
            revision = self.newest.read_text()
            self.newest.write_text(UPGRADE.sub(lambda _: f"{text}\n\n", revision))
        else:
            self.newest.write_text(f"{self.newest.read_text()}\n{text}")

    def toml(self, text: str) -> None:
        """Write `pyproject.toml`."""
        (self.folder / "pyproject.toml").write_text(text)

    def sql(self, text: str) -> None:
        """Ask the database."""
        self.ask(text)

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        """Ask the database, and give the rows."""

        async def fetch() -> list[tuple[object, ...]]:
            connection = await asyncpg.connect(self.url)
            try:
                return [tuple(row) for row in await connection.fetch(sql)]
            finally:
                await connection.close()

        return asyncio.run(fetch())


def _blocks() -> Iterator[tuple[str, str]]:
    yield from FENCE.findall(PAGE.read_text())


def test_the_life_of_a_table_goes_as_written(tmp_path: Path, server_url: str) -> None:
    """Each of the ten changes prints what the page shows, and the guests keep what they said."""
    with commands(tmp_path, {"NEON_DATABASE_URL": server_url}) as neonkit:
        reader = Reader(tmp_path, server_url, neonkit)
        for language, text in _blocks():
            getattr(reader, language)(text)

    rows = reader.ask("SELECT given_name, family_name, wish, country, invited_by FROM guest")
    assert sorted(rows, key=str) == [
        ("Ada", "Lovelace", "quiet", "GB", None),
        ("Alan", "Turing", "none", "GB", None),
    ]
