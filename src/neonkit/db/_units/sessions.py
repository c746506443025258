"""Sessions lent for one unit of work, and how they end."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker
from sqlalchemy.orm import SessionTransaction, SessionTransactionOrigin
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.orm.session import Session

from neonkit.db._units.lone_writes import why_not_alone
from neonkit.db._units.uncommitted_writes import depth_of, has_written, starts_of
from neonkit.db._wire.connection import send_alone, wait_with_begin, wire_connection_of
from neonkit.errors import CommitNotYoursError, ReadOnlySessionError, UncommittedError

_IS_ALONE = "neonkit.is_alone"
_LONE_WRITES = "neonkit.lone_writes"
_COMMITS = "neonkit.commits"
_READS_ONLY = "neonkit.reads_only"
_LEFT_TO_US = "neonkit.left_to_us"


class _UnitOfWork(Session):
    """SQLModel's session, which remembers where on each connection its own work began."""

    def commit(self) -> None:
        """Commit, unless whoever lent the session does it.

        Raises:
            CommitNotYoursError: inside of `run_transaction`.
        """
        if self.info.get(_LEFT_TO_US):
            raise CommitNotYoursError
        if not self.info[_LONE_WRITES] or not _has_changes(self):
            super().commit()
            return
        self.info[_COMMITS] = True
        is_last = _is_last(self)
        if not is_last:
            event.listen(self, "before_flush", _go_alone_at_last)
        try:
            super().commit()
        finally:
            if not is_last:
                event.remove(self, "before_flush", _go_alone_at_last)
            self.info.pop(_IS_ALONE, None)
            self.info.pop(_COMMITS, None)


def _is_last(session: Session) -> bool:
    """Whether our listener of every session is the last to hear of a flush."""
    return [None, *session.dispatch.before_flush][-1] is _go_alone


@event.listens_for(_UnitOfWork, "before_flush")
def _refuse_flush(session: Session, _context: object, _instances: object) -> None:
    if session.info.get(_READS_ONLY) and _has_changes(session):
        raise ReadOnlySessionError


@event.listens_for(_UnitOfWork, "before_flush")
def _go_alone(session: Session, context: object, instances: object) -> None:
    """Let the flush of a commit go alone, unless somebody else hears of it after us."""
    if session.info.get(_COMMITS) and _is_last(session):
        _go_alone_at_last(session, context, instances)


def _go_alone_at_last(session: Session, _context: object, _instances: object) -> None:
    """Let what this flush is about to send commit as itself, if it is one statement."""
    if why_not_alone(session) is not None:
        return
    session.info[_IS_ALONE] = True  # for a connection that is still to come
    for connection in starts_of(session):
        send_alone(connection)


@event.listens_for(_UnitOfWork, "after_begin")
def _remember_start(
    session: Session, _transaction: SessionTransaction, connection: Connection
) -> None:
    starts_of(session).setdefault(connection, depth_of(connection))
    whole = session.get_transaction()
    if whole is not None and whole.origin is SessionTransactionOrigin.AUTOBEGIN:
        wait_with_begin(connection)
    if session.info.pop(_IS_ALONE, False):
        send_alone(connection)


@event.listens_for(_UnitOfWork, "after_transaction_end")
def _forget_start(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        starts_of(session).clear()


def session_factory(
    bind: AsyncEngine | AsyncConnection, *, is_read_only: bool = False, lone_writes: bool = False
) -> async_sessionmaker[AsyncSession]:
    """Make the factory of the sessions that are lent.

    Attributes stay loaded after a commit: the values that the server made came back with the
    INSERT or UPDATE. On a connection that is inside a transaction already (in tests), a commit
    releases a savepoint.

    Args:
        bind: an `AsyncEngine`, or an `AsyncConnection`.
        is_read_only: refuse to flush.
        lone_writes: let a unit of work that is one statement commit as itself.
    """
    return async_sessionmaker(
        bind,
        class_=AsyncSession,
        sync_session_class=_UnitOfWork,
        expire_on_commit=False,
        join_transaction_mode="create_savepoint",
        info={_READS_ONLY: is_read_only, _LONE_WRITES: lone_writes},
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
                refuse_uncommitted(session)
        finally:
            if all(map(_is_quiet, starts_of(session.sync_session))):
                await session.close()  # it waits for nothing, so nothing can cancel it
            else:
                await session.__aexit__(kind, error, traceback)


def _is_quiet(connection: Connection) -> bool:
    """Whether nothing has to be said to the server to give a connection back."""
    if connection.closed or connection.invalidated:
        return False
    adapted = wire_connection_of(connection)
    return adapted is not None and adapted.is_in_the_open


@contextmanager
def leave_commit_to_us(session: AsyncSession) -> Iterator[None]:
    """Refuse commits in the block."""
    session.info[_LEFT_TO_US] = True
    try:
        yield
    finally:
        del session.info[_LEFT_TO_US]


def refuse_uncommitted(session: AsyncSession) -> None:
    """Raise `UncommittedError` where the session holds rows that no commit has covered."""
    sync = session.sync_session
    if _has_changes(sync):
        raise UncommittedError(_explain("objects were added, changed or deleted"))
    if any(has_written(connection, since) for connection, since in starts_of(sync).items()):
        raise UncommittedError(_explain("statements that write were executed"))


def _has_changes(session: Session) -> bool:
    return bool(
        session.new or session.deleted or any(session.is_modified(row) for row in session.dirty)
    )


def _explain(what: str) -> str:
    return (
        f"the session ended without a commit after {what}; all of it was rolled back. "
        "Add `await session.commit()` before the handler returns, or `await session.rollback()` "
        "to drop the work on purpose."
    )
