"""A PostgreSQL of a folder's own tests, where the plugin's is not for them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from secrets import token_hex

import asyncpg
import pytest

from neonkit.dsn import Dsn
from neonkit.local import LocalServer


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that ends with the run."""
    folder = tmp_path_factory.mktemp("postgres")
    server = asyncio.run(LocalServer.start(folder, is_durable=False))
    yield server.url
    asyncio.run(server.stop())


@pytest.fixture
async def dsn(server_url: str) -> AsyncIterator[Dsn]:
    """An empty database of the test's own."""
    name = f"empty_{token_hex(4)}"
    connection = await asyncpg.connect(server_url)
    await connection.execute(f'CREATE DATABASE "{name}"')
    yield Dsn.parse(server_url).replace(database=name)
    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await connection.close()
