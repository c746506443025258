"""Missing rows: those that a client asked for by their key."""

from sqlalchemy.exc import NoResultFound

_MARK = "neonkit_is_missing_row"


def mark_missing(error: NoResultFound) -> None:
    """Note that an error is about a row that was asked for by its key.

    One that a result's `one()` raises may be a defect of the handler's, and its class is the same.
    """
    setattr(error, _MARK, True)


def is_missing_row(error: BaseException) -> bool:
    """True if it was noted so."""
    return getattr(error, _MARK, False)
