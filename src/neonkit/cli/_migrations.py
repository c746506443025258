"""`neonkit migrate`: revisions applied, judged, rehearsed, or written down as SQL."""

from dataclasses import asdict

from neonkit.cli._app_history import AppTables, on_tables, tell
from neonkit.dsn import Dsn
from neonkit.migrations import (
    Finding,
    Rehearsed,
    lint,
    rehearse,
    upgrade,
    upgrade_schema,
    upgrade_sql,
)

_HURTS = "what would hurt is refused in production"


def migrate(app: str | None, *, is_json: bool) -> int:
    """Bring the database to head, and the toolkit's own tables to this release."""

    async def work(tables: AppTables) -> tuple[tuple[str, ...], str]:
        dsn, history = tables.dsn, tables.history
        await upgrade_schema(dsn)
        if not history.is_ours:
            return (), history.why_not_ours
        applied = await upgrade(dsn, history.folder, refuses_danger=tables.is_production)
        return applied, "\n".join(
            f"applied {each}" for each in applied
        ) or "the database is at head"

    def say(done: tuple[tuple[str, ...], str]) -> int:
        applied, words = done
        return tell({"applied": applied}, words, is_json=is_json)

    return on_tables(app, work, say, is_json=is_json, refuse=lambda _: None)


def print_sql(app: str | None) -> int:
    """Print what `migrate` would run, and change nothing."""

    async def work(tables: AppTables) -> str:
        return await upgrade_sql(tables.dsn, tables.history.folder)

    def say(sql: str) -> int:
        return tell({}, sql.rstrip(), is_json=False)

    return on_tables(app, work, say, is_json=False)


def lint_migrations(app: str | None, *, is_json: bool) -> int:
    """Judge the revisions that the database lacks, and change nothing.

    Returns:
        The exit code: 1 also where one would hurt and does not say why not.
    """

    async def work(tables: AppTables) -> list[Finding]:
        return await lint(tables.dsn, tables.history.folder)

    def say(findings: list[Finding]) -> int:
        document = {"findings": [asdict(each) for each in findings]}
        words = "\n".join(map(str, findings)) or "nothing that would hurt"
        is_refused = any(each.reason is None for each in findings)
        return tell(document, words, is_json=is_json, error=_HURTS if is_refused else None)

    return on_tables(app, work, say, is_json=is_json)


def rehearse_migrations(app: str | None, on: str | None, *, is_json: bool) -> int:
    """Run the revisions that the database lacks on a copy, and tell what each statement did.

    Raises:
        ConfigurationError: no app is named, it has no neonkit, or a URL or a setting is wrong.
    """
    copy = Dsn.parse(on) if on else None

    async def work(tables: AppTables) -> list[Rehearsed]:
        return await rehearse(tables.dsn, tables.history.folder, copy)

    def say(done: list[Rehearsed]) -> int:
        document = {"statements": [asdict(each) for each in done]}
        words = "\n".join(map(str, done)) or "the database is at head"
        return tell(document, words, is_json=is_json)

    return on_tables(app, work, say, is_json=is_json)
