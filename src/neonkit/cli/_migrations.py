"""`neonkit migrate` and `neonkit makemigrations`: revisions applied, and a new one written."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path

import typer
from sqlmodel import SQLModel

from neonkit.cli._environment import read_settings
from neonkit.cli._target import find_target, runtime_of
from neonkit.dsn import Dsn
from neonkit.errors import ConfigurationError
from neonkit.migrations import (
    Finding,
    History,
    MigrationError,
    Rehearsed,
    lint,
    make_revision,
    rehearse,
    upgrade,
    upgrade_schema,
)
from neonkit.settings import Settings, database_at

_ELSEWHERE = (
    "ENVIRONMENT is test, and the database is on another machine ({host}): a test changes nothing "
    "there; set ENVIRONMENT to what that database is for"
)
_FOREIGN = "left alone: alembic.ini says that Alembic itself runs the migrations in {owner}"
_NONE = "there are no migrations in {folder}; `neonkit makemigrations` writes the first"


def migrate(app: str | None, *, is_json: bool) -> int:
    """Bring the database to head.

    Returns:
        The exit code: 1 where a migration failed or the database is away.

    Raises:
        ConfigurationError: no app is named, it has no neonkit, or its settings are wrong.
    """
    settings, history = _of_app(app)
    try:
        applied = asyncio.run(_upgrade(settings, history))
    except MigrationError as error:
        return _fail(error, is_json=is_json)
    if is_json:
        typer.echo(json.dumps({"ok": True, "applied": applied}))
    elif not history.is_ours:
        typer.echo(_why_not_ours(history))
    else:
        typer.echo("\n".join(f"applied {each}" for each in applied) or "the database is at head")
    return 0


def lint_migrations(app: str | None, *, is_json: bool) -> int:
    """Judge the revisions that the database lacks, and change nothing.

    Returns:
        The exit code: 1 where one would hurt and does not say why not, or the database is away.

    Raises:
        ConfigurationError: no app is named, it has no neonkit, or its settings are wrong.
    """
    settings, history = _of_app(app)
    try:
        findings = asyncio.run(_lint(settings, history))
    except MigrationError as error:
        return _fail(error, is_json=is_json)
    refused = [each for each in findings if each.reason is None]
    if is_json:
        typer.echo(json.dumps({"ok": not refused, "findings": [asdict(each) for each in findings]}))
    else:
        typer.echo("\n".join(map(str, findings)) or "nothing that would hurt")
    return 1 if refused else 0


def rehearse_migrations(app: str | None, on: str | None, *, is_json: bool) -> int:
    """Run the revisions that the database lacks on a copy, and tell what each statement did.

    Returns:
        The exit code: 1 where a revision failed there, or there is no copy.

    Raises:
        ConfigurationError: no app is named, it has no neonkit, or a URL or a setting is wrong.
    """
    settings, history = _of_app(app)
    copy = Dsn.parse(on) if on else None
    try:
        done = asyncio.run(_rehearse(settings, history, copy))
    except MigrationError as error:
        return _fail(error, is_json=is_json)
    if is_json:
        typer.echo(json.dumps({"ok": True, "statements": [asdict(each) for each in done]}))
    else:
        typer.echo("\n".join(map(str, done)) or "the database is at head")
    return 0


def makemigrations(app: str | None, message: str | None, *, is_json: bool) -> int:
    """Write the revision that brings the history to the models.

    Returns:
        The exit code: 1 where the database cannot be used, or the history is not ours.

    Raises:
        ConfigurationError: no app is named, it has no neonkit, or its settings are wrong.
    """
    settings, history = _of_app(app)
    try:
        if history.is_foreign:
            raise MigrationError(_why_not_ours(history))
        file = asyncio.run(_make(settings, history, message))
    except MigrationError as error:
        return _fail(error, is_json=is_json)
    if is_json:
        typer.echo(json.dumps({"ok": True, "file": file and str(file)}))
    else:
        typer.echo(f"wrote {file}" if file else "the models say nothing new")
    return 0


def _of_app(app: str | None) -> tuple[Settings, History]:
    """Import the app, in development unless it is said otherwise; its settings say which database.

    A test run is refused another machine's database, which may be anybody's.
    """
    target = find_target(app)
    read_settings({}, environment="development")
    runtime = runtime_of(target)
    if runtime is None or runtime.history is None:
        raise target.refusal("it has no neonkit: call `neonkit.install(app)` there")
    dsn = runtime.settings.direct_dsn
    if runtime.settings.is_test and dsn is not None and not dsn.is_local:
        raise ConfigurationError(_ELSEWHERE.format(host=dsn.host))
    return runtime.settings, runtime.history


def _why_not_ours(history: History) -> str:
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
    async with database_at(settings.direct_dsn) as dsn:
        await upgrade_schema(dsn)
        if not history.is_ours:
            return ()
        return await upgrade(dsn, history.folder, refuses_danger=settings.is_production)


async def _lint(settings: Settings, history: History) -> list[Finding]:
    async with database_at(settings.direct_dsn) as dsn:
        return await lint(dsn, history.folder) if history.is_ours else []


async def _rehearse(settings: Settings, history: History, copy: Dsn | None) -> list[Rehearsed]:
    async with database_at(settings.direct_dsn) as dsn:
        return await rehearse(dsn, history.folder, copy) if history.is_ours else []


async def _make(settings: Settings, history: History, message: str | None) -> Path | None:
    async with database_at(settings.direct_dsn) as dsn:
        return await make_revision(dsn, history.folder, SQLModel.metadata, message)
