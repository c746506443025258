"""Sessions: SQLModel's, with our unit of work, and how those end that are lent."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeGuard

from sqlalchemy import Connection, Engine, Executable, Result, event
from sqlalchemy.exc import NoResultFound
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker
from sqlalchemy.orm import Session as SQLAlchemySession
from sqlalchemy.orm import SessionTransaction, SessionTransactionOrigin
from sqlalchemy.util import EMPTY_DICT, await_
from sqlmodel.ext.asyncio.session import AsyncSession as SQLModelAsyncSession
from sqlmodel.orm.session import Session as SQLModelSession
from sqlmodel.sql.expression import SelectOfScalar

from neonkit._seams.sqlalchemy import listeners_of
from neonkit._seams.sqlmodel import deprecated_as_sqlmodels, sqlmodels_execute
from neonkit.db._conditions import Guard
from neonkit.db._faults.missing_rows import mark_missing
from neonkit.db._plans.reads import ReadyRead, read_by_plan, ready_read
from neonkit.db._plans.reasons import Call
from neonkit.db._scope import current_scope
from neonkit.db._units.lone_writes import why_not_alone
from neonkit.db._wire.checks import Check
from neonkit.db._wire.connection import UnitOfWorkConnection, wire_connection_of
from neonkit.db._wire.phases import Opening
from neonkit.db._wire.returning_connection import (
    ReturningConnection,
    borrowed_connection,
    held,
    is_returned,
)
from neonkit.errors import (
    CommitNotYoursError,
    ConfigurationError,
    ReadOnlySessionError,
    SessionEndedError,
    UncommittedError,
)

_BUFFERED = {"prebuffer_rows": True}  # as SQLAlchemy's asynchronous session asks for it
_EXECUTING = ("exec", "scalars", "scalar", "_execute_internal")

_NOT_OURS = (
    "neonkit.AsyncSession works over neonkit's own synchronous session: derive {name} from "
    "`neonkit.db.Session`, or leave sync_session_class out"
)


class Session(SQLModelSession):
    """SQLModel's session whose unit of work goes without BEGIN and COMMIT where it can.

    Args:
        lone_writes: let a unit of work that is one INSERT, UPDATE or DELETE commit as itself, in
            one round trip instead of three.
        open_reads: let plain reads go without a transaction.
        ready_plans: let those of asyncpg's go by ready plans, past SQLAlchemy's own execution.
        is_read_only: refuse to flush.
        is_guarded: let the running scope's guard hold for it.
        **options: SQLAlchemy's own.

    Two-phase commits, several binds, and a class of your own that overrides `get_bind`, `execute`
    or `flush` take SQLAlchemy's own road, with a transaction around everything.

    Attributes:
        starts: the connections that it uses, and the depth of their transactions when it began.
        opening: a command that goes out with its BEGIN; `None` for none.
        is_settled: whether the guard's condition has held for this unit of work.
    """

    def __init__(
        self,
        *args: Any,
        lone_writes: bool = True,
        open_reads: bool = True,
        ready_plans: bool = True,
        is_read_only: bool = False,
        is_guarded: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.starts: dict[Connection, int] = {}
        self.opening: Opening | None = None
        takes_stock_road = _is_stock(self, options)
        self.lone_writes = lone_writes and not (is_read_only or takes_stock_road)
        self.open_reads = open_reads and not takes_stock_road
        self.ready_plans = ready_plans and self.open_reads and _executes_as_ours(type(self))
        self.is_read_only = is_read_only
        self.is_guarded = is_guarded
        self.is_committing = False
        self.goes_alone = False
        self._commit_is_ours = False
        self._has_ended = False
        self.is_settled = False

    def get_bind(self, *args: Any, **options: Any) -> Engine | Connection:
        """SQLAlchemy's own, as long as the session lasts.

        Raises:
            SessionEndedError: it was lent for a block that is over.
        """
        if self._has_ended:
            raise SessionEndedError
        return super().get_bind(*args, **options)

    def get_one(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401  # as stock returns it
        """Get a row by its key; a request that asks for a missing one is answered 404."""
        try:
            return super().get_one(*args, **options)
        except NoResultFound as error:
            mark_missing(error)
            raise

    def end(self) -> None:
        """Refuse further use: nobody would give its connection back."""
        self._has_ended = True

    def commit(self) -> None:
        """Commit, unless whoever lent the session does it.

        Raises:
            CommitNotYoursError: inside of `run_transaction`.
        """
        if self._commit_is_ours:
            raise CommitNotYoursError
        if not self.lone_writes or not self.has_changes():
            super().commit()
            return
        self.is_committing = True
        # a listener that was added after ours may add a second object: then ours hears of the
        # flush again, last
        is_last = _is_last(self)
        if not is_last:
            event.listen(self, "before_flush", _go_alone_at_last)
        try:
            super().commit()
        finally:
            if not is_last:
                event.remove(self, "before_flush", _go_alone_at_last)
            self.is_committing = self.goes_alone = False

    def connection(self, *args: Any, **options: Any) -> Connection:
        """SQLAlchemy's own, which the session keeps until its end from now on."""
        connection = super().connection(*args, **options)
        if isinstance(connection, ReturningConnection):
            connection.keep()
        return connection

    def _execute_internal(
        self,
        statement: Executable,
        params: Any = None,  # noqa: ANN401  # SQLAlchemy's own
        *,
        execution_options: Mapping[str, Any] = EMPTY_DICT,
        **rest: Any,
    ) -> Any:  # noqa: ANN401  # SQLAlchemy's own
        if self.ready_plans:
            wants_scalar = rest.pop("_scalar_result", False)
            read = self.ready_read(Call(statement, params, execution_options, rest))
            result = None if read is None else await_(self.read(read))
            if result is not None:
                return result.scalar() if wants_scalar else result
            rest["_scalar_result"] = wants_scalar
        return super()._execute_internal(
            statement, params, execution_options=execution_options, **rest
        )

    def ready_read(self, call: Call) -> ReadyRead | None:
        """What it reads by a plan; `None` where SQLAlchemy's own road is due."""
        return None if self._has_ended else ready_read(self, call)

    async def read(self, read: ReadyRead) -> Result[Any] | None:
        """Read by a plan; `None` where SQLAlchemy's own road is due, and nothing was sent."""
        return await read_by_plan(self, read, self.begin_on, self._leave)

    def begin_on(self, wire: UnitOfWorkConnection) -> None:
        """Let a connection go on with the session's unit of work, in the open if it is."""
        guard = self.guard()
        wire.depend_on(None if guard is None else Check(guard, self.get_bind().dialect))
        wire.take_over(is_settled=self.is_settled)
        wire.open_with(self.opening)
        wire.only_reads = self.is_read_only and not isinstance(self.bind, Connection)
        whole = self.get_transaction()
        is_autobegun = whole is not None and whole.origin is SessionTransactionOrigin.AUTOBEGIN
        if is_autobegun and self.open_reads:
            wire.defer_begin()
        if self.goes_alone:
            self.goes_alone = False
            wire.send_next_alone()

    def _leave(self, wire: UnitOfWorkConnection) -> None:
        self.is_settled = wire.is_settled

    def has_changes(self) -> bool:
        """True if objects are new, deleted or changed."""
        return bool(self.new or self.deleted or any(self.is_modified(row) for row in self.dirty))

    def guard(self) -> Guard | None:
        """The condition that its statements depend on, if there is one."""
        return current_scope().guard if self.is_guarded else None

    @contextmanager
    def leave_commit_to_us(self) -> Iterator[None]:
        """Refuse commits in the block."""
        self._commit_is_ours = True
        try:
            yield
        finally:
            self._commit_is_ours = False

    def refuse_uncommitted(self) -> None:
        """Raise `UncommittedError` where it holds rows that no commit has covered."""
        if self.has_changes():
            raise UncommittedError(_explain("objects were added, changed or deleted"))
        for connection, since in self.starts.items():
            wire = None if is_returned(connection) else wire_connection_of(connection)
            if wire is not None and wire.writes.has_any(since):
                raise UncommittedError(_explain("statements that write were executed"))

    def is_quiet(self) -> bool:
        """True if nothing has to be said to the server to give its connections back."""
        return all(map(_is_quiet, self.starts))


