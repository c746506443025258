"""Classification without a database: every code, every text of Neon's, every kind of exception."""

import asyncio
import socket
import ssl
from typing import Any

import asyncpg
import psycopg
import psycopg.errors
import pytest
from asyncpg.exceptions._base import PostgresMessageMeta
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import exc as sa
from sqlalchemy.orm.exc import StaleDataError

from neonkit.db._faults.classification import Fault, fault_of, problem_error_of
from neonkit.db._faults.sqlstates import FaultKind, kind_of_refusal, kind_of_sqlstate
from neonkit.errors import DatabaseUnavailableError, OutcomeUnknownError

# what each code of PostgreSQL's list means: a whole code, or all others of a class
EXPECTED = {
    FaultKind.DUPLICATE: "23505 23P01",
    FaultKind.FOREIGN_KEY: "23503",
    FaultKind.DEPENDENTS: "23001",
    FaultKind.NOT_NULL: "23502",
    FaultKind.CHECK: "23514 23000 44",
    FaultKind.INVALID_VALUE: "22 54000",
    FaultKind.SERIALIZATION: "40000 40001 40002 72",
    FaultKind.DEADLOCK: "40P01",
    FaultKind.LOCK_TIMEOUT: "55P03",
    FaultKind.STALE_PLAN: "26000 42P05",
    FaultKind.STATEMENT_TIMEOUT: "57014 25P04",
    FaultKind.CONNECTION_LOST: "08000 08003 08006 08P01 57P01 57P02 57P05 25P03",
    FaultKind.UNAVAILABLE: "08001 08004 57000 57P03 58000 58030 HV00N",
    FaultKind.OUTCOME_UNKNOWN: "08007 40003",
    FaultKind.TOO_MANY_CONNECTIONS: "53300",
    FaultKind.READ_ONLY: "25006",
    FaultKind.RESOURCES: "53000 53100 53200 53400",
    FaultKind.MISCONFIGURED: "28000 28P01 3D000 57P04 58P01 58P02 58P03 F0",
    FaultKind.DEFECT: (
        "01 02 03 09 0A 0B 0F 0L 0P 0Z 10 20 21 24 25 27 2B 2D 2F 34 38 39 3B 3F 42 54 55 HV P0 XX"
    ),
}
MEANING = {code: kind for kind, codes in EXPECTED.items() for code in codes.split()}

# PostgreSQL's list as both drivers carry it; psycopg keeps the names beside the codes
CODES = sorted(
    {code for code in PostgresMessageMeta._message_map if code}
    | {code for code in psycopg.errors._sqlcodes if len(code) == 5 and code == code.upper()}
)

RETRIED = (
    "40001 40P01 55P03 08000 08003 08006 57P01 57P02 57P03 57P05 53300 25006 25P03 26000 42P05"
)
NOT_RETRIED = (
    "22001 22003 22P02 23502 23503 23505 23514 42601 42P01 42501 28P01 28000 3D000 53100 53200 "
    "57014 P0001 08007 40003 0A000 XX000"
)

