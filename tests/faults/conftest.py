"""The bank of the starter, over TCP and a wire."""

import os

import httpx2
import pytest

from neonkit import Database
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
    """The running service with eight accounts of 100.00."""
    client.timeout = httpx2.Timeout(30)
    bank = Bank(client, await register_as(client, db, Role.ADMIN), await register(client))
    await bank.open_for_business(8)
    return bank


# The bank draws its faults by the clock: a machine with other work has runs in which too little
# befalls it, or too much. It has a command: `TRANSFERS=150 pytest tests/faults/test_bank.py`.
collect_ignore = [] if "TRANSFERS" in os.environ else ["test_bank.py"]
