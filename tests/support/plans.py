"""What requests really send to the tables of users and posts, and the plans of that."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event

from neonkit import Database


@dataclass
class Sent:
    """A statement of a request, with its parameters."""

    statement: str
    parameters: Any


Node = dict[str, Any]

_READS = re.compile(r"(?!EXPLAIN\b).*\b(?:FROM|JOIN) (?:users|posts)\b", re.DOTALL)


@contextmanager
def listening(db: Database) -> Iterator[list[Sent]]:
    """Collect what is sent to the tables of users and posts; what is only planned reads nothing."""
    sent: list[Sent] = []

    def note(_c: object, _k: object, statement: str, parameters: Any, *_: object) -> None:  # noqa: ANN401  # a driver's
        if _READS.match(statement):
            sent.append(Sent(statement, parameters))

    event.listen(db.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(db.engine.sync_engine, "before_cursor_execute", note)


async def explain(db: Database, sent: Sent) -> list[Node]:
    """The nodes of a statement's plan, as it was executed."""
    async with db.engine.connect() as connection:
        found = await connection.exec_driver_sql(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sent.statement}", sent.parameters
        )
        plan = found.scalar_one()
    [whole] = json.loads(plan) if isinstance(plan, str) else plan
    return list(_nodes(whole["Plan"]))


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)


def buffers(nodes: list[Node]) -> int:
    """How many pages the whole plan looked at."""
    return int(nodes[0]["Shared Hit Blocks"] + nodes[0]["Shared Read Blocks"])