REFUSALS = {
    FaultKind.UNAVAILABLE: [
        "Couldn't connect to compute node",
        "Control plane request failed",
        "Authentication timed out",
        "Internal error",
        "Your project already has running operations. Please wait until they complete, and then "
        "try again.",
        "server login has been failing, cached error: X (server_login_retry)",
        "client_login_timeout (server down)",
        "the database system is starting up",
        "a text of next year",
    ],
    FaultKind.MISCONFIGURED: [
        "Control plane request failed: endpoint cannot be found",
        "Control plane request failed: endpoint is disabled",
        "password authentication failed for user 'ann'",
        "authentication protocol violation",
        "unsupported channel binding method tls-unique",
        "Malformed password message",
        "Unsupported authentication method",
        "Endpoint ID is not specified. Either please upgrade the postgres client library",
        "Inconsistent project name inferred from SNI ('a') and project option ('b').",
        "Project name ('a_b') must contain only alphanumeric characters and hyphen.",
        "Parameter 'user' is missing in startup packet.",
        "connection is insecure (try using `sslmode=require`)",
        "This IP address 192.0.2.1 is not allowed to connect to this endpoint. Please add it",
        "This connection is trying to access this endpoint from a blocked network.",
        "VPC endpoint ID is not specified. This endpoint requires a VPC endpoint ID to connect.",
        "This VPC endpoint id vpce-1 is not allowed to connect to this endpoint.",
        "unsupported startup parameter: statement_timeout. Please use unpooled connection",
        "unsupported startup parameter in options: search_path",
        "Your account or project has exceeded the compute time quota. Upgrade your plan to "
        "increase limits.",
        "Your project has exceeded the active time quota. Upgrade your plan to increase limits.",
        "Your project has exceeded the data transfer quota. Upgrade your plan to increase limits.",
        "You've exceeded the compute time for this branch. Upgrade your plan to increase limits "
        "or connect to another branch.",
        "The endpoint has been disabled. Enable it using Neon API and retry.",
        "The requested branch could not be found, or you don't have access to it. Please check",
        "The role you're attempting to use is protected and cannot be used for password-based "
        "authentication. Please pick a different role and try again.",
        "no such database: nope",
        "SSL error: certificate verify failed",
        'server certificate for "a" does not match host name "b"',
        "server does not support SSL, but SSL was required",
        "SASL authentication failed",
        "channel binding required, but SSL not in use",
        "channel binding is required, but server did not offer an authentication method that "
        "supports channel binding",
        'weak sslmode "prefer" may not be used with sslnegotiation=direct (use "require", ...)',
        'weak sslmode "verify-ca" may not be used with sslrootcert=system (use "verify-full")',
        'definition of service "nope" not found',
        'service file "/nope" not found',
        'private key file "/nope" has group or world access',
        'could not load private key file "/nope": no such file',
        'authentication method requirement "none" failed: server requested SCRAM-SHA-256',
        'invalid integer value "x" for connection option "keepalives"',
        'invalid sslmode value: "perhaps"',
        "host name must be specified for a verified SSL connection",
    ],
    FaultKind.RESOURCES: [
        "Control plane request failed: endpoint is temporarily unavailable. Check your quotas "
        "and/or contact our support.",
        "You've exceeded the rate limit. Please wait a moment and try again.",
        "You have exceeded the limit of concurrently active endpoints. Please suspend some",
        "active endpoints limit exceeded",
    ],
    FaultKind.TOO_MANY_CONNECTIONS: [
        "Too many connections attempts",
        "Failed to acquire permit to connect to the database. Too many database connection "
        "attempts are currently ongoing.",
        "Too many connections to this endpoint. Please try again later.",
        "no more connections allowed (max_client_conn)",
        "remaining connection slots are reserved for roles with the SUPERUSER attribute",
        "sorry, too many clients already",
    ],
}
REFUSAL_ROWS = [(text, kind) for kind, texts in REFUSALS.items() for text in texts]


def from_server(sqlstate: str, text: str = "no matter what") -> asyncpg.PostgresError:
    """Build asyncpg's error as it does for a reply of PostgreSQL itself."""
    return asyncpg.PostgresError.new({"C": sqlstate, "M": text, "R": "ErrorRoutine"})


def from_proxy(text: str, sqlstate: str = "XX000") -> asyncpg.PostgresError:
    """Build asyncpg's error as it does for a proxy or a pooler, which names no routine."""
    return asyncpg.PostgresError.new({"S": "ERROR", "C": sqlstate, "M": text})


def kind_of(exc: BaseException) -> FaultKind | None:
    """Classify down to the kind."""
    fault = fault_of(exc)
    return fault.kind if fault else None


def test_the_whole_list_is_walked() -> None:
    """Both drivers still carry PostgreSQL's list, with every class that is expected here."""
    assert len(CODES) > 250
    assert {code[:2] for code in CODES} >= {code[:2] for code in MEANING}


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_the_kind_expected_of_it(code: str) -> None:
    """Each code that PostgreSQL has means the same through both drivers."""
    expected = MEANING.get(code) or MEANING[code[:2]]
    assert kind_of_sqlstate(code) is expected
    assert kind_of(from_server(code)) is expected
    if code in psycopg.errors._sqlcodes:
        raised = psycopg.errors.lookup(code)("no matter what")
        assert fault_of(sa.DBAPIError("SELECT 1", None, raised)) is not None


@pytest.mark.parametrize(("codes", "is_transient"), [(RETRIED, True), (NOT_RETRIED, False)])
def test_only_what_may_be_repeated_is_transient(codes: str, is_transient: bool) -> None:
    """A transaction is run again for the codes where nothing was committed, and no others."""
    for code in codes.split():
        fault = fault_of(from_server(code))
        assert fault is not None
        assert (code, fault.is_transient) == (code, is_transient)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("22ZZZ", FaultKind.INVALID_VALUE),
        ("23ZZZ", FaultKind.CHECK),
        ("57PZZ", FaultKind.UNAVAILABLE),
        ("53ZZZ", FaultKind.RESOURCES),
        ("ZZZZZ", FaultKind.DEFECT),
    ],
)
def test_a_code_of_the_future_means_its_class(code: str, kind: FaultKind) -> None:
    """A code that no table knows is judged by its first two characters."""
    assert kind_of(from_server(code)) is kind


