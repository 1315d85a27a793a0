"""What releases are judged by: evaluations, gates, waivers, approvals, rollouts, moves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


PAGE = tuple(
    "id at_us service disposition release model key team error_code latency_us".split()  # noqa: SIM905
)
FAILURES = ("by", "service", "hour_us", "requests", "failed")


def upgrade() -> None:
    _evaluations()
    _people()
    _rollouts()
    _units()
    _find_by(records=(*PAGE, "arm"), failures=(*FAILURES, "arm"))


def _find_by(records: tuple[str, ...], failures: tuple[str, ...]) -> None:
    """Let what users got be found without what nobody was shown, in indexes alone."""
    op.drop_index("records_page", "records")
    op.create_index("records_page", "records", list(records))
    op.drop_index("rollups_failures", "rollups")
    of_all = sa.column("by") == "all"
    op.create_index(
        "rollups_failures",
        "rollups",
        list(failures),
        sqlite_where=of_all,
        postgresql_where=of_all,
    )


def _evaluations() -> None:
    op.create_table(
        "evaluations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("baseline", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("detail", sa.LargeBinary, nullable=False),
    )
    op.create_index("evaluations_service", "evaluations", ["service", "at_us"])
    op.create_index("evaluations_release", "evaluations", ["release", "at_us"])
    op.create_table(
        "evaluation_cache",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("detail", sa.LargeBinary, nullable=False),
    )
    op.create_index("evaluation_cache_at", "evaluation_cache", ["service", "at_us"])
    op.create_table(
        "gates",
        sa.Column("release", sa.Text, primary_key=True),
        sa.Column("gate", sa.Text, primary_key=True),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )


def _people() -> None:
    op.create_table(
        "waivers",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("gate", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("revoked_at_us", sa.BigInteger),
    )
    op.create_index("waivers_release", "waivers", ["release", "gate"])
    op.create_table(
        "approvals",
        sa.Column("release", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
    )


def _rollouts() -> None:
    op.create_table(
        "moves",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("from_release", sa.Text, nullable=False),
        sa.Column("to_release", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("rollout", sa.Text, nullable=False),
        sa.Column("carried", sa.Text, nullable=False),
    )
    op.create_index("moves_service", "moves", ["service", "at_us"])
    op.create_table(
        "rollouts",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("champion", sa.Text, nullable=False),
        sa.Column("candidate", sa.Text, nullable=False),
        sa.Column("judge", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("share", sa.Float, nullable=False),
        sa.Column("started_at_us", sa.BigInteger, nullable=False),
        sa.Column("step_at_us", sa.BigInteger, nullable=False),
        sa.Column("ended_at_us", sa.BigInteger),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("seen", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("progress", sa.LargeBinary, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
    )
    op.create_index("rollouts_service", "rollouts", ["service", "started_at_us"])
    op.create_table(
        "rollout_looks",
        sa.Column("rollout", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )


def _units() -> None:
    op.create_table(
        "rollout_units",
        sa.Column("rollout", sa.Text, primary_key=True),
        sa.Column("unit", sa.Text, primary_key=True),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("arm", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("first_us", sa.BigInteger, nullable=False),
        sa.Column("due_us", sa.BigInteger, nullable=False),
        sa.Column("detail", sa.LargeBinary, nullable=False),
    )
    op.create_index("rollout_units_due", "rollout_units", ["rollout", "state", "due_us"])
    op.create_table(
        "logged_models",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("service", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_table(
        "leakage_reports",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("leakage_reports_service", "leakage_reports", ["service", "at_us"])


def downgrade() -> None:
    _find_by(records=PAGE, failures=FAILURES)
    for name in (
        "leakage_reports",
        "logged_models",
        "rollout_units",
        "rollout_looks",
        "rollouts",
        "moves",
        "approvals",
        "waivers",
        "gates",
        "evaluation_cache",
        "evaluations",
    ):
        op.drop_table(name)
