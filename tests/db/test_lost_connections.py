"""What is known after a connection was lost: nothing is done twice, and nobody waits for ever."""

import asyncio
import logging
import os
import socket
import sys
import time
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Field, col, select

from neonkit import Database, TableModel, create_engine
from neonkit.db import (
    Driver,
    Fault,
    FaultKind,
    PoolPolicy,
    TimeoutPolicy,
    fault_of,
    open_scope,
)
from neonkit.errors import OutcomeUnknownError
from neonkit.local import WireProxy
from neonkit.local._conversation import Moment
from neonkit.local._network_faults import When

_ENDING = func.pg_terminate_backend(func.pg_backend_pid())

pytestmark = pytest.mark.both_drivers


class Parcel(TableModel, table=True):
    """Something to write."""

    id: int | None = Field(default=None, primary_key=True)
    label: str = Field(max_length=50)


async def _add(db: Database, *labels: str) -> None:
    async with db.session() as session:
        session.add_all([Parcel(label=label) for label in labels])
        await session.commit()


async def _count(db: Database) -> int:
    async with db.read_session() as session:
        return (await session.exec(select(func.count(col(Parcel.id))))).one()


async def _ask(db: Database, statement: str) -> object:
    return (await db.execute(text(statement))).scalar()


@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.parametrize(("moment", "labels"), [("commit", ["a", "b"]), ("statement", ["a"])])
async def test_a_lost_commit_is_unknown(
    db: Database, neon: WireProxy, moment: Moment, when: When, labels: list[str]
) -> None:
    """Whether the COMMIT, or the statement that is one, arrived cannot be told, and is not."""
    await _add(db, "first")
    neon.cut_at(moment, when=when)

    with pytest.raises(OutcomeUnknownError):
        await _add(db, *labels)

    assert await _count(db) == (1 if when == "before" else 1 + len(labels))


async def test_what_begins_a_transaction_is_sent_again(db: Database, neon: WireProxy) -> None:
    """A transaction that was lost with its first statement had nothing else in it."""
    await _add(db, "first")
    neon.cut_at("begin", when="after")
    await _add(db, "a", "b")
    assert await _count(db) == 3


@pytest.mark.real_commits
async def test_what_was_lost_before_the_commit_is_not_written(db: Database) -> None:
    """The fault is a lost connection: its transaction is gone, and nothing of it is sent again."""
    async with db.session() as session:
        session.add(Parcel(label="a"))
        await session.flush()
        with pytest.raises(DBAPIError) as caught:
            await session.exec(select(_ENDING))
        await session.rollback()

    fault = fault_of(caught.value)
    assert fault is not None
    assert fault.is_transient
    assert await _count(db) == 0


@pytest.mark.real_commits
async def test_a_server_that_hangs_up_in_a_statement(db: Database, database_driver: Driver) -> None:
    """The fault is a lost connection, with the server's own code where the driver hands it on."""
    async with db.session() as session:
        await session.exec(select(func.pg_advisory_xact_lock(1)))
        with pytest.raises(DBAPIError) as caught:
            await session.exec(select(_ENDING))
        await session.rollback()

    code = "08003" if database_driver == "asyncpg" else "57P01"
    assert fault_of(caught.value) == Fault(FaultKind.CONNECTION_LOST, code)


async def test_a_connection_that_was_closed_while_idle_is_not_used(
    db: Database, neon: WireProxy
) -> None:
    """Neither a FIN nor a parting message is met by a statement."""
    first = await _ask(db, "SELECT pg_backend_pid()")
    neon.cut()
    await asyncio.sleep(0.05)
    second = await _ask(db, "SELECT pg_backend_pid()")
    neon.suspend(wake_seconds=0)
    await asyncio.sleep(0.05)
    third = await _ask(db, "SELECT pg_backend_pid()")

    assert len({first, second, third}) == 3


async def test_a_message_to_an_idle_connection_does_not_end_it(
    neon: WireProxy, database_driver: Driver
) -> None:
    """A notification that came meanwhile is no sign that the server hung up."""
    engine = create_engine(neon.url, driver=database_driver, pool=PoolPolicy(size=1, overflow=0))
    async with Database(engine) as listener, Database(create_engine(neon.url)) as speaker:
        pid = await _ask(listener, "SELECT pg_backend_pid()")
        await listener.execute(text("LISTEN news"))
        await speaker.execute(text("NOTIFY news"))
        await asyncio.sleep(0.05)
        assert await _ask(listener, "SELECT pg_backend_pid()") == pid


