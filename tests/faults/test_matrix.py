"""The fault matrix: what befalls a statement, at which moment, and what its caller hears of it.

What is torn on the way is in the modules beside this one: here the server itself fails, the login
does, or what lies between.
"""

import asyncio
import os
import resource
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import get_args

import pytest
from sqlalchemy import text

from neonkit import Database, create_engine
from neonkit.db import Driver, TimeoutPolicy, open_scope
from neonkit.db._faults.classification import problem_error_of
from neonkit.dsn import Dsn
from neonkit.errors import (
    ContentionError,
    DatabaseUnavailableError,
    DeadlineError,
    InvalidInputError,
    OutcomeUnknownError,
    ProblemError,
)
from neonkit.local import Certificate, Refusal, WireProxy
from neonkit.testing._databases import Databases
from support.matrix import READS, SURE, WRITES, Road, Stage, keyed, read, session, unkeyed
from support.needed import need_openssl

_TIMEOUTS = TimeoutPolicy(connect=2, statement=2, lock=0.3, request=8)
_BRIEF = TimeoutPolicy(connect=2, statement=0.4, lock=0.3, request=8)


@pytest.fixture(scope="module", params=get_args(Driver))
async def shared(
    request: pytest.FixtureRequest, _neonkit_databases: Databases
) -> AsyncIterator[Stage]:
    """One database behind a wire for all of these tests."""
    async with (
        _neonkit_databases.wired_clone(request.param) as loan,
    ):
        assert loan.wire is not None
        engine = create_engine(loan.wire.dsn, driver=request.param, timeouts=_TIMEOUTS)
        async with (
            Database(create_engine(loan.wire.target)) as past,
            Database(engine) as db,
        ):
            stage = Stage(db, past, loan.wire, request.param)
            await stage.make()
            yield stage


@pytest.fixture
async def stage(shared: Stage) -> Stage:
    """The same, empty."""
    await shared.clear()
    return shared


async def _go(road: Road, db: Database, seconds: float = 8) -> object:
    """Go by a road, with a deadline; nothing is in doubt after what is hidden."""
    with open_scope(seconds) as scope:
        done = await road(db)
    assert scope.doubts == 0
    return done


async def _refused(road: Road, db: Database, seconds: float = 8) -> ProblemError:
    """Go by a road that ends; what a client would be told."""
    with open_scope(seconds), pytest.raises(Exception) as caught:  # noqa: PT011  # of either driver
        await road(db)
    error = caught.value
    problem = error if isinstance(error, ProblemError) else problem_error_of(error)
    if problem is None:
        raise error
    return problem


_HIDDEN = [
    pytest.param("40001", id="serialization failure"),
    pytest.param("40P01", id="deadlock"),
    pytest.param("55P03", id="lock timeout"),
    pytest.param("53300", id="too many connections"),
    pytest.param("25006", id="a standby"),
    pytest.param("26000", id="prepared statement gone"),
    pytest.param("08006", id="connection failure"),
    pytest.param("57P03", id="starting up"),
    pytest.param("57P05", id="idle session ended"),
    pytest.param("57014", id="a stray cancel"),
]


@pytest.mark.parametrize("road", [*WRITES, *READS])
@pytest.mark.parametrize("sqlstate", _HIDDEN)
async def test_what_the_server_refuses_once_is_hidden(
    stage: Stage, sqlstate: str, road: Road
) -> None:
    """Nothing was done, so it is done again: one effect, and the caller hears of nothing."""
    await stage.fail(sqlstate)
    assert await _go(road, stage.db) == ("first" if road in READS else "new")
    assert await stage.attempts() == 2
    assert await stage.names() == ([] if road in READS else ["new"])


@pytest.mark.parametrize("road", WRITES)
@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
async def test_a_collision_at_the_commit_is_hidden(stage: Stage, sqlstate: str, road: Road) -> None:
    """A deferred constraint fails with COMMIT: that said no, so nothing is in doubt."""
    await stage.fail(sqlstate, at="commit")
    assert await _go(road, stage.db) == "new"
    assert await stage.names() == ["new"]


