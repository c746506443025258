"""ENVIRONMENT unset, under another server: development is a guess, for this machine alone."""

import logging
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

import neonkit
from neonkit import Database, Settings
from neonkit.testing._app_lifespan import running

REMOTE = "postgresql://ada:lovelace@db.example.com/app?sslmode=verify-full"
HERE = "postgresql://ada:lovelace@127.0.0.1/app"
KEY = "an0ther-l0ng-and-quite-r4ndom-signing-key"
SHOWN = ("/docs", "/docs/swagger-ui.css", "/redoc", "/openapi.json", "/metrics")


def _app(**values: Any) -> FastAPI:
    app = FastAPI()
    settings = Settings.model_validate({"_env_file": None, "secret_key": KEY, **values})
    neonkit.install(app, settings)
    return app


async def _statuses(
    app: FastAPI, database: Database, peer: str, headers: dict[str, str] | None = None
) -> set[int]:
    async with running(app, database) as asgi:
        transport = ASGITransport(asgi, client=(peer, 1))
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            return {(await client.get(path, headers=headers)).status_code for path in SHOWN}


@pytest.mark.parametrize(
    ("environment", "url", "is_production", "is_guessed"),
    [
        (None, None, False, True),
        (None, HERE, False, True),
        (None, "postgresql://ada@localhost/app", False, True),
        (None, REMOTE, True, False),
        ("development", REMOTE, False, False),
        ("test", HERE, False, False),
        ("production", HERE, True, False),
        ("staging", HERE, True, False),
    ],
)
def test_what_counts_as_a_guess(
    environment: str | None, url: str | None, is_production: bool, is_guessed: bool
) -> None:
    """Only development that nobody named; a database elsewhere is production's."""
    values = {"environment": environment, "neon_database_url": url, "secret_key": KEY}
    settings = Settings.model_validate({"_env_file": None, **values})

    assert settings.is_production is is_production
    assert settings.is_development_guessed is is_guessed


@pytest.mark.parametrize(
    ("peer", "headers", "statuses"),
    [
        ("127.0.0.1", {}, {200}),
        ("::1", {}, {200}),
        ("192.0.2.1", {}, {404}),
        ("testclient", {}, {404}),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, {404}),
        ("127.0.0.1", {"Forwarded": "for=192.0.2.1"}, {404}),
    ],
)
async def test_docs_schema_and_metrics_are_for_this_machine(
    db: Database, peer: str, headers: dict[str, str], statuses: set[int]
) -> None:
    """Whoever asks from elsewhere finds none of them, and neither does a proxy that is here."""
    assert await _statuses(_app(environment=None), db, peer, headers) == statuses


async def test_whoever_names_development_shows_its_docs(db: Database) -> None:
    """To all; metrics stay with this machine."""
    assert await _statuses(_app(environment="development"), db, "192.0.2.1") == {200, 404}


@pytest.mark.parametrize(("environment", "times"), [(None, 1), ("development", 0), ("test", 0)])
async def test_the_guess_is_said_once(
    db: Database, caplog: pytest.LogCaptureFixture, environment: str | None, times: int
) -> None:
    """One line at start, with what to set; none where somebody has set it."""
    with caplog.at_level(logging.WARNING, "neonkit"):
        await _statuses(_app(environment=environment), db, "127.0.0.1")

    said = [record for record in caplog.records if "ENVIRONMENT" in record.getMessage()]
    assert len(said) == times
