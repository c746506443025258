"""The first evening's app, served in each way, by processes as a user starts them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from support.outside import OutsidePostgres, Served, serving

APPS = Path(__file__).parent / "apps"
KEY = "an0ther-l0ng-and-quite-r4ndom-signing-key"
NEON = "ep-cool-darkness-123456{pooler}.us-east-2.aws.neon.tech"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with the evening's app, in a path with a space."""
    folder = tmp_path / "my app"
    folder.mkdir()
    for name in ("notes.py", "plain.py", "sitecustomize.py"):
        shutil.copy(APPS / name, folder / name)
    return folder


def _post(served: Served, path: str, body: object) -> tuple[int, str]:
    request = Request(
        served.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urlopen(request, timeout=20) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def _use(served: Served, title: str) -> None:
    served.wait_for("/health/ready", 200, 90)
    status, body = _post(served, "/notes", {"title": title})
    assert status == 201, body
    status, body = _post(served, "/notes", {"title": title})
    assert (status, json.loads(body)["type"]) == (409, "/problems/duplicate")
    assert json.loads(body)["errors"][0]["pointer"] == "/body/title"
    status, body = served.get("/notes")
    assert (status, title in body) == (200, True)


def test_without_a_url_under_dev_and_plain_uvicorn(folder: Path) -> None:
    """`neonkit dev` and `uvicorn` start an embedded database, the same one, and keep its data."""
    with serving(folder, "neonkit", "dev", "notes:app") as served:
        _use(served, "under dev")
        assert served.get("/docs")[0] == 200
    with serving(folder, "uvicorn", "notes:app", "--port", "{port}") as served:
        _use(served, "under uvicorn")
        assert "under dev" in served.get("/notes")[1]
    assert "Traceback" not in served.output.read_text()


def test_with_a_url_under_serve(folder: Path, outside: OutsidePostgres) -> None:
    """`dev` makes the tables of a database that is given; `serve` then runs on it, and drains."""
    variables = {"NEON_DATABASE_URL": outside.url, "SECRET_KEY": KEY}
    with serving(folder, "neonkit", "dev", "notes:app", **variables) as served:
        served.wait_for("/health/startup", 200, 90)
    with serving(
        folder, "neonkit", "serve", "notes:app", DRAIN_SECONDS="0.2", **variables
    ) as served:
        _use(served, "under serve")
        assert served.get("/docs")[0] == 404
        assert served.get("/openapi.json")[0] == 404
    assert served.process.returncode == 0
    assert "Traceback" not in served.output.read_text()
    assert outside.query("SELECT count(*) FROM note") == "1"


def test_serve_makes_no_tables(folder: Path, outside: OutsidePostgres) -> None:
    """In production the schema is somebody else's decision."""
    variables = {"NEON_DATABASE_URL": outside.url, "SECRET_KEY": KEY, "DRAIN_SECONDS": "0"}
    subprocess.run(
        [sys.executable, "-m", "neonkit", "migrate", "notes:app"],
        cwd=folder,
        env={**os.environ, **variables},
        check=True,
    )
    with serving(folder, "neonkit", "serve", "notes:app", **variables) as served:
        served.wait_for("/health/startup", 200, 90)
    assert outside.query("SELECT count(*) FROM pg_tables WHERE tablename = 'note'") == "0"


@pytest.mark.parametrize("pooler", ["", "-pooler"])
def test_one_line_for_the_app_you_have(folder: Path, outside: OutsidePostgres, pooler: str) -> None:
    """A URL as Neon's console prints it works in a hand-wired app, over TLS that is verified."""
    login = outside.url.partition("@")[0]
    url = (
        f"{login}@{NEON.format(pooler=pooler)}:{outside.port}/postgres"
        "?sslmode=require&channel_binding=require"
    )
    with serving(
        folder, "uvicorn", "plain:app", "--port", "{port}", "--loop", "asyncio",
        NEON_DATABASE_URL=url, PYTHONPATH=str(folder), SSL_CERT_FILE=str(outside.certificate),
    ) as served:  # fmt: skip
        assert served.wait_for("/tls", 200, 20).startswith('"TLSv1.')
        assert _post(served, "/readers?username=ada", None)[0] == 200
        assert json.loads(served.get("/readers")[1]) == [{"id": 1, "username": "ada"}]