@given(st.text(min_size=5, max_size=5), st.text(max_size=40), st.booleans())
def test_any_five_characters_are_classified(code: str, text: str, has_routine: bool) -> None:
    """Whatever a server or something in between sends, there is a fault, and it can be told."""
    fields = {"C": code, "M": text} | ({"R": "ErrorRoutine"} if has_routine else {})
    fault = fault_of(asyncpg.PostgresError.new(fields))
    assert fault is not None
    assert fault.sqlstate == code
    problem_error_of(fault)


@pytest.mark.parametrize(("text", "kind"), REFUSAL_ROWS)
def test_a_refused_login_is_told_by_its_text(text: str, kind: FaultKind) -> None:
    """Neon's and PgBouncer's texts mean the same through both drivers, in any case of letters."""
    wrapped = f'connection failed: connection to server at "192.0.2.7", port 5432 failed: {text}'
    assert kind_of(from_proxy(text)) is kind
    assert kind_of(from_proxy(text.upper())) is kind
    assert kind_of(psycopg.OperationalError(wrapped)) is kind
    assert kind_of(sa.OperationalError("", None, psycopg.OperationalError(wrapped))) is kind


def test_an_internal_error_of_the_server_is_a_defect() -> None:
    """XX000 is a refused login only where PostgreSQL's own routine is missing from it."""
    assert kind_of(from_server("XX000", "cache lookup failed for relation 5")) is FaultKind.DEFECT
    assert kind_of(from_server("XX000", "too many connections")) is FaultKind.DEFECT


def test_the_pooler_queue_is_told_from_a_broken_protocol() -> None:
    """08P01 of PgBouncer's queue is too many connections; any other is a lost connection."""
    waited = from_proxy("query_wait_timeout", "08P01")
    assert kind_of(waited) is FaultKind.TOO_MANY_CONNECTIONS
    assert kind_of(from_proxy("pooler is shutting down", "08P01")) is FaultKind.CONNECTION_LOST


def test_a_changed_plan_is_told_by_its_routine() -> None:
    """0A000 is a stale plan only from the routine that revalidates plans, in any language."""
    stale = asyncpg.PostgresError.new({"C": "0A000", "M": "…", "R": "RevalidateCachedQuery"})
    assert kind_of(stale) is FaultKind.STALE_PLAN
    assert kind_of(from_server("0A000")) is FaultKind.DEFECT


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('insert or update on table "b" violates foreign key constraint "k"', "foreign-key"),
        ('update or delete on table "a" violates foreign key constraint "k" on table "b"', None),
        ("Einfügen in Tabelle »b« verletzt Fremdschlüssel-Constraint »k«", "foreign-key"),
        ("Löschen in Tabelle »a« verletzt Fremdschlüssel-Constraint »k« von Tabelle »b«", None),
        ("UPDATE ou DELETE sur « a » viole la contrainte « k » de la table « b »", None),
        ('テーブル"a"の更新または削除は、テーブル"b"の外部キー制約"k"に違反します', None),
    ],
)
def test_the_side_of_a_foreign_key_is_told_in_every_language(text: str, kind: str | None) -> None:
    """Three quoted names say that rows still refer; two that the referred row is missing."""
    assert kind_of(from_server("23503", text)) == (kind or FaultKind.DEPENDENTS)


async def raised_by_asyncpg(**arguments: Any) -> BaseException:
    """Let asyncpg fail to connect."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  # any: the caller judges it
        await asyncpg.connect(user="u", database="d", ssl=False, **arguments)
    return caught.value


async def test_a_port_nobody_listens_on_is_unavailable() -> None:
    """A refused connection is a fault when a driver met it, and may be tried again."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        exc = await raised_by_asyncpg(host="127.0.0.1", port=closed.getsockname()[1])
    assert isinstance(exc, ConnectionRefusedError)
    assert fault_of(exc) == Fault(FaultKind.UNAVAILABLE)


async def test_a_host_that_does_not_resolve_is_unavailable() -> None:
    """A name that DNS does not know now may be known in a second."""
    exc = await raised_by_asyncpg(host="nowhere.invalid")
    assert isinstance(exc, socket.gaierror)
    assert fault_of(exc) == Fault(FaultKind.UNAVAILABLE)


