"""A database with tables becomes one with a history; nothing in it is changed but the stamp."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from neonkit.db import schemas_of
from neonkit.dsn import Dsn
from neonkit.errors import ConfigurationError, MigrationError
from neonkit.history import History
from neonkit.migrations._catalogue.catalogue import Catalogue
from neonkit.migrations._catalogue.reading import read_catalogue
from neonkit.migrations._comparison.catalogues import plan_change
from neonkit.migrations._comparison.plan import Plan
from neonkit.migrations._running.scratch import catalogue_of_models, scratch
from neonkit.migrations._running.steps import connected, current_of, run_to
from neonkit.migrations._running.versions import stamp
from neonkit.migrations._scripts import head_of, read_script
from neonkit.migrations._writing.revision_file import write_revision
from neonkit.migrations._writing.revisions import Metadata, each_of


@dataclass(frozen=True)
class Adoption:
    """What came of it.

    Attributes:
        stamped: the revision that the database is at now; `None` where it differs.
        file: the first revision, where one was written.
        difference: what would make the database what the models say.
        left_alone: tables that no model names.
    """

    stamped: str | None
    file: Path | None
    difference: Plan
    left_alone: tuple[str, ...] = ()


async def adopt(dsn: Dsn, folder: Path, metadata: Metadata, *, as_it_is: bool = False) -> Adoption:
    """Give a database that has tables a history.

    The first revision is written from the models. Where the database is what it makes, it is
    stamped; where not, no file is left and the database is as it was.

    Args:
        dsn: the direct URL; the role must be allowed to create a database.
        folder: where the history is, or will be.
        metadata: every table of the app.
        as_it_is: write the first revision from the database instead; `make_revision` then writes
            a second one with all that differs.

    Raises:
        ConfigurationError: the folder's revisions are not one line.
        MigrationError: the database has a history, or no tables; or it cannot be used.
    """
    metadatas = each_of(metadata)
    async with connected(dsn) as connection:
        current = await connection.run_sync(current_of)
        there = await connection.run_sync(read_catalogue, schemas_of(*metadatas))
    if current:
        raise MigrationError(f"the database has a history already: it is at {', '.join(current)}")
    if not there.tables:
        raise MigrationError("the database has no tables: `neonkit migrate` makes them")
    head = head_of(read_script(folder))
    if head is not None and as_it_is:
        raise MigrationError(
            f"there are migrations in {folder} already, and the database has run none of them: "
            "delete them if nobody else has either, and run this again"
        )
    models = await _expected(dsn, folder, head, metadata)
    target = models.keeping(there, tables=True)
    left_alone = tuple(sorted(there.tables.keys() - models.tables.keys()))
    change = plan_change(there, target)
    if not change.is_empty and not as_it_is:
        return Adoption(None, None, change, left_alone)
    file = None
    if head is None:
        source = there.without(left_alone) if as_it_is else models
        file = _write_first(folder, source)
    stamped = await stamp(dsn, folder, "head")
    return Adoption(stamped[0], file, change, left_alone)


def carry_over(history: History) -> Path:
    """Take an Alembic set-up over: its folder is copied to where neonkit looks for one.

    `alembic.ini` then names the copy, so that Alembic's own command line goes on working on it;
    the database needs nothing, since both count revisions in the same table.

    Returns:
        the folder where the history is now.

    Raises:
        ConfigurationError: there is no such set-up, or there are migrations of ours already.
    """
    owner, named_in = history.owner, history.named_in
    if owner is None or named_in is None:
        raise ConfigurationError("no alembic.ini or [tool.alembic] names a folder of migrations")
    if history.folder.exists():
        raise ConfigurationError(f"there are migrations in {history.folder} already")
    shutil.copytree(owner, history.folder, ignore=shutil.ignore_patterns("__pycache__"))
    words = named_in.read_text()
    place = history.folder.relative_to(named_in.parent.resolve()).as_posix()
    line = re.compile(r"^(script_location\s*=\s*)(\"?).*?(\"?)$", re.MULTILINE)
    named_in.write_text(line.sub(rf"\g<1>\g<2>{place}\g<3>", words, count=1))
    return history.folder


async def _expected(dsn: Dsn, folder: Path, head: str | None, metadata: Metadata) -> Catalogue:
    """What the database would be at head; what the models say where there is no revision yet."""
    if head is None:
        return await catalogue_of_models(dsn, each_of(metadata))
    async with scratch(dsn) as connection:
        await connection.run_sync(run_to, read_script(folder), head)
        return await connection.run_sync(read_catalogue)


def _write_first(folder: Path, source: Catalogue) -> Path:
    nothing = Catalogue()
    up, down = plan_change(nothing, source), plan_change(source, nothing)
    return write_revision(read_script(folder), "the first tables", up, down)
