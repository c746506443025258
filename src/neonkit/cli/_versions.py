"""`neonkit downgrade`, `history`, `current`, `stamp` and `adopt`: the rest of a history's life."""

from neonkit.cli._app_history import AppTables, app_with_history, on_tables, refuse_foreign, tell
from neonkit.migrations import (
    Adoption,
    Revision,
    adopt,
    carry_over,
    downgrade,
    list_revisions,
    stamp,
)

_DIFFERS = (
    "the database is not what the models say. Make it so with these statements, or the models; or "
    "begin with `neonkit adopt --as-it-is`, after which `makemigrations` writes them as a revision"
)


def run_downgrade(app: str | None, target: str, *, is_json: bool) -> int:
    """Take revisions back."""

    async def work(tables: AppTables) -> tuple[str, ...]:
        return await downgrade(tables.dsn, tables.history.folder, target)

    def say(undone: tuple[str, ...]) -> int:
        words = "\n".join(f"took back {each}" for each in undone) or "nothing to take back"
        return tell({"undone": undone}, words, is_json=is_json)

    return on_tables(app, work, say, is_json=is_json)


def run_history(app: str | None, *, is_json: bool, only_current: bool) -> int:
    """List revisions, newest first, or only those that the database is at."""

    async def work(tables: AppTables) -> list[Revision]:
        found = await list_revisions(tables.dsn, tables.history.folder)
        return [each for each in found if each.is_current or not only_current]

    def say(found: list[Revision]) -> int:
        nothing = "the database is at no migration" if only_current else "there are no migrations"
        document: dict[str, object] = {"revisions": [vars(each) for each in found]}
        return tell(document, "\n".join(map(str, found)) or nothing, is_json=is_json)

    return on_tables(app, work, say, is_json=is_json)


def run_stamp(app: str | None, target: str, *, is_json: bool) -> int:
    """Have the database count as being at a revision."""

    async def work(tables: AppTables) -> tuple[str, ...]:
        return await stamp(tables.dsn, tables.history.folder, target)

    def say(current: tuple[str, ...]) -> int:
        words = f"the database counts as being at {', '.join(current) or 'no migration'}"
        return tell({"current": current}, words, is_json=is_json)

    return on_tables(app, work, say, is_json=is_json)


def run_adopt(app: str | None, *, as_it_is: bool, is_json: bool) -> int:
    """Give a database that has tables a history."""

    async def work(tables: AppTables) -> Adoption:
        return await adopt(tables.dsn, tables.history.folder, tables.metadata, as_it_is=as_it_is)

    def say(done: Adoption) -> int:
        document = {
            "stamped": done.stamped,
            "file": done.file and str(done.file),
            "difference": done.difference.words,
            "statements": done.difference.statements,
            "left_alone": done.left_alone,
        }
        error = _DIFFERS if done.stamped is None else None
        return tell(document, "\n".join(_told(done)), is_json=is_json, error=error)

    return on_tables(app, work, say, is_json=is_json, refuse=refuse_foreign)


def run_carry_over(app: str | None, *, is_json: bool) -> int:
    """Take the Alembic set-up of the project over."""
    _, history = app_with_history(app)
    folder = carry_over(history)
    words = f"copied {history.owner} to {folder}; the old folder is yours to delete"
    return tell({"folder": str(folder)}, words, is_json=is_json)


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
