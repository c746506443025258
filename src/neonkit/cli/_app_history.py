"""The app that a command line is about, with the history of its tables."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import typer
from sqlalchemy import MetaData

from neonkit.cli._environment import read_settings
from neonkit.cli._target import find_target, runtime_of
from neonkit.dsn import Dsn
from neonkit.errors import ConfigurationError, MigrationError
from neonkit.history import History
from neonkit.settings import database_at

if TYPE_CHECKING:
    from neonkit.web import Runtime

Answer = TypeVar("Answer")

_ELSEWHERE = (
    "ENVIRONMENT is test, and the database is on another machine ({host}): a test changes nothing "
    "there; set ENVIRONMENT to what that database is for"
)


@dataclass(frozen=True)
class AppTables:
    """The tables that a command is about.

    Attributes:
        dsn: the direct URL of their database.
        history: their revisions.
        metadata: what the models say of them.
        is_production: whether people use them.
    """

    dsn: Dsn
    history: History
    metadata: tuple[MetaData, ...]
    is_production: bool


def refuse_foreign(history: History) -> None:
    """Leave a history alone that Alembic itself runs.

    Raises:
        MigrationError: it is such a one.
    """
    if history.is_foreign:
        raise MigrationError(history.why_not_ours)


def refuse_not_ours(history: History) -> None:
    """Go on only where there are revisions, and they are ours to run.

    Raises:
        MigrationError: there are none, or Alembic itself runs them.
    """
    if not history.is_ours:
        raise MigrationError(history.why_not_ours)


def on_tables(
    app: str | None,
    work: Callable[[AppTables], Awaitable[Answer]],
    say: Callable[[Answer], int],
    *,
    is_json: bool,
    refuse: Callable[[History], None] = refuse_not_ours,
) -> int:
    """Do something with an app's tables, and say what came of it.

    Args:
        app: as the command line names it.
        work: what is to be done.
        say: prints its answer, and returns the exit code.
        is_json: whether a program reads what is printed.
        refuse: which histories the command leaves alone.

    Returns:
        The exit code: 1 where the database cannot be used, or the history is refused.

    Raises:
        ConfigurationError: no app is named, it has no neonkit, or its settings are wrong.
    """
    runtime, history = app_with_history(app)
    settings = runtime.settings

    async def with_database() -> Answer:
        async with database_at(settings.direct_dsn) as dsn:
            return await work(AppTables(dsn, history, runtime.metadata, settings.is_production))

    try:
        refuse(history)
        return say(asyncio.run(with_database()))
    except MigrationError as error:
        return tell({}, "", is_json=is_json, error=str(error))


def app_with_history(app: str | None) -> "tuple[Runtime, History]":
    """Import the app, in development unless it is said otherwise; its settings say which database.

    A test run is refused another machine's database, which may be anybody's.

    Raises:
        ConfigurationError: no app is named, it has no neonkit, or its settings are wrong.
    """
    logging.getLogger("neonkit").addHandler(logging.NullHandler())  # what failed is printed, once
    target = find_target(app)
    read_settings({}, environment="development")
    runtime = runtime_of(target)
    if runtime is None or runtime.history is None:
        raise target.refusal("it has no neonkit: call `neonkit.install(app)` there")
    dsn = runtime.settings.direct_dsn
    if runtime.settings.is_test and dsn is not None and not dsn.is_local:
        raise ConfigurationError(_ELSEWHERE.format(host=dsn.host))
    return runtime, runtime.history


def tell(
    document: Mapping[str, object], words: str, *, is_json: bool, error: str | None = None
) -> int:
    """Print what was done, for programs or for people, and what went wrong.

    Returns:
        The exit code: 1 with an error.
    """
    wrong = {} if error is None else {"error": error}
    if is_json:
        typer.echo(json.dumps({"ok": error is None, **document, **wrong}))
        return len(wrong)
    if words:
        typer.echo(words)
    if error is not None:
        typer.echo(f"neonkit: {error}", err=True)
    return len(wrong)
