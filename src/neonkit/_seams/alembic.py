"""The inside of Alembic: the revisions between two points of a history."""

from collections.abc import Iterable
from typing import Final

from alembic.runtime.migration import RevisionStep
from alembic.script import ScriptDirectory

from neonkit._seams.record import Seam

__all__ = ["SEAMS", "steps_back", "steps_to"]


def steps_to(
    script: ScriptDirectory, head: str, current: tuple[str, ...]
) -> Iterable[RevisionStep]:
    """The steps that lead from the revisions which a database has to `head`, oldest first."""
    return script._upgrade_revs(head, current)  # type: ignore[arg-type]  # several, as its own `upgrade` gives


def steps_back(
    script: ScriptDirectory, target: str, current: tuple[str, ...]
) -> Iterable[RevisionStep]:
    """The steps that lead from the revisions which a database has back to `target`, newest first.

    Args:
        script: the history.
        target: a revision, `base`, or a number of steps such as `-1`.
        current: the revisions that the database has.
    """
    return script._downgrade_revs(target, current)  # type: ignore[arg-type]  # as above


SEAMS: Final = (
    Seam(
        "alembic.script:ScriptDirectory",
        "_upgrade_revs",
        "(self, destination, current_rev)",
        "`neonkit migrate` fails, and so does the start in development",
    ),
    Seam(
        "alembic.script:ScriptDirectory",
        "_downgrade_revs",
        "(self, destination, current_rev)",
        "`neonkit downgrade` fails",
    ),
)