@pytest.mark.parametrize("at", ["statement", "commit"])
async def test_a_collision_of_a_plain_session_is_told(stage: Stage, at: str) -> None:
    """No handler is run again: contention, and nothing was written."""
    await stage.fail("40001", at=at)
    assert isinstance(await _refused(session, stage.db), ContentionError)
    assert await stage.names() == []


_TOLD = [
    pytest.param("53100", DatabaseUnavailableError, id="disk full"),
    pytest.param("53200", DatabaseUnavailableError, id="out of memory"),
    pytest.param("22003", InvalidInputError, id="number out of range"),
]


@pytest.mark.parametrize("road", [*WRITES, session])
@pytest.mark.parametrize(("sqlstate", "problem"), _TOLD)
async def test_what_would_fail_again_is_told_at_once(
    stage: Stage, sqlstate: str, problem: type[ProblemError], road: Road
) -> None:
    """It is not tried again, has no effect, and the next read goes well."""
    await stage.fail(sqlstate)
    assert isinstance(await _refused(road, stage.db), problem)
    assert await stage.attempts() == 1
    assert await stage.names() == []
    assert await _go(read, stage.db) == "first"


@pytest.mark.parametrize("road", WRITES)
async def test_a_database_that_stays_read_only_is_unavailable(stage: Stage, road: Road) -> None:
    """One other connection is tried, which is no standby's; then it is told, and reads go on."""
    await stage.fail("25006", times=9)
    assert isinstance(await _refused(road, stage.db), DatabaseUnavailableError)
    assert await stage.attempts() == 2
    assert await stage.names() == []


async def test_a_collision_that_stays_is_contention(stage: Stage) -> None:
    """It is tried as long as there is time for it, and then told: nothing was written."""
    await stage.fail("40001", times=999, seconds=0.15)
    told = await asyncio.gather(*(_refused(road, stage.db, 1.2) for road in WRITES))
    assert [type(each) for each in told] == [ContentionError] * len(WRITES)
    assert await stage.attempts() > len(WRITES)
    assert await stage.names() == []


async def test_a_statement_past_its_time_is_a_deadline(stage: Stage) -> None:
    """The server cancelled it, which is no stray cancel: it is told, and not sent again."""
    slow = text("INSERT INTO anchor (name) SELECT 'slow' FROM pg_sleep(9)")

    async def wait(db: Database) -> object:
        return await db.execute(slow)

    assert isinstance(await _refused(wait, stage.db), DeadlineError)
    assert await stage.names() == []
    assert await _go(unkeyed, stage.db) == "new"


_LOGINS = [
    pytest.param("57P03", "the database system is starting up", id="starting up"),
    pytest.param("57P03", "the database system is in recovery mode", id="recovering"),
    pytest.param("53300", "sorry, too many clients already", id="too many connections"),
    pytest.param("08P01", "query_wait_timeout", id="a pooler without servers"),
    pytest.param(None, Refusal.UNREACHABLE, id="no compute"),
]


@pytest.mark.parametrize("road", [keyed, *READS])
@pytest.mark.parametrize(("sqlstate", "words"), _LOGINS)
async def test_a_login_that_is_refused_for_now_is_hidden(
    stage: Stage, sqlstate: str | None, words: str, road: Road
) -> None:
    """It is tried again until it is let in, by one attempt at a time."""
    stage.wire.cut()
    await asyncio.sleep(0.05)
    arrivals = stage.wire.arrivals
    stage.wire.refuse(words, times=2, sqlstate=sqlstate)
    assert await _go(road, stage.db) == ("first" if road in READS else "new")
    assert stage.wire.arrivals - arrivals == 3
    stage.wire.admit()


