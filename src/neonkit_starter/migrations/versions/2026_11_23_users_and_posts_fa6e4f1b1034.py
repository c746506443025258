"""Users and posts."""

import sqlalchemy as sa
from alembic import op

revision = "fa6e4f1b1034"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply it."""
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.create_table(
        "users",
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("username", sa.String(length=50), nullable=False),
        sa.Column("email", sa.String(length=100), nullable=False),
        sa.Column("hashed_password", sa.String(), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "user",
                "moderator",
                "admin",
                name=op.f("ck_users_role"),
                native_enum=False,
                create_constraint=True,
            ),
            nullable=False,
        ),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
    )
    op.create_index(op.f("ix_users_created_at_id"), "users", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_users_is_active_id"), "users", ["is_active", "id"], unique=False)
    op.create_index(op.f("ix_users_role_id"), "users", ["role", "id"], unique=False)
    op.create_index(
        "ix_users_search",
        "users",
        ["username", "email"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"username": "gin_trgm_ops", "email": "gin_trgm_ops"},
    )
    op.create_index(op.f("ix_users_username_id"), "users", ["username", "id"], unique=False)
    op.create_index("ux_users_email", "users", [sa.literal_column("lower(email)")], unique=True)
    op.create_index(
        "ux_users_username", "users", [sa.literal_column("lower(username)")], unique=True
    )
    op.create_table(
        "posts",
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("author_id", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["author_id"], ["users.id"], name=op.f("fk_posts_author_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_posts")),
    )
    op.create_index(
        op.f("ix_posts_author_id_created_at_id"),
        "posts",
        ["author_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(op.f("ix_posts_created_at_id"), "posts", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_posts_search",
        "posts",
        ["title", "content"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"title": "gin_trgm_ops", "content": "gin_trgm_ops"},
    )
    op.create_index(op.f("ix_posts_title_id"), "posts", ["title", "id"], unique=False)


def downgrade() -> None:
    """Take it back."""
    op.drop_index(op.f("ix_posts_title_id"), table_name="posts")
    op.drop_index(
        "ix_posts_search",
        table_name="posts",
        postgresql_using="gin",
        postgresql_ops={"title": "gin_trgm_ops", "content": "gin_trgm_ops"},
    )
    op.drop_index(op.f("ix_posts_created_at_id"), table_name="posts")
    op.drop_index(op.f("ix_posts_author_id_created_at_id"), table_name="posts")
    op.drop_table("posts")
    op.drop_index("ux_users_username", table_name="users")
    op.drop_index("ux_users_email", table_name="users")
    op.drop_index(op.f("ix_users_username_id"), table_name="users")
    op.drop_index(
        "ix_users_search",
        table_name="users",
        postgresql_using="gin",
        postgresql_ops={"username": "gin_trgm_ops", "email": "gin_trgm_ops"},
    )
    op.drop_index(op.f("ix_users_role_id"), table_name="users")
    op.drop_index(op.f("ix_users_is_active_id"), table_name="users")
    op.drop_index(op.f("ix_users_created_at_id"), table_name="users")
    op.drop_table("users")
