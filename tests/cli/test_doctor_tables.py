"""`neonkit doctor` on tables: what a database lacks of what the app needs, each with its fix."""

from pathlib import Path

from fastapi import FastAPI
from sqlalchemy import Column, Integer, MetaData, Numeric, Table

import neonkit
from neonkit.cli._doctor_tables import check_tables
from neonkit.dsn import Dsn
from neonkit.migrations import make_revision, upgrade, upgrade_schema
from neonkit.settings import Settings
from neonkit.web import Runtime


def _priced(digits: int) -> MetaData:
    table = Table("note", MetaData(), Column("id", Integer, primary_key=True))
    table.append_column(Column("price", Numeric(digits, 2)))
    return table.metadata


async def _examined(
    dsn: Dsn, folder: Path, metadata: MetaData, environment: str = "production"
) -> dict[str, tuple[str, str, str | None]]:
    app = FastAPI()
    key = "an0ther-l0ng-and-quite-r4ndom-signing-key"
    settings = Settings(
        _env_file=None,
        environment=environment,
        neon_database_url=dsn.for_libpq(),
        secret_key=key,
    )
    neonkit.install(app, settings, metadata=metadata, migrations=folder)
    checks = await check_tables(Runtime.of(app), dsn)
    return {each.name: (each.status, each.what, each.fix) for each in checks}


async def test_what_lacks_is_named_with_its_fix(dsn: Dsn, tmp_path: Path) -> None:
    """The schema, revisions, tables that models name, and then whatever else differs."""
    folder, metadata = tmp_path / "migrations", _priced(17)
    lacking = "models name what the database lacks: note"
    assert await _examined(dsn, folder, metadata, "development") == {
        "tables.schema": (
            "warn",
            "the schema `neonkit`, the toolkit's own tables, is missing or of an older release",
            "neonkit migrate",
        ),
        "tables.models": (
            "warn", lacking, "neonkit dev, which adds what can be added and names the rest",
        ),
    }  # fmt: skip

    revision = await make_revision(dsn, folder, metadata)
    assert revision is not None
    await upgrade_schema(dsn)
    name = revision.stem.rpartition("_")[2]
    assert await _examined(dsn, folder, metadata) == {
        "tables.schema": ("ok", "the schema `neonkit` is there", None),
        "tables.head": (
            "fail", f"the database lacks revisions of the app: {name}", "neonkit migrate",
        ),
        "tables.models": ("fail", lacking, "neonkit migrate"),
    }  # fmt: skip

    await upgrade(dsn, folder)
    assert (await _examined(dsn, folder, metadata))["tables.models"] == (
        "ok", "tables and models say the same", None,
    )  # fmt: skip
    assert (await _examined(dsn, folder, _priced(19)))["tables.models"] == (
        "fail",
        "note.price becomes numeric(19,2) (it was numeric(17,2)).",
        "neonkit makemigrations, then neonkit migrate",
    )
    elsewhere = await _examined(dsn.replace(host="127.1"), folder, _priced(19))
    assert elsewhere["tables.models"][:2] == (
        "ok",
        "every table and column that models name is there",
    )
