"""The command line: names, options and help. What a command does is imported when it runs."""

import sys
from typing import Annotated

import typer

commands = typer.Typer(
    name="neonkit",
    help="FastAPI and SQLModel on Neon: run a service, and find out what is wrong with it.",
    epilog="The settings are variables of the environment, or lines of a file .env or .env.local.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

App = Annotated[
    str | None,
    typer.Argument(
        metavar="APP",
        help="module:attribute. Default: [tool.fastapi] entrypoint of ./pyproject.toml.",
        show_default=False,
    ),
]
Host = Annotated[
    str | None,
    typer.Option(help="Address to listen on. Default: HOST, else 127.0.0.1.", show_default=False),
]
Port = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        help="Port; 0 for a free one. Default: PORT, else 8000.",
        show_default=False,
    ),
]
LikeNeon = Annotated[
    bool, typer.Option("--like-neon", help="Let the embedded PostgreSQL behave as Neon does.")
]
SuspendAfter = Annotated[
    float,
    typer.Option(
        min=0, metavar="SECONDS", help="As Neon: idle for so long it falls asleep; 0 for never."
    ),
]
WakeSeconds = Annotated[
    float,
    typer.Option(min=0, metavar="SECONDS", help="As Neon: so long the next connection waits."),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes. Default: WORKERS, else 1.", show_default=False),
]
Message = Annotated[
    str | None,
    typer.Argument(
        metavar="MESSAGE", help="An error message to explain instead.", show_default=False
    ),
]
Text = Annotated[
    str | None,
    typer.Option("-m", "--message", help="What changes, in a few words.", show_default=False),
]
Lint = Annotated[
    bool,
    typer.Option("--lint", help="Judge what the database lacks by what it locks; change nothing."),
]
Rehearse = Annotated[
    bool,
    typer.Option("--rehearse", help="Run it on a copy that is in use, and tell what waited."),
]
On = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="The copy to rehearse on, such as a branch's.", show_default=False
    ),
]
Sql = Annotated[bool, typer.Option("--sql", help="Print the SQL, for a DBA; change nothing.")]
Check = Annotated[
    bool, typer.Option("--check", help="Write nothing; exit code 1 where the models say more.")
]
Merge = Annotated[
    bool, typer.Option("--merge", help="Write a revision that comes after several newest ones.")
]
Empty = Annotated[
    bool, typer.Option("--empty", help="Write a revision for work by hand, such as a backfill.")
]
Renames = Annotated[
    list[str] | None,
    typer.Option(
        "--rename",
        metavar="OLD=NEW",
        help="A table or column that has another name now: note.title=note.heading.",
        show_default=False,
    ),
]
Back = Annotated[
    str,
    typer.Option("--to", metavar="REVISION", help="What is to be the newest: a revision, or base."),
]
To = Annotated[
    str,
    typer.Option("--to", metavar="REVISION", help="The revision, head, or base for none."),
]
AsItIs = Annotated[
    bool, typer.Option("--as-it-is", help="Write the first revision from the database.")
]
CarryOver = Annotated[
    bool, typer.Option("--carry-over", help="Take over what alembic.ini or pyproject.toml names.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        typer.echo(f"neonkit {version('neonkit')}")
        raise typer.Exit


@commands.callback()
def neonkit(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """FastAPI and SQLModel on Neon: run a service, and find out what is wrong with it."""


@commands.command(
    epilog="\b\nExamples:\n  neonkit dev notes:app\n  neonkit dev notes:app --port 8080\n"
    "  neonkit dev notes:app --like-neon --suspend-after 10"
)
def dev(
    app: App = None,
    host: Host = None,
    port: Port = None,
    *,
    like_neon: LikeNeon = False,
    suspend_after: SuspendAfter = 300.0,
    wake_seconds: WakeSeconds = 0.5,
) -> None:
    """Run an app while you write it: reload on change, a database of its own.

    Where no database URL is set, an embedded PostgreSQL is started; it keeps its data in
    .neonkit/postgres. With --like-neon it behaves as Neon: a direct and a pooled URL, TLS, Neon's
    errors and rules at login, and sleep.
    """
    from neonkit.cli._dev import run
    from neonkit.cli._like_neon import Neon

    neon = Neon(suspend_after, wake_seconds) if like_neon else None
    run(app, {"HOST": host, "PORT": port}, neon)


@commands.command(
    epilog="\b\nExamples:\n  neonkit serve notes:app\n"
    "  neonkit serve notes:app --host 0.0.0.0 --workers 4"
)
def serve(app: App = None, host: Host = None, port: Port = None, workers: Workers = None) -> None:
    """Run an app in production.

    SIGTERM drains: readiness says 503 at once, new requests are served for DRAIN_SECONDS more,
    running ones finish.
    """
    from neonkit.cli._imports import imported_for_good

    with imported_for_good():
        from neonkit.cli._serve import run

    sys.exit(run(app, {"HOST": host, "PORT": port, "WORKERS": workers}))


@commands.command(
    epilog="\b\nExamples:\n  neonkit migrate notes:app\n  neonkit migrate notes:app --lint"
)
def migrate(
    app: App = None,
    *,
    lint: Lint = False,
    rehearse: Rehearse = False,
    on: On = None,
    sql: Sql = False,
    json: Json = False,
) -> None:
    """Bring the database to head, over the direct URL.

    Safe from many replicas at once: one migrates under a lock, the others wait. In production,
    what would hurt those who use the tables is refused. Exit code 0, or 1 with what failed.
    """
    from neonkit.cli import _migrations

    if lint + rehearse + sql > 1 or (on and not rehearse):
        raise typer.BadParameter("--lint, --rehearse or --sql, and --on only with --rehearse")
    if sql:
        sys.exit(_migrations.print_sql(app))
    if rehearse:
        sys.exit(_migrations.rehearse_migrations(app, on, is_json=json))
    sys.exit((_migrations.lint_migrations if lint else _migrations.migrate)(app, is_json=json))


@commands.command(
    epilog="\b\nExamples:\n  neonkit makemigrations notes:app -m 'notes have a title'"
)
def makemigrations(  # noqa: PLR0913  # one for each option
    app: App = None,
    message: Text = None,
    *,
    rename: Renames = None,
    check: Check = False,
    merge: Merge = False,
    empty: Empty = False,
    json: Json = False,
) -> None:
    """Write a new revision: what the models say beyond the migrations that are there.

    At a terminal it asks whether a column that goes is one that comes, under another name.
    """
    from neonkit.cli import _makemigrations as run

    if check + merge + empty > 1:
        raise typer.BadParameter("--check, --merge or --empty")
    if check:
        sys.exit(run.check(app, is_json=json))
    if merge:
        sys.exit(run.merge(app, message, is_json=json))
    if empty:
        sys.exit(run.empty(app, message, is_json=json))
    sys.exit(run.makemigrations(app, message, rename or [], is_json=json))


@commands.command(
    epilog="\b\nExamples:\n  neonkit downgrade notes:app\n  neonkit downgrade notes:app --to base"
)
def downgrade(app: App = None, to: Back = "-1", *, json: Json = False) -> None:
    """Take the newest revision back, or all that come after the one that --to names."""
    from neonkit.cli._versions import run_downgrade

    sys.exit(run_downgrade(app, to, is_json=json))


@commands.command(epilog="\b\nExamples:\n  neonkit history notes:app")
def history(app: App = None, *, json: Json = False) -> None:
    """List the revisions, newest first, and where the database is."""
    from neonkit.cli._versions import run_history

    sys.exit(run_history(app, is_json=json, only_current=False))


@commands.command(epilog="\b\nExamples:\n  neonkit current notes:app")
def current(app: App = None, *, json: Json = False) -> None:
    """Say at which revision the database is."""
    from neonkit.cli._versions import run_history

    sys.exit(run_history(app, is_json=json, only_current=True))


@commands.command(epilog="\b\nExamples:\n  neonkit stamp notes:app --to head")
def stamp(app: App = None, to: To = "head", *, json: Json = False) -> None:
    """Have the database count as being at a revision, without running anything."""
    from neonkit.cli._versions import run_stamp

    sys.exit(run_stamp(app, to, is_json=json))


@commands.command(
    epilog="\b\nExamples:\n  neonkit adopt notes:app\n  neonkit adopt notes:app --as-it-is"
)
def adopt(
    app: App = None,
    *,
    as_it_is: AsItIs = False,
    carry_over: CarryOver = False,
    json: Json = False,
) -> None:
    """Give a database that has tables a history.

    The first revision is written from the models. Where the database is what it makes, it counts
    as being there; where not, the difference is shown in words and SQL, and nothing is changed.
    """
    from neonkit.cli import _versions

    if carry_over:
        sys.exit(_versions.run_carry_over(app, is_json=json))
    sys.exit(_versions.run_adopt(app, as_it_is=as_it_is, is_json=json))


@commands.command(epilog="\b\nExamples:\n  neonkit url\n  psql $(neonkit url)")
def url() -> None:
    """Print the address of the embedded PostgreSQL that `neonkit dev` runs, password included.

    It is there while `dev`, or an app in development, runs in this folder. Exit code 1 and a line
    that says so where none runs.
    """
    from neonkit.cli._url import run

    sys.exit(run())


@commands.command(
    epilog="\b\nExamples:\n  neonkit doctor\n  neonkit doctor --json\n"
    "  neonkit doctor 'SSL connection has been closed unexpectedly'"
)
def doctor(message: Message = None, *, json: Json = False) -> None:
    """Say what is wrong with this configuration and connection, with the fix for each.

    Exit code 0 if nothing failed, else 1. With MESSAGE, only explain that one; 1 if it is unknown.
    """
    from neonkit.cli._doctor import explain_message, run

    sys.exit(run(is_json=json) if message is None else explain_message(message, is_json=json))
