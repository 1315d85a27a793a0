"""The tables of what a gateway learns of its models; see `tables` for what all of them share."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
)

from .schema import metadata

pairs = Table(
    "pairs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("decision", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("audit_id", Text, nullable=False),
    Column("scorer", Text, nullable=False),
    Column("score", Float),
    Column("share", Float, nullable=False),
    Column("is_given", SmallInteger, nullable=False),
    Column("certificate", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("entry", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("quality", Float),
    Column("reference_quality", Float),
    Column("loss", Float),
    Column("known_at_us", BigInteger),
    Column("vector", LargeBinary, nullable=False),
    Column("tags", Text, nullable=False),
    Column("answers", Text, nullable=False),
    Column("reference_answer", LargeBinary, nullable=False),
)
"""Two answers to one question, as `drafts.Pair` tells; tags and answers are JSON."""
Index("pairs_decision", pairs.c.service, pairs.c.decision, pairs.c.at_us)
Index("pairs_request", pairs.c.request_id)
Index("pairs_audit", pairs.c.audit_id)

ATTEMPT_COUNTS = (
    "attempts",
    "retries",
    "us",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_micro",
    "repaired",
    "reasked",
    "cut_off",
    "input_bytes",
)
"""What `attempt_hours` adds up. Bytes are of the inputs whose tokens were counted: together they
say how many bytes a token of this model is."""

ATTEMPT_BUCKETS = 30

attempt_hours = Table(
    "attempt_hours",
    metadata,
    Column("hour_us", BigInteger, nullable=False),
    Column("service", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("status", Text, nullable=False),
    *(Column(name, BigInteger, nullable=False, default=0) for name in ATTEMPT_COUNTS),
    *(Column(f"b{k:02}", BigInteger, nullable=False, default=0) for k in range(ATTEMPT_BUCKETS)),
    PrimaryKeyConstraint("service", "hour_us", "provider", "model", "status"),
)
"""Hourly sums of the tries of models, each under what ended it: `ok`, what was wrong upstream
(`errors.Cause`), or another end of a try. Tries whose model was not asked are no attempts of it,
but for `cooling` and `busy`. The buckets are those of the rollups, over the time of a try."""