@pytest.mark.parametrize("sqlstate", ["57P01", "57P02", "25P03", "57P05", None])
async def test_a_server_that_goes_down_in_a_statement_is_hidden(
    stage: Stage, sqlstate: str | None
) -> None:
    """Shut down, crashed, or gone without a word, and then starting up: each is done once."""
    async with _locked(stage):
        going = [asyncio.create_task(_go(road, stage.db)) for road in SURE]
        await _until_locked(stage, len(going))
        stage.wire.refuse("the database system is starting up", times=2, sqlstate="57P03")
        stage.wire.cut(sqlstate=sqlstate)
    assert await asyncio.gather(*going) == ["new", "new", "first", "first"]
    assert await stage.names() == ["new", "new"]
    stage.wire.admit()


@asynccontextmanager
async def _locked(stage: Stage) -> AsyncIterator[None]:
    """The table, locked as a migration does it."""
    async with stage.past.engine.begin() as connection:
        await connection.execute(text("LOCK TABLE anchor IN ACCESS EXCLUSIVE MODE"))
        yield


async def _until_locked(stage: Stage, number: int) -> None:
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event_type = 'Lock'"
    )
    while (await stage.past.execute(waiting)).scalar_one() < number:
        pass


async def test_a_migration_that_locks_the_table_is_waited_for(stage: Stage) -> None:
    """For longer than LOCK_TIMEOUT: each is tried again until the table is free."""
    async with _locked(stage):
        going = [asyncio.create_task(_go(road, stage.db)) for road in (*WRITES, *READS)]
        await _until_locked(stage, len(going))
        await asyncio.sleep(0.5)
        assert not any(each.done() for each in going)
    assert await asyncio.gather(*going) == ["new"] * 3 + ["first"] * 2


@pytest.mark.parametrize("change", ["ALTER TABLE anchor ADD COLUMN {} int", "DEALLOCATE ALL"])
async def test_a_plan_that_is_gone_or_out_of_date_is_hidden(stage: Stage, change: str) -> None:
    """A column came, or somebody dropped what was prepared: it is prepared anew."""
    whole = text("SELECT * FROM anchor")

    async def look(db: Database) -> object:
        return (await db.execute(whole)).first()

    for _ in range(8):
        await _go(look, stage.db)
        await _go(unkeyed, stage.db)
    where = stage.db if change.startswith("DEALLOCATE") else stage.past
    column = f"new_{id(change)}_{os.getpid()}"
    await where.execute(text(change.format(column)))
    before = len(await stage.names())
    assert await _go(look, stage.db) is not None
    assert await _go(unkeyed, stage.db) == "new"
    assert len(await stage.names()) == before + 1


async def test_a_slow_link_is_only_slow(stage: Stage) -> None:
    """A tenth of a second a round trip, byte by byte: every road arrives."""
    stage.wire.delay, stage.wire.slice_bytes = 0.1, 1
    try:
        done = await asyncio.gather(*(_go(road, stage.db) for road in (*WRITES, read)))
    finally:
        stage.wire.delay, stage.wire.slice_bytes = 0.0, None
    assert done == ["new", "new", "new", "first"]
    assert await stage.names() == ["new"] * 3


@contextmanager
def _unknown(times: int) -> Iterator[list[str]]:
    """Let a name not be found so often."""
    loop, asked = asyncio.get_running_loop(), []
    stock = loop.getaddrinfo

    def getaddrinfo(host: str, *arguments: int, **options: int) -> Awaitable[object]:
        if host == "localhost":
            asked.append(host)
            if len(asked) <= times:
                failed = loop.create_future()  # raised in here, it would be ours and no driver's
                failed.set_exception(socket.gaierror(socket.EAI_AGAIN, "Temporary failure"))
                return failed
        return stock(host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "getaddrinfo", getaddrinfo)
        yield asked


