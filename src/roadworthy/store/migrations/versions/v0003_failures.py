"""What adds up a month of failures without reading the rows of the rollups."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_index(
        "rollups_failures",
        "rollups",
        ["by", "service", "hour_us", "requests", "failed"],
        sqlite_where=sa.text("\"by\" = 'all'"),
        postgresql_where=sa.text("\"by\" = 'all'"),
    )


def downgrade() -> None:
    op.drop_index("rollups_failures")
