"""Search: text found literally and without case, in a way that trigram indexes serve."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import DDL, ColumnElement, ColumnExpressionArgument, Index, Table, event, or_
from sqlalchemy.sql.elements import quoted_name

from neonkit.errors import FieldProblem, RequestInvalidError
from neonkit.resources._order import element_of

_TRIGRAM = 3
_WILDCARDS = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_"})


def found_in(columns: Sequence[ColumnExpressionArgument[Any]], q: str) -> ColumnElement[bool]:
    """Whether one of the columns contains `q`; case folds as the database's locale folds it.

    Raises:
        RequestInvalidError: there is no column to search.
    """
    if not columns:
        message = "this list cannot be searched"
        raise RequestInvalidError(errors=[FieldProblem("/query/q", "q", message)])
    pattern = f"%{escape(q)}%"
    return or_(*(element_of(column).ilike(pattern, escape="\\") for column in columns))


def escape(text: str) -> str:
    r"""Take the meaning from LIKE's `%`, `_` and `\`."""
    return text.translate(_WILDCARDS)


def has_trigram(q: str | None) -> bool:
    """Whether `q` is long enough for a trigram index."""
    return q is not None and len(q) >= _TRIGRAM


def search_index(*columns: str) -> Index:
    """Declare the index that a search over these text columns needs, in `__table_args__`.

    One GIN index of trigrams (extension `pg_trgm`) serves any of its columns; when one searched
    column is missing, the whole search reads the table. Searches shorter than three characters, or
    without letters and digits, have no trigram. `create_all` also makes the extension; a migration
    does it with `CREATE EXTENSION IF NOT EXISTS pg_trgm`.

    Args:
        columns: names of text columns.
    """
    operators = dict.fromkeys(columns, "gin_trgm_ops")
    index = Index(None, *columns, postgresql_using="gin", postgresql_ops=operators)
    event.listen(index, "before_parent_attach", _settle)
    return index


def _settle(index: Index, table: Table) -> None:
    # an index of the same first column may have the conventional name already
    index.name = quoted_name(f"ix_{table.name}_search", quote=None)
    extension = DDL("CREATE EXTENSION IF NOT EXISTS pg_trgm")  # type: ignore[no-untyped-call]  # SQLAlchemy's
    event.listen(table, "before_create", extension.execute_if(dialect="postgresql"))
