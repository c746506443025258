"""An app with a settings class of its own, under the commands."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

if TYPE_CHECKING:
    from cli.conftest import Launch, Run

SHOP = """
from fastapi import FastAPI
from pydantic_settings import SettingsConfigDict
from sqlmodel import Field
import neonkit

class ShopSettings(neonkit.Settings):
    model_config = SettingsConfigDict(env_prefix="SHOP_")
    workerss: int = 0
    request_timeout: float = 90
    statement_timeout: float = 60

settings = ShopSettings()
app = FastAPI()
neonkit.install(app, settings)

class Ware(neonkit.TableModel, table=True):
    id: int | None = Field(default=None, primary_key=True)

@app.get("/own")
async def own() -> list[float]:
    return [settings.workerss, settings.request_timeout]
"""
LISTENER = """
from sqlalchemy import Engine, event

@event.listens_for(Engine, "before_execute")
def note(*_):
    pass
"""
NOWHERE = "postgresql://ann:x@127.0.0.1:1/wrong"


@pytest.fixture
def shop(tmp_path: Path, production: dict[str, str]) -> dict[str, str]:
    """A project whose settings stand under a prefix, and its environment."""
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "pyproject.toml").write_text('[tool.fastapi]\nentrypoint = "shop:app"\n')
    own = {f"SHOP_{name}": value for name, value in production.items()}
    return {**own, "SHOP_ENVIRONMENT": "production", "SHOP_WORKERSS": "3"}


@pytest.mark.parametrize("workers", [1, 2])
def test_it_is_served_by_its_own_rules(
    launch: "Launch", shop: dict[str, str], workers: int
) -> None:
    """Its names and defaults hold; what it finds unwise is logged once, its own name is not."""
    env = {**shop, "SHOP_POOL_SZIE": "3", "DRAIN_SECONDS": "0", "SHOP_SHUTDOWN_TIMEOUT": "99"}
    service = launch("serve", "--workers", str(workers), env=env)
    assert service.get("/own").json() == [3, 90]
    assert service.text.count("did you mean SHOP_POOL_SIZE?") == 1
    assert service.text.count("did you mean") == 1
    service.terminate()
    assert service.end() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_is_refused_by_its_own_rules(
    run_neonkit: "Run", shop: dict[str, str], workers: str
) -> None:
    """What the class refuses is one line and exit code 2, from one worker or many."""
    env = {**shop, "SHOP_POOL_SIZE": "many", "PORT": "0"}
    done = run_neonkit("serve", "--workers", workers, env=env)
    assert (done.code, done.output) == (2, "")
    assert "SHOP_POOL_SIZE: Input should be a valid integer" in done.error
    assert len(done.error.splitlines()) == 1


def test_doctor_names_who_listens(run_neonkit: "Run", shop: dict[str, str], tmp_path: Path) -> None:
    """A listener of every engine that nobody knows is named, with what it costs."""
    with (tmp_path / "shop.py").open("a") as file:
        file.write(LISTENER)
    done = run_neonkit("doctor", "--json", env={**shop, "NEON_DATABASE_URL": NOWHERE})
    named = [each for each in json.loads(done.output)["checks"] if each["name"] == "listeners"]
    assert [each["status"] for each in named] == ["warn"]
    assert "before_execute: shop.note" in named[0]["what"]


def test_doctor_reads_them(run_neonkit: "Run", shop: dict[str, str]) -> None:
    """It lists the app's variables, and goes to the database that they name."""
    done = run_neonkit("doctor", "--json", env={**shop, "NEON_DATABASE_URL": NOWHERE})
    document = json.loads(done.output)
    rows = {row["name"]: row for row in document["settings"]}
    failed = [each["name"] for each in document["checks"] if each["status"] == "fail"]
    assert (done.code, failed) == (1, ["tables.models"])  # of an app that was never migrated
    assert rows["SHOP_WORKERSS"] == {
        "name": "SHOP_WORKERSS",
        "value": "3",
        "source": "environment",
    }
    assert "NEON_DATABASE_URL" not in rows
    assert [check for check in document["checks"] if "did you mean" in (check["fix"] or "")] == []


async def test_migrations_go_where_they_say(run_neonkit: "Run", shop: dict[str, str]) -> None:
    """The database is the app's, whatever the same variable says without its prefix."""
    url = shop["SHOP_NEON_DATABASE_URL"]
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE DATABASE shop_of_its_own")
        own = url.replace("/postgres?", "/shop_of_its_own?")
        env = {**shop, "SHOP_NEON_DATABASE_URL": own, "NEON_DATABASE_URL": NOWHERE}
        made = await asyncio.to_thread(run_neonkit, "makemigrations", env=env)
        assert made.code == 0, made.error
        done = await asyncio.to_thread(run_neonkit, "migrate", env=env)
        assert (done.code, done.error) == (0, "")
        assert "applied" in done.output
    finally:
        await connection.execute("DROP DATABASE IF EXISTS shop_of_its_own WITH (FORCE)")
        await connection.close()


@pytest.mark.parametrize("command", ["migrate", "makemigrations"])
def test_a_test_run_migrates_nobody_elses_database(
    run_neonkit: "Run", tmp_path: Path, command: str
) -> None:
    """With ENVIRONMENT=test another machine's database is refused, before anything connects."""
    env = {"ENVIRONMENT": "test", "NEON_DATABASE_URL": "postgresql://ann:x@db.example.com/shop"}
    done = run_neonkit(command, "notes:app", env=env)
    assert done.code == 2
    assert "on another machine (db.example.com)" in done.error
    assert len(done.error.splitlines()) == 1
    assert not (tmp_path / "migrations").exists()