class AsyncSession(SQLModelAsyncSession):
    """SQLModel's asynchronous session with neonkit's unit of work.

    For `Database`, and for an `async_sessionmaker` of your own on any engine of
    `neonkit.create_engine`:

        AsyncSessionLocal = async_sessionmaker(engine, class_=neonkit.AsyncSession)

    Args:
        *args: SQLModel's own.
        **options: SQLModel's own, `lone_writes` and `open_reads`: `False` sends a transaction
            around every write, or every read; and `ready_plans`: `False` sends plain reads on
            asyncpg by SQLAlchemy's own execution, instead of by ready plans.

    Raises:
        ConfigurationError: `sync_session_class` is not derived from `neonkit.db.Session`.
    """

    sync_session_class = Session
    sync_session: Session  # pyright: ignore[reportIncompatibleVariableOverride]  # ours, as made below

    def __init__(self, *args: Any, **options: Any) -> None:
        kind = options.get("sync_session_class") or self.sync_session_class
        if not issubclass(kind, Session):
            raise ConfigurationError(_NOT_OURS.format(name=kind.__qualname__))
        super().__init__(*args, **options)

    if not TYPE_CHECKING:  # where they have SQLModel's own types

        async def exec(self, statement: object, **options: Any) -> Any:  # noqa: ANN401  # as above
            """Execute a statement, as SQLModel's does."""
            result = await self._read(statement, None, options)
            if result is None:
                return await super().exec(statement, **options)
            return result.scalars() if isinstance(statement, SelectOfScalar) else result

        @deprecated_as_sqlmodels
        async def execute(self, statement: object, params: object = None, **options: Any) -> Any:  # noqa: ANN401  # as above
            """Execute a statement, as SQLAlchemy's does."""
            result = await self._read(statement, params, options)
            if result is None:
                return await sqlmodels_execute(self, statement, params, **options)
            return result

    async def _read(
        self, statement: object, params: object, options: Mapping[str, Any]
    ) -> Result[Any] | None:
        """Read by a plan, without a greenlet; `None` where that cannot be, and nothing was sent."""
        session = self.sync_session
        if not session.ready_plans:
            return None
        rest = dict(options)
        params = rest.pop("params", params)
        usual = {**rest.pop("execution_options", EMPTY_DICT), **_BUFFERED}
        read = session.ready_read(Call(statement, params, usual, rest))
        return None if read is None else await session.read(read)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it; where it has no connection that waits for nothing, and takes no task."""
        if self.sync_session.starts or type(self).close is not AsyncSession.close:
            await super().__aexit__(kind, error, traceback)
        else:
            self.sync_session.close()


def _executes_as_ours(kind: type[Session]) -> bool:
    """True if no class of somebody else's comes between a call and the plans."""
    return all(getattr(kind, name) is getattr(Session, name) for name in _EXECUTING)


