"""What a query is, as text: alike in every process, whatever objects it was built from."""

from hashlib import sha256
from typing import Any

from sqlalchemy import Select
from sqlalchemy.dialects import postgresql
from sqlalchemy.util import LRUCache

DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's

_RENDERED: LRUCache[Any, str] = LRUCache(500)


def render(statement: Select[*tuple[Any, ...]]) -> tuple[str, list[Any]]:
    """The SQL of a statement, rendered once for all statements of its shape, and its values."""
    key = statement._generate_cache_key()  # noqa: SLF001  # as SQLAlchemy's caching examples do
    if key is None:
        compiled = statement.compile(dialect=DIALECT)
        return str(compiled), sorted(compiled.params.items())
    sql = _RENDERED.get(key.key)
    if sql is None:
        sql = _RENDERED[key.key] = str(statement.compile(dialect=DIALECT))
    return sql, [parameter.effective_value for parameter in key.bindparams]


def fingerprint(statement: Select[*tuple[Any, ...]], order: str) -> bytes:
    """What a cursor is bound to: the statement, its values and its order."""
    text = repr((order, *render(statement)))
    return sha256(text.encode("utf-8", "surrogatepass")).digest()
