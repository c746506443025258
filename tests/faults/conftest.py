"""The bank of the starter, over TCP and a wire."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from neonkit import Database, create_engine
from neonkit.local import WireProxy
from neonkit.testing import LiveServer
from neonkit_starter.users.models import Role
from support.bank import Bank
from support.people import register, register_as


@pytest.fixture
async def bank(
    live_server: LiveServer,  # noqa: ARG001  # asking for it serves over TCP
    neon: WireProxy,  # noqa: ARG001  # and this puts a wire in between
    client: httpx2.AsyncClient,
    db: Database,
) -> Bank:
    """The running service with two accounts of 100.00."""
    client.timeout = httpx2.Timeout(30)
    bank = Bank(client, await register_as(client, db, Role.ADMIN), await register(client))
    await bank.open_for_business(2)
    return bank


@pytest.fixture
async def past_it(neon: WireProxy) -> AsyncIterator[Database]:
    """The same database, past the wire: for whoever makes its faults, and looks at what is left."""
    async with Database(create_engine(neon.target)) as database:
        yield database
