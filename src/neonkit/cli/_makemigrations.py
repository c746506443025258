"""`neonkit makemigrations`: what the models say beyond the migrations that are there."""

import asyncio
import sys
from collections.abc import Sequence

import typer

from neonkit.cli._app_history import app_with_history, fail, refuse_foreign, tell
from neonkit.errors import MigrationError
from neonkit.migrations import Draft, Rename, draft_revision, merge_heads, write_draft
from neonkit.settings import database_at
from neonkit.web import Runtime

_MAYBE = "{rename}? If it only has another name now, begin again with --rename {rename}"


def makemigrations(
    app: str | None, message: str | None, renames: Sequence[str], *, is_json: bool
) -> int:
    """Write the revision that brings the history to the models.

    Returns:
        The exit code: 1 where the database cannot be used, or the history is not ours.

    Raises:
        ConfigurationError: no app is named, it has no neonkit, or its settings are wrong.
    """
    runtime, history = app_with_history(app)
    given = [Rename.parse(each) for each in renames]
    try:
        refuse_foreign(history)
        draft = asyncio.run(_draft(runtime, given))
        answered = _ask(draft.renames) if not is_json else ()
        if answered:
            draft = asyncio.run(_draft(runtime, [*given, *answered]))
        file = write_draft(history.folder, draft, message)
    except MigrationError as error:
        return fail(error, is_json=is_json)
    notes = [*draft.up.warnings, *(_MAYBE.format(rename=each) for each in draft.renames)]
    words = [f"wrote {file}" if file else "the models say nothing new"]
    words += [f"see to it: {note}" for note in notes]
    tell(
        {"file": file and str(file), "notes": notes},
        "\n".join(words),
        is_json=is_json,
    )
    return 0


def check(app: str | None, *, is_json: bool) -> int:
    """Say whether models and migrations agree, and write nothing.

    Returns:
        The exit code: 1 where they do not.

    Raises:
        ConfigurationError: no app is named, it has no neonkit, or its settings are wrong.
    """
    runtime, history = app_with_history(app)
    try:
        refuse_foreign(history)
        draft = asyncio.run(_draft(runtime, []))
    except MigrationError as error:
        return fail(error, is_json=is_json)
    if draft.up.is_empty:
        tell({}, "models and migrations say the same", is_json=is_json)
        return 0
    lines = [*draft.up.words, "", *(f"{each};" for each in draft.up.statements)]
    said = "the models say more than the migrations: run `neonkit makemigrations`"
    if not is_json:
        typer.echo("\n".join(lines))
    return fail(MigrationError(said), is_json=is_json)


def merge(app: str | None, message: str | None, *, is_json: bool) -> int:
    """Write the revision that comes after several newest ones.

    Returns:
        The exit code: 1 where the history is not ours.

    Raises:
        ConfigurationError: no app is named, or a file of the history is no revision.
    """
    _, history = app_with_history(app)
    try:
        refuse_foreign(history)
        file = merge_heads(history.folder, message)
    except MigrationError as error:
        return fail(error, is_json=is_json)
    words = f"wrote {file}" if file else "there is one newest migration: nothing to merge"
    tell({"file": file and str(file)}, words, is_json=is_json)
    return 0


def _ask(renames: Sequence[Rename]) -> list[Rename]:
    """Ask whoever sits at the terminal; nobody else can know."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return []
    return [each for each in renames if typer.confirm(f"Is {each} only another name?")]


async def _draft(runtime: Runtime, renames: Sequence[Rename]) -> Draft:
    history = runtime.history
    assert history is not None, "app_with_history has seen to it"  # noqa: S101
    async with database_at(runtime.settings.direct_dsn) as dsn:
        return await draft_revision(dsn, history.folder, runtime.metadata, renames=renames)
