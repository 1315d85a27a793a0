"""What finds the slow requests of a list in its index alone."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

PAGE = "id at_us service disposition release model key team error_code"


def upgrade() -> None:
    op.drop_index("records_page", "records")
    op.create_index("records_page", "records", [*PAGE.split(), "latency_us"])


def downgrade() -> None:
    op.drop_index("records_page", "records")
    op.create_index("records_page", "records", PAGE.split())