def _is_stock(session: Session, options: Mapping[str, Any]) -> bool:
    """True if a session does what only SQLAlchemy's own road is sure to serve."""
    changed = (
        name
        for name in ("get_bind", "execute", "flush")
        if getattr(type(session), name) is not getattr(Session, name)
    )
    return bool(options.get("twophase") or options.get("binds")) or any(changed)


def _is_last(session: Session) -> bool:
    """True if our listener of every session is the last to hear of a flush."""
    return [None, *listeners_of(session, "before_flush")][-1] is _go_alone


@event.listens_for(Session, "before_flush")
def _refuse_flush(session: Session, _context: object, _instances: object) -> None:
    if session.is_read_only and session.has_changes():
        raise ReadOnlySessionError


@event.listens_for(Session, "before_flush")
def _go_alone(session: Session, context: object, instances: object) -> None:
    """Let the flush of a commit go alone, unless somebody else hears of it after us."""
    if session.is_committing and _is_last(session):
        _go_alone_at_last(session, context, instances)


def _go_alone_at_last(session: Session, _context: object, _instances: object) -> None:
    """Let what this flush is about to send commit as itself, if it is one statement."""
    if why_not_alone(session) is not None:
        return
    session.goes_alone = True  # for a connection that is still to come
    for connection in session.starts:
        _send_next_alone(connection)


@event.listens_for(Session, "after_begin")
def _begin_on(session: Session, _transaction: SessionTransaction, connection: Connection) -> None:
    wire = wire_connection_of(connection)
    session.starts.setdefault(connection, 0 if wire is None else wire.writes.depth)
    if wire is None:  # another engine's: it has SQLAlchemy's own road
        return
    session.begin_on(wire)
    whole = session.get_transaction()
    is_autobegun = whole is not None and whole.origin is SessionTransactionOrigin.AUTOBEGIN
    if is_autobegun and session.open_reads and _may_renew(connection, session):
        connection.renew_by(session.begin_on)


