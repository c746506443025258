"""Orphans: rows whose keys the ORM took away because the row that they refer to was to go."""

from sqlalchemy.orm import UOWTransaction

from neonkit.db._faults.refused_values import frames_of


def is_orphaned(exc: BaseException, table: str | None, column: str | None) -> bool:
    """True of a NOT NULL violation of a key that the ORM itself set to NULL, to delete its owner.

    The server sees an UPDATE like any other; only the flush, which the exception came through,
    knows that a row was to be deleted that the column refers to.

    Args:
        exc: the exception, with its traceback.
        table: the table that the server names.
        column: the column that it names.
    """
    for frame in frames_of(exc):
        flush = frame.f_locals.get("flush_context")
        if isinstance(flush, UOWTransaction):
            return any(
                key.column.table in state.mapper.tables
                for state, (is_deleted, is_listed) in flush.states.items()
                if is_deleted and not is_listed
                for owned in state.mapper.local_table.metadata.tables.values()
                if owned.name == table and column in owned.columns
                for key in owned.columns[column].foreign_keys
            )
    return False
