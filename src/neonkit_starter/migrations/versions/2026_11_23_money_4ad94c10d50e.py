"""Money."""

import sqlalchemy as sa
from alembic import op

revision = "4ad94c10d50e"
down_revision = "fa6e4f1b1034"
branch_labels = None
depends_on = None

REFUSE_HALF_A_TRANSFER = """
CREATE OR REPLACE FUNCTION refuse_half_a_transfer() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  transfer integer := CASE TG_TABLE_NAME WHEN 'transfers' THEN NEW.id
                      ELSE (to_jsonb(NEW) ->> 'transfer_id')::integer END;
BEGIN
  IF transfer IS NOT NULL AND (
    SELECT array_agg((entry.account_id, entry.amount) ORDER BY entry.amount)
    FROM entries AS entry WHERE entry.transfer_id = transfer
  ) IS DISTINCT FROM (
    SELECT ARRAY[(from_account_id, -amount), (to_account_id, amount)]
    FROM transfers WHERE id = transfer
  ) THEN
    RAISE EXCEPTION 'a transfer has one entry that pays and one that receives'
      USING ERRCODE = 'check_violation', TABLE = 'entries', CONSTRAINT = 'ck_entries_two_halves';
  END IF;
  RETURN NULL;
END $$
"""


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "accounts",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("balance", sa.Numeric(precision=17, scale=2), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "open",
                "closed",
                name=op.f("ck_accounts_status"),
                native_enum=False,
                create_constraint=True,
            ),
            nullable=False,
        ),
        sa.Column(
            "last_version",
            sa.Integer(),
            sa.Computed("nullif(version, 0)", persisted=True),
            nullable=True,
        ),
        sa.CheckConstraint(
            "length(currency) = 3 AND currency = upper(currency)",
            name=op.f("ck_accounts_currency_code"),
        ),
        sa.CheckConstraint(
            "status = 'open' OR balance = 0", name=op.f("ck_accounts_closed_is_empty")
        ),
        sa.CheckConstraint("balance >= 0", name=op.f("ck_accounts_balance_not_negative")),
        sa.CheckConstraint(
            "version > 0 OR balance = 0", name=op.f("ck_accounts_nothing_from_nothing")
        ),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_accounts_owner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
    )
    op.create_index(op.f("ix_accounts_owner_id_id"), "accounts", ["owner_id", "id"], unique=False)
    op.create_table(
        "transfers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("from_account_id", sa.Integer(), nullable=False),
        sa.Column("to_account_id", sa.Integer(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=17, scale=2), nullable=False),
        sa.Column("caller_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_transfers_amount_above_zero")),
        sa.CheckConstraint(
            "from_account_id <> to_account_id", name=op.f("ck_transfers_two_accounts")
        ),
        sa.ForeignKeyConstraint(["caller_id"], ["users.id"], name=op.f("fk_transfers_caller_id")),
        sa.ForeignKeyConstraint(
            ["from_account_id"], ["accounts.id"], name=op.f("fk_transfers_from_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["to_account_id"], ["accounts.id"], name=op.f("fk_transfers_to_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfers")),
        sa.UniqueConstraint("caller_id", "key", name=op.f("uq_transfers_caller_id_key")),
    )
    op.create_index(
        op.f("ix_transfers_from_account_id"), "transfers", ["from_account_id"], unique=False
    )
    op.create_index(
        op.f("ix_transfers_to_account_id"), "transfers", ["to_account_id"], unique=False
    )
    op.create_table(
        "entries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("transfer_id", sa.Integer(), nullable=True),
        sa.Column("amount", sa.Numeric(precision=17, scale=2), nullable=False),
        sa.Column("balance_before", sa.Numeric(precision=17, scale=2), nullable=False),
        sa.Column("balance_after", sa.Numeric(precision=17, scale=2), nullable=False),
        sa.Column(
            "previous_version",
            sa.Integer(),
            sa.Computed("nullif(version - 1, 0)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "balance_after = balance_before + amount", name=op.f("ck_entries_adds_up")
        ),
        sa.CheckConstraint("balance_after >= 0", name=op.f("ck_entries_balance_not_negative")),
        sa.CheckConstraint(
            "transfer_id IS NOT NULL OR amount > 0", name=op.f("ck_entries_deposit_above_zero")
        ),
        sa.CheckConstraint(
            "version > 1 OR (version = 1 AND balance_before = 0)", name=op.f("ck_entries_begins")
        ),
        sa.ForeignKeyConstraint(
            ["account_id", "previous_version", "balance_before"],
            ["entries.account_id", "entries.version", "entries.balance_after"],
            name="fk_entries_previous",
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_entries_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["transfer_id"], ["transfers.id"], name=op.f("fk_entries_transfer_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entries")),
        sa.UniqueConstraint(
            "account_id",
            "version",
            "balance_after",
            name=op.f("uq_entries_account_id_version_balance_after"),
        ),
        sa.UniqueConstraint("account_id", "version", name=op.f("uq_entries_account_id_version")),
        sa.UniqueConstraint(
            "transfer_id", "account_id", name=op.f("uq_entries_transfer_id_account_id")
        ),
    )
    op.create_foreign_key(
        "fk_accounts_last_entry",
        "accounts",
        "entries",
        ["id", "last_version", "balance"],
        ["account_id", "version", "balance_after"],
    )
    op.execute(REFUSE_HALF_A_TRANSFER)
    for table in ("transfers", "entries"):
        op.execute(
            f"CREATE TRIGGER two_halves AFTER INSERT OR UPDATE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_half_a_transfer()"
        )


def downgrade() -> None:
    """Take it back."""
    op.drop_constraint("fk_accounts_last_entry", "accounts")
    op.drop_table("entries")
    op.drop_index(op.f("ix_transfers_to_account_id"), table_name="transfers")
    op.drop_index(op.f("ix_transfers_from_account_id"), table_name="transfers")
    op.drop_table("transfers")
    op.drop_index(op.f("ix_accounts_owner_id_id"), table_name="accounts")
    op.drop_table("accounts")
    op.execute("DROP FUNCTION refuse_half_a_transfer")
