"""What an engine of ours sends, without a wire in between."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

import asyncpg
from asyncpg.connection import LoggedQuery
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from neonkit.db import listen, unlisten


@contextmanager
def collecting(engine: AsyncEngine) -> Iterator[list[str]]:
    """Collect the first word of all that is sent: what SQLAlchemy executes, and what it begins."""
    words: list[str] = []

    def note(query: LoggedQuery) -> None:
        words.append(query.query.split()[0].rstrip(";"))

    def hear(adapted: Any, *_: object) -> None:  # noqa: ANN401  # SQLAlchemy's, of any driver
        connection: Any = adapted.driver_connection
        if isinstance(connection, asyncpg.Connection):
            connection.add_query_logger(note)
            return
        send, flight = type(connection).send, type(connection).flight

        async def hear_send(command: str) -> object:
            words.append(command.split(maxsplit=1)[0].rstrip(";"))
            answer: object = await send(connection, command)
            return answer

        def hear_flight(before: Sequence[str] = ()) -> AbstractAsyncContextManager[None]:
            words.extend(each.split()[0] for each in before if not each.startswith("SET"))
            flying: AbstractAsyncContextManager[None] = flight(connection, before)
            return flying

        connection.send, connection.flight = hear_send, hear_flight

    def forget(adapted: Any, _record: object) -> None:  # noqa: ANN401  # the same
        if adapted is None:
            return
        connection: Any = adapted.driver_connection
        if isinstance(connection, asyncpg.Connection):
            connection.remove_query_logger(note)
        else:
            del connection.send, connection.flight

    def execute(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        words.append(statement.split(maxsplit=1)[0])

    pool = engine.sync_engine.pool
    event.listen(pool, "checkout", hear)
    event.listen(pool, "checkin", forget)
    listen(engine.sync_engine, "after_cursor_execute", execute)
    yield words
    event.remove(pool, "checkout", hear)
    event.remove(pool, "checkin", forget)
    unlisten(engine.sync_engine, "after_cursor_execute", execute)