async def test_a_silent_server_is_unavailable() -> None:
    """A server that accepts and then says nothing is a fault once the driver gives up."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        exc = await raised_by_asyncpg(host="127.0.0.1", port=port, timeout=0.2)
    assert isinstance(exc, TimeoutError)
    assert fault_of(exc) == Fault(FaultKind.UNAVAILABLE)


async def test_the_trouble_of_others_is_no_fault() -> None:
    """A handler's own time limit, its own sockets and its own files are not the database's."""
    with pytest.raises(TimeoutError) as late:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(10)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="Connect call failed") as refused:
            await asyncio.open_connection(*closed.getsockname())
    for exc in (late.value, refused.value, FileNotFoundError("f"), ValueError("v")):
        assert fault_of(exc) is None


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (ssl.SSLCertVerificationError("certificate verify failed"), FaultKind.MISCONFIGURED),
        (ssl.SSLError("wrong version number"), FaultKind.MISCONFIGURED),
        (ssl.SSLEOFError("EOF occurred"), FaultKind.UNAVAILABLE),
        (ConnectionError('server at "h:1" rejected SSL upgrade'), FaultKind.MISCONFIGURED),
        (ConnectionResetError("reset"), FaultKind.UNAVAILABLE),
        (TimeoutError(), FaultKind.UNAVAILABLE),
    ],
)
def test_trouble_of_the_network_under_sqlalchemy(exc: Exception, kind: FaultKind) -> None:
    """TLS that fails needs an operator; a connection that breaks is tried again."""
    assert kind_of(sa.DBAPIError("", None, exc)) is kind


def test_an_invalidated_connection_is_lost() -> None:
    """Without a code, SQLAlchemy's verdict on the connection decides."""
    closed = psycopg.OperationalError("…")
    lost = sa.OperationalError("SELECT 1", None, closed, connection_invalidated=True)
    assert fault_of(lost) == Fault(FaultKind.CONNECTION_LOST)


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (sa.TimeoutError("QueuePool limit"), FaultKind.POOL_TIMEOUT),
        (StaleDataError("expected 1 row"), FaultKind.STALE_ROW),
        (asyncpg.InterfaceError("connection is closed"), FaultKind.CONNECTION_LOST),
        (asyncpg.InterfaceError("another operation is in progress"), FaultKind.DEFECT),
        (asyncpg.ProtocolError("unexpected message"), FaultKind.CONNECTION_LOST),
        (psycopg.DataError("cannot contain NUL"), FaultKind.INVALID_VALUE),
        (psycopg.ProgrammingError("2 placeholders"), FaultKind.DEFECT),
        (sa.StatementError("bad bind", "SELECT 1", None, ValueError("v")), None),
        (sa.InvalidRequestError("closed"), None),
        (OutcomeUnknownError(), None),
        (KeyboardInterrupt(), None),
    ],
)
def test_what_carries_no_code(exc: BaseException, kind: FaultKind | None) -> None:
    """Errors without a code are told by their class; what is not the database's is no fault."""
    assert kind_of(exc) is kind


def test_an_error_of_ours_is_no_fault_whatever_caused_it() -> None:
    """An unknown outcome is never taken for the transient fault that led to it."""
    error = OutcomeUnknownError()
    error.__cause__ = from_server("57P01")
    assert fault_of(error) is None


@given(st.text(min_size=8, max_size=40))
def test_a_fault_repeats_nothing_the_server_said(secret: str) -> None:
    """Neither text nor detail of the server is in a fault, since both may hold values."""
    marked = f"<{secret}>"
    exc = asyncpg.PostgresError.new(
        {"C": "23505", "M": marked, "D": marked, "H": marked, "n": "uq_t_a", "t": "t", "R": "r"}
    )
    fault = fault_of(exc)
    assert fault == Fault(FaultKind.DUPLICATE, "23505", "uq_t_a", "t")
    error = problem_error_of(exc)
    assert marked not in f"{fault!r} {error!r} {error} {error and error.errors}"


@pytest.mark.parametrize("kind", FaultKind)
def test_every_kind_but_a_defect_has_an_error(kind: FaultKind) -> None:
    """A defect alone is answered 500."""
    assert (problem_error_of(Fault(kind)) is None) == (kind is FaultKind.DEFECT)


def test_an_operator_is_told_apart_only_in_the_log() -> None:
    """A client is not told that a password is wrong, only that the database is away."""
    assert isinstance(problem_error_of(Fault(FaultKind.MISCONFIGURED)), DatabaseUnavailableError)
    assert kind_of_refusal("password authentication failed") is FaultKind.MISCONFIGURED
