"""The command line: what to make, where to, and what it says."""

import asyncio
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from neonkit.dsn import Dsn
from neonkit.errors import ConfigurationError, NeonkitError
from neonkit.history import find_history
from neonkit.migrations import upgrade, upgrade_schema
from neonkit.settings import database_at, describe_database
from neonkit_starter.demo_data.filling import fill
from neonkit_starter.demo_data.rows import DOMAIN, PASSWORD, Plan
from neonkit_starter.settings import StarterSettings

_NAME = "neonkit_starter.demo_data"
_MIGRATIONS = Path(__file__).parents[1] / "migrations"
_MOST = 10_000_000
_FIRST_YEAR = 1972  # two before it are those of the epoch
_IN_PRODUCTION = (
    "ENVIRONMENT says that this is production, and everybody knows the demo users' password: "
    "set ENVIRONMENT=development if this database is there to be tried out"
)
_ELSEWHERE = (
    "the database is on another machine, and everybody knows the demo users' password: give "
    "--remote if it is there to be tried out"
)

commands = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


class _Settings(StarterSettings):
    """The starter's, in development unless it is said otherwise, as `neonkit dev` has it."""

    environment: str | None = "development"


@commands.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"\b\nExample:\n  python -m {_NAME} --users 10000 --posts 100000\n\n"
    f"All users have an address at {DOMAIN}, and the password: {PASSWORD}",
)
def demo_data(
    users: Annotated[int, typer.Option(min=1, max=_MOST, help="How many users.")] = 10_000,
    posts: Annotated[int, typer.Option(min=1, max=_MOST, help="How many posts.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Another one makes other rows.")] = 1,
    until: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="The day at whose beginning (UTC) the two years of data end. Default: today.",
            show_default=False,
        ),
    ] = None,
    *,
    remote: Annotated[
        bool, typer.Option("--remote", help="Also where the database is on another machine.")
    ] = False,
) -> None:
    """Fill the starter's database with plausible users and posts, all of them or none.

    The same seed and day make the same rows. The database is the one that the environment names,
    else the embedded one in .neonkit/postgres, and may be in use; its tables are made first.
    """
    day = (until or datetime.now(UTC)).date()
    if day.year < _FIRST_YEAR:
        raise typer.BadParameter(f"{day} is before {_FIRST_YEAR}", param_hint="'--until'")
    plan = Plan(users, posts, seed, day)
    try:
        where = asyncio.run(_run(plan, may_be_remote=remote))
    except NeonkitError as error:
        typer.echo(f"{_NAME}: {error}", err=True)
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)
    typer.echo(f"{users:,} users and {posts:,} posts are in {where}")
    typer.echo(f"Sign in as {plan.example}, password: {PASSWORD}")


def main() -> None:
    """Run the command line.

    Exit codes: 0 the data is there; 1 nothing was changed, and one line on standard error says
    why; 2 the command line or the configuration is wrong.
    """
    logging.getLogger("neonkit").addHandler(logging.NullHandler())  # the command tells it
    commands(prog_name=f"python -m {_NAME}")


async def _run(plan: Plan, *, may_be_remote: bool) -> str:
    """Fill the database, and say for people where it is."""
    settings = _Settings()
    if settings.is_production:
        raise ConfigurationError(_IN_PRODUCTION)
    given = settings.direct_dsn or settings.traffic_dsn
    if given is not None and not given.is_local and not may_be_remote:
        raise ConfigurationError(_ELSEWHERE)
    async with database_at(given) as dsn:
        await _migrate(dsn)
        await fill(dsn, plan, Progress(console=Console(stderr=True)))
    return describe_database(given)


async def _migrate(dsn: Dsn) -> None:
    """Bring the tables to head, as the app does when it starts in development."""
    history = find_history(_MIGRATIONS, Path.cwd())
    await upgrade_schema(dsn)
    if history.is_ours:
        await upgrade(dsn, history.folder)
