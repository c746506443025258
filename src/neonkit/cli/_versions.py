"""`neonkit downgrade`, `history`, `current`, `stamp` and `adopt`: the rest of a history's life."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer

from neonkit.cli._app_history import app_with_history, fail, refuse_foreign, tell, why_not_ours
from neonkit.dsn import Dsn
from neonkit.errors import MigrationError
from neonkit.history import History
from neonkit.migrations import (
    Adoption,
    Revision,
    adopt,
    carry_over,
    downgrade,
    list_revisions,
    stamp,
)
from neonkit.settings import database_at
from neonkit.web import Runtime

Answer = TypeVar("Answer")

_DIFFERS = (
    "the database is not what the models say. Make it so with these statements, or the models; or "
    "begin with `neonkit adopt --as-it-is`, after which `makemigrations` writes them as a revision"
)


def run_downgrade(app: str | None, target: str, *, is_json: bool) -> int:
    """Take revisions back."""

    async def work(dsn: Dsn, history: History) -> tuple[str, ...]:
        return await downgrade(dsn, history.folder, target)

    def say(undone: tuple[str, ...]) -> None:
        words = "\n".join(f"took back {each}" for each in undone) or "nothing to take back"
        tell({"undone": undone}, words, is_json=is_json)

    return _run(app, work, say, is_json=is_json)


def run_history(app: str | None, *, is_json: bool, only_current: bool) -> int:
    """List revisions, newest first, or only those that the database is at."""

    async def work(dsn: Dsn, history: History) -> list[Revision]:
        found = await list_revisions(dsn, history.folder)
        return [each for each in found if each.is_current or not only_current]

    def say(found: list[Revision]) -> None:
        nothing = "the database is at no migration" if only_current else "there are no migrations"
        document: dict[str, object] = {"revisions": [vars(each) for each in found]}
        tell(document, "\n".join(map(str, found)) or nothing, is_json=is_json)

    return _run(app, work, say, is_json=is_json)


def run_stamp(app: str | None, target: str, *, is_json: bool) -> int:
    """Have the database count as being at a revision."""

    async def work(dsn: Dsn, history: History) -> tuple[str, ...]:
        return await stamp(dsn, history.folder, target)

    def say(current: tuple[str, ...]) -> None:
        words = f"the database counts as being at {', '.join(current) or 'no migration'}"
        tell({"current": current}, words, is_json=is_json)

    return _run(app, work, say, is_json=is_json)


def run_adopt(app: str | None, *, as_it_is: bool, is_json: bool) -> int:
    """Give a database that has tables a history."""
    runtime, history = app_with_history(app)
    try:
        refuse_foreign(history)
        done = asyncio.run(_adopt(runtime, history, as_it_is=as_it_is))
    except MigrationError as error:
        return fail(error, is_json=is_json)
    document = {
        "stamped": done.stamped,
        "file": done.file and str(done.file),
        "difference": done.difference.words,
        "statements": done.difference.statements,
        "left_alone": done.left_alone,
    }
    if done.stamped is None:
        if not is_json:
            typer.echo("\n".join(_told(done)))
        return fail(MigrationError(_DIFFERS), is_json=is_json)
    tell(document, "\n".join(_told(done)), is_json=is_json)
    return 0


def run_carry_over(app: str | None, *, is_json: bool) -> int:
    """Take the Alembic set-up of the project over."""
    _, history = app_with_history(app)
    folder = carry_over(history)
    words = f"copied {history.owner} to {folder}; the old folder is yours to delete"
    tell({"folder": str(folder)}, words, is_json=is_json)
    return 0


def _told(done: Adoption) -> list[str]:
    lines = [f"wrote {done.file}"] if done.file else []
    if done.stamped:
        lines.append(f"the database counts as being at {done.stamped}")
    if not done.difference.is_empty:
        lines += [*done.difference.words, ""]
        lines += [f"{each};" for each in done.difference.statements]
        if done.stamped:
            lines += ["", "`neonkit makemigrations` writes these as the next revision"]
    lines += [f"left alone: the table {each}, which no model names" for each in done.left_alone]
    return lines


async def _adopt(runtime: Runtime, history: History, *, as_it_is: bool) -> Adoption:
    async with database_at(runtime.settings.direct_dsn) as dsn:
        return await adopt(dsn, history.folder, runtime.metadata, as_it_is=as_it_is)


def _run(
    app: str | None,
    work: Callable[[Dsn, History], Awaitable[Answer]],
    say: Callable[[Answer], None],
    *,
    is_json: bool,
) -> int:
    """Do something with an app's history, and say what came of it.

    Returns:
        The exit code: 1 where the database cannot be used, or the history is not ours.

    Raises:
        ConfigurationError: no app is named, it has no neonkit, or its settings are wrong.
    """
    runtime, history = app_with_history(app)

    async def with_database() -> Answer:
        async with database_at(runtime.settings.direct_dsn) as dsn:
            return await work(dsn, history)

    try:
        if not history.is_ours:
            raise MigrationError(why_not_ours(history))
        say(asyncio.run(with_database()))
    except MigrationError as error:
        return fail(error, is_json=is_json)
    return 0
