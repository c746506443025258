"""Search: text found literally and without case, in a way that trigram indexes serve."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    DDL,
    Boolean,
    ColumnElement,
    Index,
    String,
    Table,
    and_,
    bindparam,
    event,
    or_,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import quoted_name
from sqlalchemy.sql.functions import FunctionElement

from neonkit.errors import FieldProblem, RequestInvalidError

_PATTERN = "neonkit_q"
_TRIGRAM = 3
_WILDCARDS = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_"})


def found_in(columns: Sequence[ColumnElement[Any]], *, is_long: bool) -> ColumnElement[bool]:
    """True of a row one of whose columns has the pattern; case folds as the database's locale does.

    Args:
        columns: those that are searched.
        is_long: true where the pattern has a trigram, as `has_trigram` tells.

    Raises:
        RequestInvalidError: there is no column to search.
    """
    if not columns:
        message = "this list cannot be searched"
        raise RequestInvalidError(errors=[FieldProblem("/query/q", "q", message)])
    pattern = bindparam(_PATTERN, type_=String)
    found = or_(*(column.ilike(pattern, escape="\\") for column in columns))
    return and_(found, _CostlyToScan(columns[0])) if is_long else found


def pattern_of(q: str) -> dict[str, str]:
    """The parameter of `found_in`."""
    return {_PATTERN: f"%{escape(q)}%"}


class _CostlyToScan(FunctionElement[bool]):
    """A condition that is always true and costly to the planner, so that it picks the index.

    The planner's estimate of an index scan grows with the trigrams that it looks up, so that in a
    small table it would rather read every row for a long `q`. `to_tsvector` has a cost of 100: a
    scan is charged for it in each row, an index only for the rows that it finds. These alone
    evaluate it, on an empty text.
    """

    type = Boolean()
    inherit_cache = True


@compiles(_CostlyToScan)
def _always(element: _CostlyToScan, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.clauses, **options)
    return f"to_tsvector('simple'::regconfig, coalesce(left({column}, 0), '')) IS NOT NULL"


@compiles(_CostlyToScan, "sqlite")
def _always_on_sqlite(_element: _CostlyToScan, _compiler: SQLCompiler, **_options: Any) -> str:
    return "1"


def escape(text: str) -> str:
    r"""Take the meaning from LIKE's `%`, `_` and `\`."""
    return text.translate(_WILDCARDS)


def has_trigram(q: str | None) -> bool:
    """True of a `q` that is long enough for a trigram index."""
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
    extension = DDL("CREATE EXTENSION IF NOT EXISTS pg_trgm")  # type: ignore[no-untyped-call]
    event.listen(table, "before_create", extension.execute_if(dialect="postgresql"))
