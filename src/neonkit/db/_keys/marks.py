"""Marks: keys that the server makes for a transaction, to find out whether it was committed."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from secrets import token_hex
from typing import Generic, TypeVar

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from neonkit.db._faults.classification import fault_of
from neonkit.db._faults.sqlstates import FaultKind
from neonkit.db._units.sessions import AsyncSession
from neonkit.db._wire.phases import Opening
from neonkit.errors import OutcomeUnknownError

Answer = TypeVar("Answer")

# It travels with BEGIN, as text: what stands in it was made here. A request is over long before its
# mark is forgotten.
_LEAVE = """
WITH expired AS (
  DELETE FROM neonkit.keys WHERE ctid IN (
    SELECT ctid FROM neonkit.keys WHERE expires_at <= now() LIMIT 10 FOR UPDATE SKIP LOCKED
  )
)
INSERT INTO neonkit.keys (scope, key, fingerprint, answer, expires_at)
VALUES ('', '{mark}', '', '', now() + interval '10 minutes')
"""
_BEGIN = text("SELECT")


class MarkedUnit(Generic[Answer]):
    """A function of a session whose transaction leaves a mark.

    After a lost COMMIT it is run again under the same mark: where that is there, it has happened,
    and what the function returned the first time is the answer.

    Args:
        lend: lends a session.
        work: the function.
    """

    def __init__(
        self,
        lend: Callable[[], AbstractAsyncContextManager[AsyncSession]],
        work: Callable[[AsyncSession], Awaitable[Answer]],
    ) -> None:
        self._lend = lend
        self._work = work
        self._mark = token_hex(16)
        self._lost: list[Answer] = []

    async def run(self) -> Answer:
        """Run the function and commit, unless that turns out to have happened."""
        async with self._lend() as session:
            opening = session.sync_session.opening = Opening(_LEAVE.format(mark=self._mark))
            if self._lost:
                if await self._has_happened(session):
                    return self._lost[0]
                self._lost.clear()
            with session.sync_session.leave_commit_to_us():
                made = await self._work(session)
            try:
                await session.commit()
            except OutcomeUnknownError:
                if opening.is_sent:
                    self._lost.append(made)
                raise
            return made

    def is_certain(self, _error: Exception) -> bool:
        """True if no attempt can have been committed, so that an error is the answer."""
        return not self._lost

    async def _has_happened(self, session: AsyncSession) -> bool:
        """Begin the transaction, before the function can take the mark for a duplicate of its own.

        It waits for an attempt that has not ended yet, up to LOCK_TIMEOUT.
        """
        connection = await session.connection()
        try:
            await connection.execute(_BEGIN)
        except DBAPIError as error:
            fault = fault_of(error)
            if fault is None or (fault.kind, fault.table) != (FaultKind.DUPLICATE, "keys"):
                raise
            await session.rollback()
            return True
        return False
