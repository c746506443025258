"""Secrets stay where they are: each is searched in all that a service says, whatever befalls it."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest

from cli.conftest import Launch, Run, Service
from neonkit.dsn import Dsn
from neonkit.local import WireProxy

APP = """
from sqlalchemy import text
from neonkit import SessionDep
from neonkit_starter.app import create_app

app = create_app()
STATEMENTS = {
    "value": "SELECT CAST(:secret AS integer)",
    "row": "INSERT INTO posts (author_id, title, content) VALUES (NULL, 'a title', :secret)",
    "time": "SELECT pg_sleep(3), CAST(:secret AS text)",
    "syntax": "SELECT :secret FRO nowhere",
}

@app.post("/planted/{how}")
async def planted(how: str, secret: dict[str, str], session: SessionDep) -> None:
    password = secret["password"]
    if how == "handler":
        raise RuntimeError("planted")
    await session.execute(text(STATEMENTS[how]), {"secret": password})
    await session.commit()
"""
SIGNING, PREVIOUS = "canary-signing-0aZ1bY2cX3dW4eV5fU6gT7", "canary-previous-9pQ8oR7nS6mT5lU4kV3jW"
SCRAPER = "canary-scraper-5hG4jF3kD2lS1aP0oI9uY"
PASSWORD, OTHER = "canary password kept by nobody", "canary password that is another"
ADDRESS, CONTENT, KEY = "canary-address@example.com", "canary content", "canary-idempotency-key"
FORGED = "canary.eyJzdWIiOiIxIn0.c2lnbmVkIGJ5IG5vYm9keQ"
SECRETS = (SIGNING, PREVIOUS, SCRAPER, PASSWORD, OTHER, FORGED)
SETTINGS = {
    "ENVIRONMENT": "development",
    "SECRET_KEY": SIGNING,
    "PREVIOUS_SECRET_KEYS": PREVIOUS,
    "METRICS_TOKEN": SCRAPER,
    "DEBUG": "true",
    "STATEMENT_TIMEOUT": "1",
    "LOCK_TIMEOUT": "0.5",
    "REQUEST_TIMEOUT": "3",
    "CONNECT_TIMEOUT": "1",
    "POOL_TIMEOUT": "1",
}
API = "/api/v1"


@pytest.fixture
def wire(server_url: str) -> Iterator[WireProxy]:
    """A wire to the database, which can be cut."""
    opened = WireProxy.start(Dsn.parse(server_url))
    with asyncio.Runner() as runner:
        yield runner.run(opened.__aenter__())
        runner.run(opened.__aexit__(None, None, None))


class Heard:
    """A client that keeps what it was told.

    Args:
        service: what it asks.
    """

    def __init__(self, service: Service) -> None:
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=30)
        self.answers: list[str] = []
        self.given: list[str] = []  # the tokens, which are for it alone

    def ask(self, method: str, path: str, **options: object) -> httpx2.Response:
        """Send a request."""
        answer = self.client.request(method, path, **options)  # type: ignore[arg-type]  # passed on
        self.answers.append(f"{answer.status_code} {answer.headers!r} {answer.text}")
        return answer

    def sign_in(self, password: str) -> dict[str, str]:
        """Get tokens, which are then secrets as well."""
        form = {"username": "canary", "password": password}
        answer = self.ask("POST", f"{API}/auth/token", data=form)
        if answer.status_code == 200:
            self.answers.pop()
            self.given += [answer.json()["access_token"], answer.json()["refresh_token"]]
            return {"Authorization": f"Bearer {self.given[-2]}"}
        return {}


def _live(heard: Heard) -> None:
    """Do what people do, rightly and wrongly."""
    body = {"username": "canary", "email": ADDRESS, "password": PASSWORD}
    for each in (body, body, {**body, "password": "canary"}, {**body, "email": f"{ADDRESS}\n"}):
        heard.ask("POST", f"{API}/users", json=each)
    heard.sign_in(OTHER)
    signed = heard.sign_in(PASSWORD)
    keyed = {**signed, "Idempotency-Key": KEY}
    for post in ({"title": "A title", "content": CONTENT}, {"title": CONTENT}, {"content": 7}):
        heard.ask("POST", f"{API}/posts", json=post, headers=keyed)
    heard.ask("POST", f"{API}/posts", content=f'{{"{PASSWORD}": '.encode(), headers=keyed)
    heard.ask("GET", f"{API}/posts?cursor={quote(CONTENT)}&limit={quote(PASSWORD)}")
    heard.ask("GET", f"{API}/users/me", headers={"Authorization": f"Bearer {FORGED}"})
    heard.ask("GET", f"{API}/users/me?access_token={FORGED}")
    heard.ask("GET", f"{API}/transfers/by-key/{KEY}", headers=signed)
    heard.ask("POST", f"{API}/auth/refresh", json={"refresh_token": FORGED})
    renewed = heard.client.post(f"{API}/auth/refresh", json={"refresh_token": heard.given[-1]})
    heard.given += [renewed.json()["access_token"], renewed.json()["refresh_token"]]
    change = {"current_password": OTHER, "new_password": PASSWORD + "!"}
    heard.ask("POST", f"{API}/auth/password", json=change, headers=signed)
    for how in ("handler", "value", "row", "syntax", "time"):
        heard.ask("POST", f"/planted/{how}", json={"password": PASSWORD}, headers=signed)
    for path in ("/openapi.json", "/docs", "/docs/start.js", "/health/ready"):
        heard.ask("GET", path)
    heard.ask("GET", "/metrics", headers={"Authorization": f"Bearer {SCRAPER}"})


def _outlive(heard: Heard, wire: WireProxy) -> None:
    """Go on while the database is away."""
    wire.refuse()
    wire.cut()
    heard.sign_in(PASSWORD)
    heard.ask("GET", "/health/ready")
    heard.ask("POST", "/planted/value", json={"password": PASSWORD})
    wire.admit()
    deadline = time.monotonic() + 20
    while heard.ask("GET", "/health/ready").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    heard.ask("GET", "/metrics", headers={"Authorization": f"Bearer {SCRAPER}"})


@pytest.mark.parametrize(
    "chosen",
    [
        {"DATABASE_DRIVER": "asyncpg", "LOG_LEVEL": "debug", "LOG_FORMAT": "json"},
        {"DATABASE_DRIVER": "psycopg", "LOG_LEVEL": "debug", "LOG_FORMAT": "console"},
        {"DATABASE_DRIVER": "asyncpg", "LOG_LEVEL": "info", "LOG_FORMAT": "console"},
    ],
    ids=lambda chosen: "-".join(chosen.values()),
)
def test_no_secret_is_told(
    launch: Launch, run_neonkit: Run, wire: WireProxy, tmp_path: Path, chosen: dict[str, str]
) -> None:
    """Neither logs, tracebacks, answers, schema nor metrics hold one, nor do logs hold rows."""
    (tmp_path / "canaries.py").write_text(APP)
    settings = {**SETTINGS, **chosen, "NEON_DATABASE_URL": wire.url}
    wrong = {**settings, "NEON_DATABASE_URL": wire.url.replace("@", "x@", 1)}
    migrated = run_neonkit("migrate", "canaries:app", env=settings)
    service = launch("serve", "canaries:app", env=settings)
    heard = Heard(service)
    with heard.client:
        _live(heard)
        _outlive(heard, wire)
    refused = [run_neonkit(each, "canaries:app", env=wrong) for each in ("doctor", "migrate")]
    service.terminate()
    service.end()
    printed = [each.output + each.error for each in (migrated, *refused)]
    logged, told = "\n".join([service.text, *printed]), "\n".join(heard.answers)
    secrets = [Dsn.parse(wire.url).password, *SECRETS, *heard.given]

    assert "Traceback" in logged
    assert [done.code for done in refused] == [1, 1]
    assert len(heard.given) == 4
    assert [each for each in secrets if each and each in told + logged] == []
    assert [each for each in (ADDRESS, CONTENT, KEY, "canary") if each in logged] == []