async def test_a_silent_server_is_left(
    db: Database, neon: WireProxy, database_driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    """A wait ends with the statement's bound or the request's, without a word of the driver's."""
    caplog.set_level(logging.WARNING)
    timeouts = TimeoutPolicy(connect=0.5, statement=0.5, lock=0.1, request=1)
    async with Database(
        create_engine(neon.url, driver=database_driver, timeouts=timeouts)
    ) as other:
        assert await _count(other) == 0
        neon.freeze()
        for seconds in (1.5, 0.3):
            started = time.monotonic()
            with open_scope(seconds), pytest.raises((DBAPIError, TimeoutError)) as caught:
                await _count(other)
            assert time.monotonic() - started < seconds + 1
            fault = fault_of(caught.value)
            assert fault is not None
            assert fault.kind is FaultKind.UNAVAILABLE
        neon.thaw()
        assert await _count(other) == 0
    assert {record.name for record in caplog.records} <= {"neonkit"}
    assert await _count(db) == 0


def _socket_options(database: Database) -> dict[str, int]:
    """What the kernel was told of the socket of the only idle connection."""
    pool: Any = database.engine.sync_engine.pool
    (record,) = pool._pool._queue._queue
    link = record.dbapi_connection._opened
    if isinstance(link, psycopg.AsyncConnection):
        connected = socket.socket(fileno=os.dup(link.fileno()))
    else:
        connected = link._transport.get_extra_info("socket")
    names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
    found = {
        name: connected.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names
    }
    found["SO_KEEPALIVE"] = connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    if isinstance(link, psycopg.AsyncConnection):
        connected.close()
    return found


async def test_the_kernel_is_told_to_look_for_the_peer(
    neon: WireProxy, database_driver: Driver
) -> None:
    """On either driver's socket; the URL's own parameters come first."""
    expected = {
        "TCP_KEEPIDLE": 1,
        "TCP_KEEPINTVL": 1,
        "TCP_KEEPCNT": 2,
        "TCP_USER_TIMEOUT": 2000,
        "SO_KEEPALIVE": 1,
    }
    for chosen, changed in (
        ({}, {}),
        ({"tcp_user_timeout": "9000"}, {"TCP_USER_TIMEOUT": 9000}),
        ({"keepalives_idle": "30"}, {"TCP_KEEPIDLE": 30}),
    ):
        dsn = neon.dsn.replace(parameters={**neon.dsn.parameters, **chosen})
        async with Database(create_engine(dsn, driver=database_driver)) as other:
            await _ask(other, "SELECT 1")
            assert _socket_options(other) == expected | changed


@pytest.mark.skipif(sys.platform != "linux", reason="Linux drops packets for a test")
@pytest.mark.parametrize("sent", ["before", "after"])
async def test_a_peer_that_stops_acknowledging_is_found(
    neon: WireProxy, database_driver: Driver, sent: str
) -> None:
    """In 2.5 s, whether a statement waits for its acknowledgement or for its reply."""
    async with Database(create_engine(neon.url, driver=database_driver)) as other:
        async with other.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
            if sent == "after":
                neon.unplug()
            asking = asyncio.create_task(connection.execute(text("SELECT pg_sleep(20)")))
            await asyncio.sleep(0.1)
            neon.unplug()
            began = time.monotonic()
            with pytest.raises(DBAPIError) as caught:
                await asking
            took = time.monotonic() - began
        neon.plug_in()
        fault = fault_of(caught.value)
        assert fault is not None
        assert fault.kind is FaultKind.CONNECTION_LOST
        assert 1 < took < 3.5  # and not the 5.5 s after which it would be given up
        assert await _ask(other, "SELECT 1") == 1


async def test_what_was_opened_before_a_silent_connection_is_replaced(
    neon: WireProxy, database_driver: Driver
) -> None:
    """None of the other connections is met by a statement; what was opened since is kept."""
    timeouts = TimeoutPolicy(connect=1, statement=0.5, lock=0.1, request=5)
    async with Database(
        create_engine(neon.url, driver=database_driver, timeouts=timeouts)
    ) as other:
        asking = (_ask(other, "SELECT pg_backend_pid() FROM pg_sleep(0.1)") for _ in range(4))
        before = set(await asyncio.gather(*asking))
        assert len(before) == 4
        neon.freeze()
        with pytest.raises((TimeoutError, OutcomeUnknownError)), open_scope(1.2):
            await _ask(other, "SELECT 1")
        neon.thaw()
        asking = (_ask(other, "SELECT pg_backend_pid() FROM pg_sleep(0.1)") for _ in range(4))
        after = set(await asyncio.gather(*asking))
        assert not before & after
        asking = (_ask(other, "SELECT pg_backend_pid() FROM pg_sleep(0.1)") for _ in range(4))
        assert set(await asyncio.gather(*asking)) == after
