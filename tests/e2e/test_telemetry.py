"""Tracers cost no round trip and see every statement: the real packages, as users have them."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from neonkit.db import Driver
from neonkit.local import WireProxy
from support.needed import need

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements" / "telemetry.txt"
TRACED = ROOT / "tests" / "support" / "traced.py"


@pytest.fixture(scope="session")
def python() -> Path:
    """The Python of an environment that has the tracers, and everything that this one has."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    folder = ROOT / ".neonkit" / f"telemetry-{digest}-{sysconfig.get_python_version()}"
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists():
        install = ("-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        done = subprocess.run([python, *install, REQUIREMENTS], check=False, capture_output=True)
        need(
            "the tracers",
            "pytest tests/e2e/test_telemetry.py, where the index is reachable",
            is_there=done.returncode == 0,
        )
        ready.touch()
    return python


TRACERS: list[tuple[Driver, str]] = [
    ("asyncpg", "otel_sqlalchemy"),
    ("asyncpg", "otel_sqlalchemy --late"),
    ("asyncpg", "otel_driver"),
    ("asyncpg", "sentry"),
    ("asyncpg", "datadog"),
    ("psycopg", "otel_driver"),
    ("psycopg", "sentry"),
]


@pytest.mark.parametrize(("driver", "tracer"), TRACERS)
async def test_a_tracer_costs_no_round_trip(
    python: Path, neon: WireProxy, driver: Driver, tracer: str
) -> None:
    """A create and a read are one round trip each and one span each, whoever is imported first."""
    here = os.pathsep.join([str(ROOT / "src"), sysconfig.get_path("purelib")])
    process = await asyncio.create_subprocess_exec(
        *(python, TRACED, driver, neon.url, *tracer.split()),
        env={**os.environ, "PYTHONPATH": here},
        stdout=subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    told = json.loads(printed)

    assert told["create"] == {"trips": 1, "spans": ["INSERT"]}
    assert told["read"] == {"trips": 1, "spans": ["SELECT"]}
