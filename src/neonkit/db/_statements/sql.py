"""Statements written as SQL: one text with named steps, that keys and conditions go around."""

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import CTE, ColumnElement, Select, column, select, text
from sqlalchemy.types import TypeEngine

from neonkit.errors import ConfigurationError

_TOKEN = re.compile(
    r"""
    (?P<skipped>--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    |(?P<open>\()|(?P<close>\))|(?P<comma>,)|(?P<word>[A-Za-z_]\w*)
    """,
    re.VERBOSE | re.DOTALL,
)
_STEP = re.compile(
    r"\s*(?:(?:--[^\n]*\n|/\*.*?\*/)\s*)*(\w+)\s+AS\s+(?:(?:NOT\s+)?MATERIALIZED\s+)?\((.*)\)\s*"
    r"(?:--[^\n]*\s*)*\Z",
    re.IGNORECASE | re.DOTALL,
)
_FORM = "write it as WITH step AS (…), … SELECT …: {}"


def sql_statement(
    sql: str, **columns: type[TypeEngine[Any]] | TypeEngine[Any]
) -> Select[*tuple[Any, ...]]:
    r"""Make a statement of SQL text that `Database.execute` can put a key and conditions around.

        CLOSE = sql_statement(
            '''
            WITH account AS (
              -- the caller's own, locked
              SELECT id FROM accounts WHERE id = :account FOR NO KEY UPDATE
            ), closed AS (
              UPDATE accounts SET status = 'closed' FROM account WHERE … RETURNING accounts.id
            )
            SELECT id FROM closed
            ''',
            id=Integer,
        )

    PostgreSQL takes steps that write at the top of a statement only, and so does a key: the steps
    are told apart here, and stand beside the key's. `:name` is a parameter.

    Args:
        sql: `WITH` some steps, and the `SELECT` that answers. A colon that is none of a parameter's
            is written `\:`.
        **columns: of the answer, in its order, with their types.

    Raises:
        ConfigurationError: the text has another form.
    """
    *steps, answer = _parts(sql)
    typed: list[ColumnElement[Any]] = [column(name, kind) for name, kind in columns.items()]
    answered = text(answer).columns(*typed).subquery("neonkit_answer")
    statement: Select[*tuple[Any, ...]] = select(*answered.c).add_cte(*map(_step, steps))
    return statement


def _step(part: str) -> CTE:
    found = _STEP.match(part)
    if found is None:
        raise ConfigurationError(_FORM.format(f"{part.strip()[:60]!r} is no step"))
    name, body = found.groups()
    return text(body).columns(column("neonkit_nothing")).cte(name)


def _parts(sql: str) -> list[str]:
    """The steps, then the SELECT that answers."""
    marks = list(_marks(sql))
    if not marks or marks[0][0] != "WITH":
        raise ConfigurationError(_FORM.format("it does not begin with WITH"))
    if marks[-1][0] != "SELECT":
        raise ConfigurationError(_FORM.format("no SELECT follows the steps"))
    ends = [start for _, start, _ in marks[1:]]
    starts = [end for _, _, end in marks[:-1]]
    steps = [sql[start:end] for start, end in zip(starts, ends, strict=True)]
    return [*steps, sql[marks[-1][1] :]]


def _marks(sql: str) -> Iterator[tuple[str, int, int]]:
    """WITH, each comma between steps, and the SELECT after them, outside of any bracket."""
    depth = 0
    for token in _TOKEN.finditer(sql):
        kind, word = token.lastgroup, token.group().upper()
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth -= 1
        elif depth == 0 and (kind == "comma" or word in {"WITH", "SELECT"}):
            yield word, token.start(), token.end()
            if word == "SELECT":
                return
