"""`neonkit doctor`: each thing that is wrong is named, with its fix, and the rest is left out."""

import asyncio
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from neonkit.dsn import Dsn
from support.poolers import pooler_to

if TYPE_CHECKING:
    from cli.conftest import Done, Run
    from support.outside import OutsidePostgres


def _checks(done: "Done") -> dict[str, dict[str, Any]]:
    document = json.loads(done.output)
    assert document["ok"] is (done.code == 0)
    assert done.error == ""
    return {check["name"]: check for check in document["checks"]}


def _password_of(url: str) -> str:
    return url.split(":")[2].split("@", maxsplit=1)[0]


def test_all_is_well(run_neonkit: "Run", server_url: str) -> None:
    """With a database that answers, every step is ok, what it found is said, and exit is 0."""
    done = run_neonkit("doctor", "--json", env={"NEON_DATABASE_URL": server_url, "WORKERS": "2"})
    checks = _checks(done)
    assert done.code == 0
    assert {name: check["status"] for name, check in checks.items()} == dict.fromkeys(
        (
            "settings",
            "url",
            "host",
            "traffic.dns",
            "traffic.tcp",
            "traffic.tls",
            "traffic.login",
            "version",
            "pool",
            "timeouts",
            "tables",
        ),
        "ok",
    )
    assert "* 2 workers = 32, of 197" in checks["pool"]["what"]
    assert "statement_timeout 5 s" in checks["timeouts"]["what"]
    assert "outside of one 5s and 2s, on the server" in checks["timeouts"]["what"]


def test_the_configuration_is_shown_without_secrets(run_neonkit: "Run", server_url: str) -> None:
    """Every variable is listed with its value and source; passwords and keys are not."""
    env = {"NEON_DATABASE_URL": server_url, "SECRET_KEY": "k" * 3 + "0123456789abcdefghijklmnopqrs"}
    for arguments in (["doctor"], ["doctor", "--json"]):
        done = run_neonkit(*arguments, env=env)
        assert _password_of(server_url) not in done.output
        assert env["SECRET_KEY"] not in done.output
        assert "NEON_DATABASE_URL" in done.output
    rows = {row["name"]: row for row in json.loads(done.output)["settings"]}
    assert rows["NEON_DATABASE_URL"]["source"] == "environment"
    assert "***" in rows["NEON_DATABASE_URL"]["value"]
    assert rows["POOL_SIZE"] == {"name": "POOL_SIZE", "value": "5", "source": "default"}


def test_without_a_url_the_embedded_database_is_explained(run_neonkit: "Run") -> None:
    """No URL is no failure: development has a database, and production's is named."""
    done = run_neonkit("doctor", "--json")
    check = _checks(done)["url"]
    assert (done.code, check["status"]) == (0, "ok")
    assert "embedded" in check["what"]
    assert "NEON_DATABASE_URL" in check["fix"]


@pytest.mark.parametrize(
    ("old", "new", "step", "what"),
    [
        ("postgres:", "postgres:x", "traffic.login", "password"),
        ("/postgres?", "/missing?", "traffic.login", '"missing" does not exist'),
        ("127.0.0.1", "nowhere.invalid", "traffic.dns", "has no address"),
        ("sslmode=disable", "sslmode=require", "traffic.tls", "offers no TLS"),
        ("sslmode=disable", "sslmode=verify-ca&sslrootcert=none", "traffic.tls", "sslrootcert"),
    ],
)
def test_the_step_that_fails_is_named(
    run_neonkit: "Run", server_url: str, old: str, new: str, step: str, what: str
) -> None:
    """The first step that fails is the last, says what happened, and how to mend it; exit 1."""
    url = server_url.replace(old, new, 1)
    env = {"NEON_DATABASE_URL": url, "ENVIRONMENT": "development"}
    done = run_neonkit("doctor", "--json", env=env)
    checks = _checks(done)
    assert done.code == 1
    assert list(checks)[-1] == step
    assert checks[step]["status"] == "fail"
    assert what in checks[step]["what"]
    assert checks[step]["fix"]
    assert _password_of(url) not in done.output