_ANY = Session()  # unbound: it hears what every session hears


def is_beginning_heard() -> bool:
    """True if somebody else hears of the beginning of every session."""
    return len(listeners_of(_ANY, "after_begin")) > 1


def _may_renew(connection: Connection, session: Session) -> TypeGuard[ReturningConnection]:
    """True if nobody counts on having this one connection until the session's end."""
    return (
        isinstance(connection, ReturningConnection)
        and not isinstance(session.bind, Connection)
        and not connection.get_execution_options()
        and len(listeners_of(session, "after_begin")) == 1
    )


@event.listens_for(Session, "after_transaction_end")
def _forget_starts(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        for connection in session.starts:
            _let_go(connection)
        session.starts.clear()
        session.is_settled = False


def _let_go(connection: Connection) -> None:
    """Leave no check of ours on a connection that others share, as in tests."""
    if not (connection.closed or connection.invalidated or is_returned(connection)):
        wire = wire_connection_of(connection)
        if wire is not None:
            wire.depend_on(None)


def _send_next_alone(connection: Connection) -> None:
    wire = None if is_returned(connection) else wire_connection_of(connection)
    if wire is not None:
        wire.send_next_alone()


def session_factory(
    bind: AsyncEngine | AsyncConnection,
    *,
    is_read_only: bool = False,
    lone_writes: bool = False,
    open_reads: bool = True,
    ready_plans: bool = True,
) -> async_sessionmaker[AsyncSession]:
    """Make the factory of the sessions that are lent.

    Attributes stay loaded after a commit: the values that the server made came back with the
    INSERT or UPDATE. On a connection that is inside a transaction already (in tests), a commit
    releases a savepoint.

    Args:
        bind: an `AsyncEngine`, or an `AsyncConnection`.
        is_read_only: refuse to flush.
        lone_writes: let a unit of work that is one statement commit as itself.
        open_reads: let plain reads go without a transaction.
        ready_plans: let those of asyncpg's go by ready plans.
    """
    return async_sessionmaker(
        bind,
        class_=AsyncSession,
        expire_on_commit=False,
        join_transaction_mode="create_savepoint",
        lone_writes=lone_writes,
        open_reads=open_reads,
        ready_plans=ready_plans,
        is_read_only=is_read_only,
        is_guarded=True,
    )


class LentSession:
    """A session lent for an `async with` block; what it leaves uncommitted is rolled back.

    Closing is shielded: a cancelled block gives its connection back all the same.

    Args:
        factory: from `session_factory`.

    Raises:
        UncommittedError: the block ended without an exception, but with work that nobody
            committed.
    """

    def __init__(self, factory: async_sessionmaker[AsyncSession]) -> None:
        self._session = factory()

    async def __aenter__(self) -> AsyncSession:
        return self._session

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        session = self._session
        try:
            if error is None:
                session.sync_session.refuse_uncommitted()
        finally:
            is_quiet = session.sync_session.is_quiet()
            session.sync_session.end()
            if not session.sync_session.starts:
                session.sync_session.close()
            elif is_quiet:
                await session.close()  # it waits for nothing, so nothing can cancel it
            else:
                await session.__aexit__(kind, error, traceback)


@contextmanager
def carrying_guard(session: SQLAlchemySession) -> Iterator[None]:
    """Send the block's statements without the check: they carry the guard, and the block judges it.

    Args:
        session: any; only `Database`'s know of a guard.
    """
    if not isinstance(session, Session) or session.guard() is None:
        yield
        return
    connection = borrowed_connection(session)
    with held(connection):
        wire = wire_connection_of(connection)
        if wire is None:
            yield
            return
        with wire.vouched_for():
            yield
        used = wire_connection_of(connection) or wire  # another one, where that was lost
        used.settle()


def _is_quiet(connection: Connection) -> bool:
    if is_returned(connection):
        return True
    if connection.closed or connection.invalidated:
        return False
    wire = wire_connection_of(connection)
    return wire is not None and wire.is_in_the_open


def _explain(what: str) -> str:
    return (
        f"the session ended without a commit after {what}; all of it was rolled back. "
        "Add `await session.commit()` before the handler returns, or `await session.rollback()` "
        "to drop the work on purpose."
    )
