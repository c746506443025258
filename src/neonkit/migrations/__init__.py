"""Alembic for SQLModel tables: revisions from the models, applied once by any number of replicas.

Revisions are Alembic's own, in `migrations/versions` beside the app's module, counted in Alembic's
own table `alembic_version`; there is no `env.py` to keep. What they make is compared with what the
models say as PostgreSQL's own catalogue has both.
"""

from neonkit._public_names import show_public_names
from neonkit.migrations._adoption import Adoption, adopt, carry_over
from neonkit.migrations._backfill import backfill
from neonkit.migrations._comparison.plan import Plan
from neonkit.migrations._comparison.renames import Rename
from neonkit.migrations._errors import reason_of
from neonkit.migrations._following import Followed, follow
from neonkit.migrations._lint.findings import DangerousMigrationError, Finding
from neonkit.migrations._rehearsal import Rehearsed, rehearse
from neonkit.migrations._running.upgrade import downgrade, lint, upgrade, upgrade_schema
from neonkit.migrations._running.versions import (
    Revision,
    list_revisions,
    merge_heads,
    stamp,
    upgrade_sql,
)
from neonkit.migrations._standing import Standing, standing_of
from neonkit.migrations._writing.for_alembic import run_for_alembic, write_for_alembic
from neonkit.migrations._writing.revisions import (
    Draft,
    compare,
    complete,
    difference,
    draft_revision,
    make_revision,
    write_draft,
    write_empty,
)

__all__ = [
    "Adoption",
    "DangerousMigrationError",
    "Draft",
    "Finding",
    "Followed",
    "Plan",
    "Rehearsed",
    "Rename",
    "Revision",
    "Standing",
    "adopt",
    "backfill",
    "carry_over",
    "compare",
    "complete",
    "difference",
    "downgrade",
    "draft_revision",
    "follow",
    "lint",
    "list_revisions",
    "make_revision",
    "merge_heads",
    "reason_of",
    "rehearse",
    "run_for_alembic",
    "stamp",
    "standing_of",
    "upgrade",
    "upgrade_schema",
    "upgrade_sql",
    "write_draft",
    "write_empty",
    "write_for_alembic",
]

show_public_names(__name__)
