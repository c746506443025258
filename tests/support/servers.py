"""A PostgreSQL of a folder's own tests, where the plugin's is not for them."""

import asyncio
from collections.abc import Iterator

import pytest

from neonkit.local import LocalServer


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that ends with the run."""
    folder = tmp_path_factory.mktemp("postgres")
    server = asyncio.run(LocalServer.start(folder, is_durable=False))
    yield server.url
    asyncio.run(server.stop())
