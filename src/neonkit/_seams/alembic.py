"""The inside of Alembic: the revisions between two points of a history."""

from collections.abc import Iterable
from typing import Final

from alembic.runtime.migration import RevisionStep
from alembic.script import ScriptDirectory

from neonkit._seams.record import Seam

__all__ = ["SEAMS", "steps_to"]


def steps_to(
    script: ScriptDirectory, head: str, current: tuple[str, ...]
) -> Iterable[RevisionStep]:
    """The steps that lead from the revisions which a database has to `head`, oldest first."""
    return script._upgrade_revs(head, current)  # type: ignore[arg-type]  # several, as its own `upgrade` gives


SEAMS: Final = (
    Seam(
        "alembic.script:ScriptDirectory",
        "_upgrade_revs",
        "(self, destination, current_rev)",
        "`neonkit migrate` fails, and so does the start in development",
    ),
)
