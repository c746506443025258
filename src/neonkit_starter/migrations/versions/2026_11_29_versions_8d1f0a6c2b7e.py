"""Versions of users and posts."""

import sqlalchemy as sa
from alembic import op

revision = "8d1f0a6c2b7e"
down_revision = "4ad94c10d50e"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply it."""
    for table in ("users", "posts"):
        version = sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False)
        op.add_column(table, version)


def downgrade() -> None:
    """Take it back."""
    for table in ("posts", "users"):
        op.drop_column(table, "version")