@pytest.mark.parametrize(
    ("mode", "status", "what"),
    [
        ("require", "ok", "does not verify whose certificate it is"),
        ("verify-ca&sslrootcert={root}", "ok", "the certificate holds"),
        ("verify-full&sslrootcert={root}", "fail", "the certificate does not hold"),
    ],
)
def test_tls_is_tried(
    run_neonkit: "Run", outside: "OutsidePostgres", mode: str, status: str, what: str
) -> None:
    """It shakes hands as the URL says, and tells encryption from knowing who is there."""
    root = outside.folder / "data" / "server.crt"
    env = {"NEON_DATABASE_URL": f"{outside.url}?sslmode={mode.format(root=root)}"}
    checks = _checks(run_neonkit("doctor", "--json", env=env))
    assert (checks["traffic.tls"]["status"], "traffic.login" in checks) == (status, status == "ok")
    assert what in checks["traffic.tls"]["what"]


def test_a_closed_port(run_neonkit: "Run") -> None:
    """A server that does not run is told apart from a wrong password."""
    env = {"NEON_DATABASE_URL": "postgresql://ann:hidden-word@127.0.0.1:1/app"}
    done = run_neonkit("doctor", env=env)
    assert done.code == 1
    assert "refuses connections" in done.output
    assert "hidden-word" not in done.output + done.error


@pytest.mark.parametrize("mode", ["disable", "require"])
def test_a_silent_host_is_given_up_on(run_neonkit: "Run", mode: str) -> None:
    """A host that takes connections and says nothing costs under 20 s."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        port = silent.getsockname()[1]
        url = f"postgresql://ann:x@127.0.0.1:{port}/app?sslmode={mode}"
        started = time.monotonic()
        done = run_neonkit("doctor", "--json", env={"NEON_DATABASE_URL": url})
    assert time.monotonic() - started < 20
    assert done.code == 1
    assert list(_checks(done).values())[-1]["status"] == "fail"


def test_too_many_connections_for_the_server(run_neonkit: "Run", server_url: str) -> None:
    """A pool that the server cannot hold fails with a size that fits, before traffic finds out."""
    env = {"NEON_DATABASE_URL": server_url, "POOL_SIZE": "50", "WORKERS": "4"}
    check = _checks(run_neonkit("doctor", "--json", env=env))["pool"]
    assert check["status"] == "fail"
    assert "POOL_SIZE (to 38)" in check["fix"]


def test_refused_settings_are_checks_too(run_neonkit: "Run") -> None:
    """Every wrong variable is one failed check, so that they can be mended at once."""
    env = {"NEON_DATABASE_URL": "postgresql://ann:hidden-word@db:99999/app", "POOL_SIZE": "0"}
    done = run_neonkit("doctor", "--json", env=env)
    assert done.code == 1
    found = [check["what"] for check in json.loads(done.output)["checks"]]
    assert [what.partition(":")[0] for what in found] == ["NEON_DATABASE_URL", "POOL_SIZE"]
    assert "hidden-word" not in done.output


def test_a_mistyped_name_is_a_warning(run_neonkit: "Run", server_url: str) -> None:
    """What is unwise or misspelt is a warning, and the exit code is 0 still."""
    env = {"NEON_DATABASE_URL": server_url, "STATEMENT_TIMOUT": "3"}
    done = run_neonkit("doctor", "--json", env=env)
    warnings = [c for c in json.loads(done.output)["checks"] if c["status"] == "warn"]
    assert done.code == 0
    assert [warning["fix"] for warning in warnings] == ["did you mean STATEMENT_TIMEOUT?"]


@pytest.mark.parametrize(
    ("said", "status"), [("auto", "warn"), ("false", "warn"), ("true", "ok"), (None, None)]
)
async def test_what_a_pooler_costs(
    run_neonkit: "Run", server_url: str, said: str | None, status: str | None
) -> None:
    """Behind a pooler it says that asyncpg pays a trip more for each statement, and what helps."""
    async with pooler_to(Dsn.parse(server_url)) as pooled:
        url = pooled.for_libpq() if said else server_url
        env = {"NEON_DATABASE_URL": url, "POOLER_TRACKS_STATEMENTS": said or "auto"}
        done = await asyncio.to_thread(run_neonkit, "doctor", "--json", env=env)
    check = _checks(done).get("statements")
    assert done.code == 0
    assert (check and check["status"]) == status
    if check and status == "warn":
        assert "one round trip more" in check["what"]
        assert "POOLER_TRACKS_STATEMENTS=true" in check["fix"]
