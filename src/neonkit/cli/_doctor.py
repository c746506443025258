"""`neonkit doctor`: what is wrong with this configuration and connection, and the fix for each."""

import asyncio
import dataclasses
import json
from pathlib import Path

import typer

from neonkit.cli._doctor_checks import Check, check_server, check_settings
from neonkit.cli._doctor_connection import Connection
from neonkit.cli._doctor_messages import explain
from neonkit.cli._doctor_tables import check_tables
from neonkit.cli._target import runtime_of
from neonkit.dsn import Dsn
from neonkit.errors import ConfigurationError
from neonkit.settings import AppTarget, Settings, embedded_url
from neonkit.web import Runtime


def run(*, is_json: bool) -> int:
    """Check, and print what was found.

    Returns:
        The exit code: 1 where a check failed.
    """
    try:
        runtime = _runtime()
        settings = runtime.settings if runtime else Settings()
    except ConfigurationError as error:
        values, checks = [], _refused(error)
    else:
        values, checks = settings.effective(), asyncio.run(_examine(settings, runtime))
    has_failed = any(check.status == "fail" for check in checks)
    if is_json:
        typer.echo(_as_json(values, checks, has_failed=has_failed))
    else:
        typer.echo(_as_text(values, checks))
    return 1 if has_failed else 0


def explain_message(message: str, *, is_json: bool) -> int:
    """Say what causes an error message, and what to do about it.

    Returns:
        The exit code: 1 where the message is not known.
    """
    found = explain(message)
    if is_json:
        typer.echo(json.dumps(found and {"cause": found.cause, "fix": found.fix}, indent=2))
    elif found is None:
        typer.echo("This message is not known here. `neonkit doctor` checks the connection itself.")
    else:
        typer.echo(f"Cause: {found.cause}\nFix:   {found.fix}")
    return 1 if found is None else 0


def _runtime() -> Runtime | None:
    """Import the app of `./pyproject.toml`, if one is named; its settings count, and its tables.

    An app's own class of settings knows more names, and may have other defaults and rules.
    """
    target = AppTarget.declared_in(Path.cwd())
    return runtime_of(target) if target else None


async def _examine(settings: Settings, runtime: Runtime | None) -> list[Check]:
    checks = list(check_settings(settings))
    connections = [
        Connection(role, dsn, settings.timeout_policy(), settings.database_driver)
        for role, dsn in (("traffic", settings.traffic_dsn), ("migrations", settings.direct_dsn))
        if dsn is not None and (role == "traffic" or dsn != settings.traffic_dsn)
    ]
    for found in await asyncio.gather(*map(_all_of, connections)):
        checks += found
    for connection in connections[:1]:
        if connection.report is not None:
            checks += check_server(settings, connection.report)
    dsn = _migrated(settings)
    if dsn is not None and all(each.report is not None for each in connections):
        checks += await check_tables(runtime, dsn)
    return checks


def _migrated(settings: Settings) -> Dsn | None:
    """The database whose tables the app uses; without a URL the embedded one, where it runs."""
    url = embedded_url() if settings.traffic_dsn is None else None
    return Dsn.parse(url) if url else settings.direct_dsn or settings.traffic_dsn


async def _all_of(connection: Connection) -> list[Check]:
    return [check async for check in connection.checks()]


def _refused(error: ConfigurationError) -> list[Check]:
    """Split the settings' refusal into its problems, each of which says its fix."""
    first, *problems = str(error).splitlines()
    return [Check("settings", "fail", problem.strip()) for problem in problems or [first]]


def _as_json(values: list[tuple[str, str, str]], checks: list[Check], *, has_failed: bool) -> str:
    document = {
        "ok": not has_failed,
        "settings": [
            {"name": name, "value": value, "source": source} for name, value, source in values
        ],
        "checks": [dataclasses.asdict(check) for check in checks],
    }
    return json.dumps(document, indent=2)


def _as_text(values: list[tuple[str, str, str]], checks: list[Check]) -> str:
    lines = []
    if values:
        width = max(len(name) for name, _, _ in values)
        lines += ["Settings"]
        lines += [
            f"  {name:<{width}}  {value or '-'}  ({source})" for name, value, source in values
        ]
        lines += [""]
    width = max(len(check.name) for check in checks)
    lines += ["Checks"]
    for check in checks:
        lines.append(f"  {check.status:<4}  {check.name:<{width}}  {check.what}")
        if check.fix:
            lines.append(f"        {'':<{width}}  → {check.fix}")
    return "\n".join(lines)
