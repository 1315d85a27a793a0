"""What webhooks are to be told, and how that went."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

IS_OPEN = sa.text("delivered_at_us IS NULL AND given_up_at_us IS NULL")
OPEN = {"deliveries_next": ["webhook", "seq"], "deliveries_open": ["webhook", "subject", "seq"]}


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("webhook", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.Column("next_try_us", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("last_try_us", sa.BigInteger),
        sa.Column("last_status", sa.SmallInteger),
        sa.Column("last_error", sa.Text, nullable=False),
        sa.Column("delivered_at_us", sa.BigInteger),
        sa.Column("given_up_at_us", sa.BigInteger),
    )
    op.create_index("deliveries_webhook", "deliveries", ["webhook", "seq"])
    for name, columns in OPEN.items():
        op.create_index(name, "deliveries", columns, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN)


def downgrade() -> None:
    op.drop_table("deliveries")
