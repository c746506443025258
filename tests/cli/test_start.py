"""What a start does not import: counted, since seconds depend on the machine."""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cli.test_migrations import write_revision
from neonkit.dsn import Dsn
from neonkit.migrations import upgrade, upgrade_schema

if TYPE_CHECKING:
    from cli.conftest import Launch

OWN = {"neonkit", "sitecustomize"}
TYPERS = {"typer", "annotated_doc", "click", "shellingham", "typing_extensions"}
SPARED = (
    "alembic", "cryptography", "httpx2", "jwt", "mako", "neonkit.migrations",
    "neonkit.testing", "psycopg", "pygments", "pytest", "rich",
)  # fmt: skip
APP = """
import sys
import neonkit
from fastapi import FastAPI
from sqlmodel import literal, select

app = FastAPI()
neonkit.install(app)

@app.get("/modules")
async def modules(session: neonkit.ReadSessionDep) -> list[str]:
    assert (await session.exec(select(literal(1)))).one() == 1
    return list(sys.modules)
"""


def imported_by(code: str) -> set[str]:
    """The packages that are no part of Python, once some code has run."""
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    packages = {name.partition(".")[0] for name in done.stderr.split()}
    return {
        name
        for name in packages - sys.stdlib_module_names - OWN
        if not name.startswith(("_", "__"))
    }


def test_the_package_imports_nothing_of_others() -> None:
    """`import neonkit` brings no third party; a name brings its room."""
    assert imported_by("import neonkit") == set()


def test_help_imports_the_command_line_alone() -> None:
    """`neonkit --help` is written without FastAPI, SQLAlchemy, settings or an app."""
    code = """
from neonkit.cli import main
import sys
sys.argv = ["neonkit", "--help"]
try:
    main()
except SystemExit:
    pass
"""
    assert imported_by(code) <= TYPERS


async def test_the_first_row_comes_without_what_a_row_has_no_need_of(
    launch: "Launch", tmp_path: Path, production: dict[str, str], url: str
) -> None:
    """Neither Alembic, where the database is at head, nor another driver, nor what reads tokens."""
    (tmp_path / "notes.py").write_text(APP)
    write_revision(tmp_path, "first", 'op.execute("CREATE TABLE t (id int)")')
    await upgrade_schema(Dsn.parse(url))
    await upgrade(Dsn.parse(url), tmp_path / "migrations")

    env = {**production, "NEON_DATABASE_URL": url, "PORT": "0"}
    service = launch("serve", "notes:app", env=env)
    service.wait_until(lambda: service.get("/health/startup").status == 200)
    imported = service.get("/modules").json()
    assert isinstance(imported, list)
    assert [name for name in SPARED if name in imported] == []
