"""What is different in production."""

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

import neonkit
from neonkit import Settings


@pytest.fixture
def app() -> FastAPI:
    """An app with production's settings; its database is the test's."""
    app = FastAPI()
    settings = Settings(
        environment="production",
        neon_database_url="postgresql://ada@127.0.0.1/none?sslmode=disable",
        secret_key="an0ther-l0ng-and-quite-r4ndom-signing-key",
    )
    neonkit.install(app, settings)

    @app.get("/things")
    async def things() -> str:
        return "here"

    return app


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"])
async def test_there_is_neither_page_nor_schema(client: AsyncClient, path: str) -> None:
    """The API page, its files and the schema are not there."""
    response = await client.get(path)

    assert response.status_code == 404
    assert response.json()["type"] == "/problems/not-found"


async def test_browsers_are_told_to_use_tls(client: AsyncClient) -> None:
    """HSTS is sent, for a year."""
    response = await client.get("/things")

    assert response.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"


def test_installing_twice_is_refused(app: FastAPI) -> None:
    """A second call says so, instead of doing everything twice."""
    with pytest.raises(neonkit.errors.ConfigurationError, match="install once"):
        neonkit.install(app)
