"""Answers that wait for people, what they decided, and the bounds that follow from it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    _asked()
    _waiting()
    _certified()
    _learned()


def _asked() -> None:
    op.create_table(
        "drafts",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("scorer", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("score", sa.Float),
        sa.Column("confidence", sa.Float),
        sa.Column("share", sa.Float, nullable=False),
        sa.Column("is_drawn", sa.SmallInteger, nullable=False),
        sa.Column("certificate", sa.Text, nullable=False),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("groups", sa.Text, nullable=False),
        sa.Column("predicted", sa.LargeBinary, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("signals", sa.Text, nullable=False),
    )
    op.create_index("drafts_service", "drafts", ["service", "at_us"])


def _waiting() -> None:
    op.create_table(
        "reviews",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("due_us", sa.BigInteger, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("taken_by", sa.Text, nullable=False),
        sa.Column("taken_until_us", sa.BigInteger, nullable=False),
        sa.Column("escalated_at_us", sa.BigInteger),
        sa.Column("decided_at_us", sa.BigInteger),
        sa.Column("decided_by", sa.Text, nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("input_digest", sa.Text, nullable=False),
        sa.Column("input", sa.LargeBinary, nullable=False),
        sa.Column("draft", sa.LargeBinary, nullable=False),
        sa.Column("detail", sa.LargeBinary, nullable=False),
        sa.Column("ruling", sa.LargeBinary),
        sa.Column("given", sa.LargeBinary),
        sa.Column("expected", sa.LargeBinary),
    )
    found_in = ["state", "due_us", "id", "queue", "service", "owner", "kind", "at_us"]
    op.create_index("reviews_due", "reviews", [*found_in, "escalated_at_us"])
    counted_in = ["state", "queue", "service", "owner", "due_us", "escalated_at_us"]
    op.create_index("reviews_queue", "reviews", counted_in)
    op.create_index("reviews_service", "reviews", ["service", "at_us"])
    op.create_index("reviews_decided", "reviews", ["service", "decided_at_us"])
    decided = sa.text("decided_at_us IS NOT NULL")
    op.create_index(
        "reviews_ruled",
        "reviews",
        ["decided_at_us"],
        sqlite_where=decided,
        postgresql_where=decided,
    )
    op.create_index("reviews_request", "reviews", ["request_id"])
    op.create_index("reviews_input", "reviews", ["service", "input_digest"])
    op.create_table(
        "explanations",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )


def _certified() -> None:
    op.create_table(
        "epochs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("opened_at_us", sa.BigInteger, nullable=False),
        sa.Column("closed_at_us", sa.BigInteger),
        sa.Column("why_closed", sa.Text, nullable=False),
        sa.Column("seen_us", sa.BigInteger, nullable=False),
        sa.Column("terms", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
    )
    op.create_index("epochs_service", "epochs", ["service", "decision", "number"], unique=True)
    op.create_table(
        "certificates",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("epoch", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("max_error", sa.Float, nullable=False),
        sa.Column("sure", sa.Float, nullable=False),
        sa.Column("threshold", sa.Float, nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("wrong", sa.BigInteger, nullable=False),
        sa.Column("bound", sa.Float, nullable=False),
        sa.Column("from_us", sa.BigInteger, nullable=False),
        sa.Column("to_us", sa.BigInteger, nullable=False),
        sa.Column("issued_at_us", sa.BigInteger, nullable=False),
        sa.Column("ended_at_us", sa.BigInteger),
        sa.Column("why_ended", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("audit", sa.Text, nullable=False),
    )
    op.create_index("certificates_service", "certificates", ["service", "issued_at_us"])


def _learned() -> None:
    op.create_table(
        "corrections",
        sa.Column("service", sa.Text, primary_key=True),
        sa.Column("input_digest", sa.Text, primary_key=True),
        sa.Column("role", sa.Text, primary_key=True),
        sa.Column("review_id", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("output", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "calibrations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("scorer", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("calibrations_service", "calibrations", ["service", "at_us"])
    op.create_table(
        "scorers",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("scorers_service", "scorers", ["service", "at_us"])
    op.create_table(
        "examples",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("input_digest", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("weight", sa.Float, nullable=False),
        sa.Column("input", sa.LargeBinary, nullable=False),
        sa.Column("output", sa.LargeBinary, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("examples_service", "examples", ["service", "at_us"])
    op.create_index("examples_request", "examples", ["request_id"])


def downgrade() -> None:
    op.drop_table("explanations")
    op.drop_table("examples")
    op.drop_table("scorers")
    op.drop_table("calibrations")
    op.drop_table("corrections")
    op.drop_table("certificates")
    op.drop_table("epochs")
    op.drop_table("reviews")
    op.drop_table("drafts")
