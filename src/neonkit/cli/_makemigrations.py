"""`neonkit makemigrations`: what the models say beyond the migrations that are there."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from neonkit.cli._app_history import AppTables, app_with_history, on_tables, refuse_foreign, tell
from neonkit.errors import MigrationError
from neonkit.migrations import (
    Draft,
    Rename,
    draft_revision,
    merge_heads,
    write_draft,
    write_empty,
)

_MAYBE = "{rename}? If it only has another name now, begin again with --rename {rename}"
_MORE = "the models say more than the migrations: run `neonkit makemigrations`"


def makemigrations(
    app: str | None, message: str | None, renames: Sequence[str], *, is_json: bool
) -> int:
    """Write the revision that brings the history to the models.

    Raises:
        ConfigurationError: no app is named, it has no neonkit, or its settings are wrong.
    """
    given = [Rename.parse(each) for each in renames]

    async def work(tables: AppTables) -> tuple[Draft, Path | None]:
        draft = await _draft(tables, given)
        answered = [] if is_json else _ask(draft.renames)
        if answered:
            draft = await _draft(tables, [*given, *answered])
        return draft, write_draft(tables.history.folder, draft, message)

    def say(done: tuple[Draft, Path | None]) -> int:
        draft, file = done
        notes = [*draft.up.warnings, *(_MAYBE.format(rename=each) for each in draft.renames)]
        words = [f"wrote {file}" if file else "the models say nothing new"]
        words += [f"see to it: {note}" for note in notes]
        document = {"file": file and str(file), "notes": notes}
        return tell(document, "\n".join(words), is_json=is_json)

    return on_tables(app, work, say, is_json=is_json, refuse=refuse_foreign)


def check(app: str | None, *, is_json: bool) -> int:
    """Say whether models and migrations agree, and write nothing.

    Returns:
        The exit code: 1 also where they do not.
    """

    async def work(tables: AppTables) -> Draft:
        return await _draft(tables, [])

    def say(draft: Draft) -> int:
        if draft.up.is_empty:
            return tell({}, "models and migrations say the same", is_json=is_json)
        document = {"difference": draft.up.words, "statements": draft.up.statements}
        lines = [*draft.up.words, "", *(f"{each};" for each in draft.up.statements)]
        return tell(document, "\n".join(lines), is_json=is_json, error=_MORE)

    return on_tables(app, work, say, is_json=is_json, refuse=refuse_foreign)


def merge(app: str | None, message: str | None, *, is_json: bool) -> int:
    """Write the revision that comes after several newest ones."""
    return _write(app, lambda folder: merge_heads(folder, message), is_json=is_json)


def empty(app: str | None, message: str | None, *, is_json: bool) -> int:
    """Write a revision for work by hand."""
    return _write(app, lambda folder: write_empty(folder, message), is_json=is_json)


def _write(app: str | None, write: Callable[[Path], Path | None], *, is_json: bool) -> int:
    """Write a revision for which no database is asked.

    Returns:
        The exit code: 1 where the history is not ours.

    Raises:
        ConfigurationError: no app is named, or a file of the history is no revision.
    """
    _, history = app_with_history(app)
    try:
        refuse_foreign(history)
        file = write(history.folder)
    except MigrationError as error:
        return tell({}, "", is_json=is_json, error=str(error))
    words = f"wrote {file}" if file else "there is one newest migration: nothing to merge"
    return tell({"file": file and str(file)}, words, is_json=is_json)


def _ask(renames: Sequence[Rename]) -> list[Rename]:
    """Ask whoever sits at the terminal; nobody else can know."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return []
    return [each for each in renames if typer.confirm(f"Is {each} only another name?")]


async def _draft(tables: AppTables, renames: Sequence[Rename]) -> Draft:
    return await draft_revision(tables.dsn, tables.history.folder, tables.metadata, renames=renames)
