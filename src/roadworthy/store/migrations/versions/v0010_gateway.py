"""What a gateway learns of its models: pairs of answers, hourly sums of tries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

COUNTS = tuple(
    "attempts retries us input_tokens output_tokens cached_tokens cache_write_tokens "  # noqa: SIM905
    "reasoning_tokens cost_micro repaired reasked cut_off input_bytes".split()
)


def upgrade() -> None:
    op.create_table(
        "pairs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("decision", "service", "release", "request_id", "audit_id", "scorer")
        ),
        sa.Column("score", sa.Float),
        sa.Column("share", sa.Float, nullable=False),
        sa.Column("is_given", sa.SmallInteger, nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("certificate", "unit", "entry", "model", "reference")
        ),
        sa.Column("quality", sa.Float),
        sa.Column("reference_quality", sa.Float),
        sa.Column("loss", sa.Float),
        sa.Column("known_at_us", sa.BigInteger),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("answers", sa.Text, nullable=False),
        sa.Column("reference_answer", sa.LargeBinary, nullable=False),
    )
    op.create_index("pairs_decision", "pairs", ["service", "decision", "at_us"])
    op.create_index("pairs_request", "pairs", ["request_id"])
    op.create_index("pairs_audit", "pairs", ["audit_id"])
    op.create_table(
        "attempt_hours",
        sa.Column("hour_us", sa.BigInteger, nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("service", "provider", "model", "status")
        ),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in COUNTS),
        *(sa.Column(f"b{k:02}", sa.BigInteger, nullable=False) for k in range(30)),
        sa.PrimaryKeyConstraint("service", "hour_us", "provider", "model", "status"),
    )


def downgrade() -> None:
    op.drop_table("attempt_hours")
    op.drop_table("pairs")
