"""`neonkit migrate` and `neonkit makemigrations`: revisions applied, and a new one written."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import typer
from fastapi import FastAPI
from sqlmodel import SQLModel

from neonkit.cli._entrypoint import find_target, load_app
from neonkit.cli._environment import read_settings
from neonkit.dsn import Dsn
from neonkit.errors import ConfigurationError
from neonkit.local import LocalServer
from neonkit.migrations import History, MigrationError, make_revision, upgrade, upgrade_schema
from neonkit.settings import Settings
from neonkit.web import Runtime

_DATA = Path(".neonkit") / "postgres"
_FOREIGN = "left alone: alembic.ini says that Alembic itself runs the migrations in {owner}"
_NONE = "there are no migrations in {folder}; `neonkit makemigrations` writes the first"


def migrate(app: str | None, *, is_json: bool) -> int:
    """Bring the database to head.

    Returns:
        The exit code: 1 where a migration failed or the database is away.
    """
    settings = read_settings({}, environment="development")
    history = _history_of(find_target(app, Path.cwd()))
    try:
        applied = asyncio.run(_upgrade(settings, history))
    except MigrationError as error:
        return _fail(error, is_json=is_json)
    if is_json:
        typer.echo(json.dumps({"ok": True, "applied": applied}))
    elif not history.is_ours:
        typer.echo(_explain(history))
    else:
        typer.echo("\n".join(f"applied {each}" for each in applied) or "the database is at head")
    return 0


def makemigrations(app: str | None, message: str | None, *, is_json: bool) -> int:
    """Write the revision that brings the history to the models.

    Returns:
        The exit code: 1 where the database cannot be used, or the history is not ours.
    """
    settings = read_settings({}, environment="development")
    history = _history_of(find_target(app, Path.cwd()))
    try:
        if history.is_foreign:
            raise MigrationError(_explain(history))
        file = asyncio.run(_make(settings, history, message))
    except MigrationError as error:
        return _fail(error, is_json=is_json)
    if is_json:
        typer.echo(json.dumps({"ok": True, "file": file and str(file)}))
    else:
        typer.echo(f"wrote {file}" if file else "the models say nothing new")
    return 0


def _history_of(target: str) -> History:
    app = load_app(target)
    runtime = getattr(app.state, "neonkit", None) if isinstance(app, FastAPI) else None
    if not isinstance(runtime, Runtime) or runtime.history is None:
        raise ConfigurationError(f"{target!r} has no neonkit: call `neonkit.install(app)` there")
    return runtime.history


def _explain(history: History) -> str:
    return (_FOREIGN if history.is_foreign else _NONE).format(
        owner=history.owner, folder=history.folder
    )


def _fail(error: MigrationError, *, is_json: bool) -> int:
    if is_json:
        typer.echo(json.dumps({"ok": False, "error": str(error)}))
    else:
        typer.echo(f"neonkit: {error}", err=True)
    return 1


async def _upgrade(settings: Settings, history: History) -> tuple[str, ...]:
    async with _database(settings) as dsn:
        await upgrade_schema(dsn)
        return await upgrade(dsn, history.folder) if history.is_ours else ()


async def _make(settings: Settings, history: History, message: str | None) -> Path | None:
    async with _database(settings) as dsn:
        return await make_revision(dsn, history.folder, SQLModel.metadata, message)


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Dsn]:
    """The direct URL's; where none is set, the embedded server that `neonkit dev` uses."""
    if settings.direct_dsn is not None:
        yield settings.direct_dsn
        return
    async with await LocalServer.start(_DATA) as server:
        yield Dsn.parse(server.url)
