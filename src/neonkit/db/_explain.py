"""What the planner expects of a statement, without executing it."""

from typing import Any

from sqlalchemy import Executable, Select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

PREFIX = "EXPLAIN (FORMAT JSON) "


class Explain(Executable, ClauseElement):
    """A statement whose one row is the plan of another, as PostgreSQL's JSON.

    Args:
        statement: what is planned.
    """

    inherit_cache = False

    def __init__(self, statement: Select[*tuple[Any, ...]]) -> None:
        self.statement = statement


@compiles(Explain)
def _compile(element: Explain, compiler: SQLCompiler, **options: Any) -> str:
    return f"{PREFIX}{compiler.process(element.statement, **options)}"
