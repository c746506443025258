"""The app that a command line is about, with the history of its tables."""

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

from neonkit.cli._environment import read_settings
from neonkit.cli._target import find_target, runtime_of
from neonkit.errors import ConfigurationError, MigrationError
from neonkit.history import History

if TYPE_CHECKING:
    from neonkit.web import Runtime

_ELSEWHERE = (
    "ENVIRONMENT is test, and the database is on another machine ({host}): a test changes nothing "
    "there; set ENVIRONMENT to what that database is for"
)
_FOREIGN = (
    "left alone: {file} says that Alembic itself runs the migrations in {owner}; `neonkit adopt "
    "--carry-over` takes them over"
)
_NONE = "there are no migrations in {folder}; `neonkit makemigrations` writes the first"


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


def refuse_foreign(history: History) -> None:
    """Leave a history alone that Alembic itself runs.

    Raises:
        MigrationError: it is such a one.
    """
    if history.is_foreign:
        raise MigrationError(why_not_ours(history))


def why_not_ours(history: History) -> str:
    """Say why there is nothing to run."""
    file = history.named_in.name if history.named_in else ""
    return (_FOREIGN if history.is_foreign else _NONE).format(
        owner=history.owner, folder=history.folder, file=file
    )


def fail(error: MigrationError, *, is_json: bool) -> int:
    """Print what went wrong, and return the exit code."""
    if is_json:
        typer.echo(json.dumps({"ok": False, "error": str(error)}))
    else:
        typer.echo(f"neonkit: {error}", err=True)
    return 1


def tell(document: Mapping[str, object], words: str, *, is_json: bool) -> None:
    """Print what was done, for programs or for people."""
    typer.echo(json.dumps({"ok": True, **document}) if is_json else words)
