"""The tables of what releases are judged by; see `tables` for what all of them share."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
)

from .schema import metadata

evaluations = Table(
    "evaluations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("service", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("baseline", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("detail", LargeBinary, nullable=False),
)
"""What evaluations found (`suite`), and replays of traffic (`replay`); the detail is the report.

The digest is the SHA-256 of the detail.
"""
Index("evaluations_service", evaluations.c.service, evaluations.c.at_us)
Index("evaluations_release", evaluations.c.release, evaluations.c.at_us)

evaluation_cache = Table(
    "evaluation_cache",
    metadata,
    Column("key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("detail", LargeBinary, nullable=False),
)
"""Answers (`answer`) and dear scores (`score`) by the content that they depend on."""
Index("evaluation_cache_at", evaluation_cache.c.service, evaluation_cache.c.at_us)

gates = Table(
    "gates",
    metadata,
    Column("release", Text, primary_key=True),
    Column("gate", Text, primary_key=True),
    Column("service", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
"""How a release stands to each gate, as it was measured last; the digest is of the evidence."""

waivers = Table(
    "waivers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("service", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("gate", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("revoked_at_us", BigInteger),
)
Index("waivers_release", waivers.c.release, waivers.c.gate)

approvals = Table(
    "approvals",
    metadata,
    Column("release", Text, primary_key=True),
    Column("owner", Text, primary_key=True),
    Column("service", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
)
"""Which of the owners (`product`, `model`, `platform`) let a release ship."""

moves = Table(
    "moves",
    metadata,
    Column("id", Text, primary_key=True),
    Column("service", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("from_release", Text, nullable=False),
    Column("to_release", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("rollout", Text, nullable=False),
    Column("carried", Text, nullable=False),
)
"""Each change of what serves; `carried` is what was in force for the release that was left.

The kind is `promote` or `rollback`.
"""
Index("moves_service", moves.c.service, moves.c.at_us)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("service", Text, nullable=False),
    Column("champion", Text, nullable=False),
    Column("candidate", Text, nullable=False),
    Column("judge", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("share", Float, nullable=False),
    Column("started_at_us", BigInteger, nullable=False),
    Column("step_at_us", BigInteger, nullable=False),
    Column("ended_at_us", BigInteger),
    Column("by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("seen", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("progress", LargeBinary, nullable=False),
    Column("verdict", Text, nullable=False),
)
"""Candidates on their way; `progress` is the evidence so far, `verdict` what it says by now.

The state is `running`, `frozen`, `promoted`, `rolled_back` or `stopped`; `seen` is the last record
that was counted, and `version` grows with every write, so that two writers notice each other.
"""
Index("rollouts_service", rollouts.c.service, rollouts.c.started_at_us)

rollout_looks = Table(
    "rollout_looks",
    metadata,
    Column("rollout", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
)
"""What each look at a rollout saw, for its picture; thinned out as they grow many."""

rollout_units = Table(
    "rollout_units",
    metadata,
    Column("rollout", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("step", Integer, nullable=False),
    Column("arm", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("first_us", BigInteger, nullable=False),
    Column("due_us", BigInteger, nullable=False),
    Column("detail", LargeBinary, nullable=False),
)
"""What each user of a rollout met; the user is a hash that only this rollout uses.

The state is `open` until `due_us`, the end of its window, then `waiting` for outcomes until
`due_us`, and `done`.
"""
Index("rollout_units_due", rollout_units.c.rollout, rollout_units.c.state, rollout_units.c.due_us)

logged_models = Table(
    "logged_models",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("service", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
"""What training code or another registry said of a model's file, by its SHA-256."""

leakage_reports = Table(
    "leakage_reports",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("service", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
"""Audits for features that know too much; the digest is of what was looked at and found."""
Index("leakage_reports_service", leakage_reports.c.service, leakage_reports.c.at_us)
