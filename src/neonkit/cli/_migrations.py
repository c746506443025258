"""`neonkit migrate`: revisions applied, judged, rehearsed, or written down as SQL."""

import asyncio
import json
from dataclasses import asdict

import typer

from neonkit.cli._app_history import app_with_history, fail, why_not_ours
from neonkit.dsn import Dsn
from neonkit.errors import MigrationError
from neonkit.history import History
from neonkit.migrations import (
    Finding,
    Rehearsed,
    lint,
    rehearse,
    upgrade,
    upgrade_schema,
    upgrade_sql,
)
from neonkit.settings import Settings, database_at


def migrate(app: str | None, *, is_json: bool) -> int:
    """Bring the database to head.

    Returns:
        The exit code: 1 where a migration failed or the database is away.

    Raises:
        ConfigurationError: no app is named, it has no neonkit, or its settings are wrong.
    """
    runtime, history = app_with_history(app)
    settings = runtime.settings
    try:
        applied = asyncio.run(_upgrade(settings, history))
    except MigrationError as error:
        return fail(error, is_json=is_json)
    if is_json:
        typer.echo(json.dumps({"ok": True, "applied": applied}))
    elif not history.is_ours:
        typer.echo(why_not_ours(history))
    else:
        typer.echo("\n".join(f"applied {each}" for each in applied) or "the database is at head")
    return 0


def print_sql(app: str | None) -> int:
    """Print what `migrate` would run, and change nothing.

    Returns:
        The exit code: 1 where the database is away, or the history is not ours.

    Raises:
        ConfigurationError: no app is named, it has no neonkit, or its settings are wrong.
    """
    runtime, history = app_with_history(app)
    try:
        if not history.is_ours:
            raise MigrationError(why_not_ours(history))
        typer.echo(asyncio.run(_sql(runtime.settings, history)).rstrip())
    except MigrationError as error:
        return fail(error, is_json=False)
    return 0


def lint_migrations(app: str | None, *, is_json: bool) -> int:
    """Judge the revisions that the database lacks, and change nothing.

    Returns:
        The exit code: 1 where one would hurt and does not say why not, or the database is away.

    Raises:
        ConfigurationError: no app is named, it has no neonkit, or its settings are wrong.
    """
    runtime, history = app_with_history(app)
    settings = runtime.settings
    try:
        findings = asyncio.run(_lint(settings, history))
    except MigrationError as error:
        return fail(error, is_json=is_json)
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
    runtime, history = app_with_history(app)
    settings = runtime.settings
    copy = Dsn.parse(on) if on else None
    try:
        done = asyncio.run(_rehearse(settings, history, copy))
    except MigrationError as error:
        return fail(error, is_json=is_json)
    if is_json:
        typer.echo(json.dumps({"ok": True, "statements": [asdict(each) for each in done]}))
    else:
        typer.echo("\n".join(map(str, done)) or "the database is at head")
    return 0


async def _upgrade(settings: Settings, history: History) -> tuple[str, ...]:
    async with database_at(settings.direct_dsn) as dsn:
        await upgrade_schema(dsn)
        if not history.is_ours:
            return ()
        return await upgrade(dsn, history.folder, refuses_danger=settings.is_production)


async def _sql(settings: Settings, history: History) -> str:
    async with database_at(settings.direct_dsn) as dsn:
        return await upgrade_sql(dsn, history.folder)


async def _lint(settings: Settings, history: History) -> list[Finding]:
    async with database_at(settings.direct_dsn) as dsn:
        return await lint(dsn, history.folder) if history.is_ours else []


async def _rehearse(settings: Settings, history: History, copy: Dsn | None) -> list[Rehearsed]:
    async with database_at(settings.direct_dsn) as dsn:
        return await rehearse(dsn, history.folder, copy) if history.is_ours else []
