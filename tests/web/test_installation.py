"""Installation: each piece can be left out, and what shadows what is named at start."""

from typing import Any, get_args

import pytest
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from httpx2 import ASGITransport, AsyncClient

import neonkit
from neonkit import Database, Settings
from neonkit.errors import ConfigurationError
from neonkit.testing._app_lifespan import running
from neonkit.web._install import Piece


async def _told_by(without: set[Any], db: Database) -> dict[str, object]:
    app = FastAPI()
    neonkit.install(app, Settings(environment="test"), without=without)

    @app.post("/number/{n}")
    async def number(n: int, text: str = "") -> str:
        return text * n

    async with running(app, db) as asgi:
        transport = ASGITransport(asgi, client=("127.0.0.1", 1))
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.post("/number/2?text=a")
            encoded = {"Content-Encoding": "gzip"}
            return {
                "docs": "cdn.jsdelivr.net" not in (await client.get("/docs")).text,
                "health": (await client.get("/health/live")).status_code == 200,
                "metrics": (await client.get("/metrics")).status_code == 200,
                "operation-ids": app.openapi()["paths"]["/number/{n}"]["post"]["operationId"]
                == "number",
                "problems": "type" in (await client.post("/number/x")).json(),
                "security-headers": "x-frame-options" in answer.headers,
                "strict-bodies": (
                    await client.post("/number/2", content=b"x", headers=encoded)
                ).status_code
                == 415,
                "timing-headers": "server-timing" in answer.headers,
            }


@pytest.mark.parametrize("without", [set(), *({piece} for piece in get_args(Piece))])
async def test_each_piece_can_be_left_out(db: Database, without: set[str]) -> None:
    """The piece that `without` names is gone, and no other one."""
    told = await _told_by(without, db)

    assert {piece for piece, is_there in told.items() if not is_there} == without
    assert set(told) == set(get_args(Piece))


@pytest.mark.parametrize("without", ["docs", {"doc"}, ["health", "cors"]])
def test_what_cannot_be_left_out_is_refused(without: set[Any]) -> None:
    """A piece that there is not, or a bare string, is refused with the pieces that there are."""
    with pytest.raises(ConfigurationError, match="docs, health, metrics"):
        neonkit.install(FastAPI(), Settings(environment="test"), without=without)


async def _warnings(app: FastAPI, db: Database, caplog: pytest.LogCaptureFixture) -> list[str]:
    async with running(app, db):
        return [
            each.getMessage() for each in caplog.records if "never reached" in each.getMessage()
        ]


async def test_a_shadowed_route_is_named_at_start(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """A route or an app behind one of ours says so, with the switch; the others say nothing."""
    app = FastAPI()
    neonkit.install(app, Settings(environment="test"))

    @app.get("/health/ready")
    async def my_readiness() -> None: ...

    @app.post("/health/ready")
    async def another_method() -> None: ...

    @app.get("/health/deep")
    async def another_path() -> None: ...

    app.mount("/metrics", FastAPI())
    app.mount("/static", StaticFiles(directory="."))
    first, second = await _warnings(app, db, caplog)

    assert first.startswith(f"`my_readiness` of {__name__} at GET /health/ready is never reached")
    assert "without={'health'}" in first
    assert second.startswith("the app mounted as /metrics at /metrics is never reached")


async def test_our_own_shadowed_route_is_named_too(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the app's route comes first, it is neonkit's that is dead."""
    app = FastAPI()

    @app.get("/health/{name}")
    async def my_health(name: str) -> str:
        return name

    neonkit.install(app, Settings(environment="test"))
    told = await _warnings(app, db, caplog)

    assert len(told) == 3
    assert all(each.startswith("neonkit's GET /health/") and "my_health" in each for each in told)


async def test_an_app_without_rivals_says_nothing(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """No warning where nothing is shadowed."""
    app = FastAPI()
    neonkit.install(app, Settings(environment="test"))
    app.mount("/", StaticFiles(directory="."))

    assert await _warnings(app, db, caplog) == []
