"""${title if title is not UNDEFINED else message}.
% if words is not UNDEFINED and words:

${words}
% endif
"""

from alembic import op

revision = "${up_revision}"
down_revision = ${repr(down_revision).replace("'", '"')}
branch_labels = ${repr(branch_labels).replace("'", '"')}
depends_on = ${repr(depends_on).replace("'", '"')}


def upgrade() -> None:
    """Apply it."""
${upgrades if upgrades else "    pass"}


def downgrade() -> None:
    """Take it back."""
${downgrades if downgrades else "    pass"}