async def test_a_name_that_is_not_found_for_now_is_hidden(stage: Stage) -> None:
    """The resolver fails twice: it is asked again."""
    dsn = stage.wire.dsn.replace(host="localhost")
    with _unknown(2) as asked:
        async with Database(create_engine(dsn, driver=stage.driver, timeouts=_TIMEOUTS)) as db:
            assert await _go(keyed, db) == "new"
    assert len(asked) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="open files are counted in /proc")
async def test_a_process_without_descriptors_recovers(stage: Stage) -> None:
    """No socket can be opened: it waits, and goes on when one can."""
    engine = create_engine(stage.wire.target, driver=stage.driver, timeouts=_TIMEOUTS)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with Database(engine) as db:
        going = asyncio.create_task(_go(keyed, db))
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(_open_files()) + 1, hard))
        try:
            taken = _take_the_rest()
            await asyncio.sleep(0.3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert not going.done()
        for descriptor in taken:
            os.close(descriptor)
        assert await going == "new"


def _open_files() -> list[int]:
    return [int(each.name) for each in Path("/proc/self/fd").iterdir()]


def _take_the_rest() -> list[int]:
    taken: list[int] = []
    while True:
        try:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            return taken


Greet = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bool]]
Answer = Callable[[bytes], bytes]


@asynccontextmanager
async def _relayed(target: Dsn, *, greet: Greet, answer: Answer = bytes) -> AsyncIterator[Dsn]:
    """A relay in front of a server, which may spoil what passes.

    Args:
        target: the server.
        greet: gets the streams of each new client; the relay hangs up where it says so.
        answer: changes what the server says.
    """

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if await greet(reader, writer):
                return
            from_server, to_server = await asyncio.open_connection(target.host, target.port)
            async with asyncio.TaskGroup() as group:
                group.create_task(_pass_on(reader, to_server, bytes))
                group.create_task(_pass_on(from_server, writer, answer))
        except* OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with server:
        yield target.replace(port=server.sockets[0].getsockname()[1])


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Answer
) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(change(data))
            await writer.drain()
    finally:
        writer.close()


async def test_tls_that_breaks_off_in_its_handshake_is_hidden(stage: Stage, tmp_path: Path) -> None:
    """The server says that it has TLS, and hangs up: it is tried again."""
    need_openssl()
    broken = 0

    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        nonlocal broken
        if broken == 2:
            return False
        broken += 1
        await reader.readexactly(8)  # SSLRequest
        writer.write(b"S")
        await reader.read(100)  # the client's hello
        return True

    tls = Certificate.make(tmp_path).context()
    async with (
        WireProxy.start(stage.wire.target, tls=tls) as secure,
        _relayed(secure.dsn, greet=break_off) as dsn,
        Database(create_engine(dsn, driver=stage.driver, timeouts=_TIMEOUTS)) as db,
    ):
        assert await _go(keyed, db) == "new"
    assert broken == 2


@pytest.mark.parametrize("road", [keyed, unkeyed, read])
async def test_bytes_that_make_no_sense_end_a_connection(stage: Stage, road: Road) -> None:
    """As if the reply was lost: hidden, but of a write without a key, which is unknown."""
    is_spoilt = False

    def spoil(data: bytes) -> bytes:
        nonlocal is_spoilt
        spoilt, is_spoilt = is_spoilt, False
        return b"?" * len(data) if spoilt else data

    async with (
        _relayed(stage.wire.target, greet=_let_in, answer=spoil) as dsn,
        Database(create_engine(dsn, driver=stage.driver, timeouts=_BRIEF)) as db,
    ):
        for _ in range(6):
            await _go(road, db)
        before = len(await stage.names())
        is_spoilt = True
        if road is unkeyed:
            assert isinstance(await _refused(road, db), OutcomeUnknownError)
        else:
            await _go(road, db)
    assert len(await stage.names()) - before == (0 if road in READS else 1)


async def _let_in(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> bool:
    return False
