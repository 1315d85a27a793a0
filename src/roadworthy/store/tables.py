"""The tables, as SQLAlchemy Core sees them; SQLite and Postgres share them.

Times are Unix microseconds (UTC), money is micro-dollars, both in BIGINT. What a list filters or
sorts by is a column; the rest of a record is the JSON of `detail`, so that a row costs few binds.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    and_,
)

from .schema import metadata

records = Table(
    "records",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("service", Text, nullable=False),
    Column("disposition", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("arm", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("parent", Text, nullable=False),
    Column("error_code", Text, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_micro", BigInteger, nullable=False),
    Column("latency_us", BigInteger, nullable=False),
    Column("detail", LargeBinary, nullable=False),
)
# Whatever a page of records is filtered by, it is found in this index alone: 1 M records without a
# match take 65-100 ms, against 280-500 ms through the rows, and one index costs an insert what
# (service, id) did. One for each filter would cost 2.5 us a record more, and not help two together.
# The latency makes it 3% larger; that none of 1 M was slow took 540 ms through the rows, and 86 so.
Index(
    "records_page",
    records.c.id,
    records.c.at_us,
    records.c.service,
    records.c.disposition,
    records.c.release,
    records.c.model,
    records.c.key,
    records.c.team,
    records.c.error_code,
    records.c.latency_us,
    records.c.arm,
)
Index("records_user_id", records.c.user, records.c.id)
Index(
    "records_parent",
    records.c.parent,
    records.c.id,
    sqlite_where=records.c.parent != "",
    postgresql_where=records.c.parent != "",
)
Index(
    "records_not_answered",
    records.c.disposition,
    records.c.id,
    sqlite_where=records.c.disposition != "answered",
    postgresql_where=records.c.disposition != "answered",
)

record_tags = Table(
    "record_tags",
    metadata,
    Column("tag", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
)
"""Which requests bear a tag; only those that bear one have rows."""

record_errors = Table(
    "record_errors",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("text", Text, nullable=False),
)
"""Why requests ended as they did, their reasons line by line; only where there are any."""

bodies = Table(
    "bodies",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("input", LargeBinary),
    Column("output", LargeBinary),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("request_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("weight", Float, nullable=False),
    Column("propensity", Float, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("known_at_us", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
)
Index("outcomes_request", outcomes.c.request_id)
Index("outcomes_known", outcomes.c.known_at_us)

holds = Table(
    "holds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("entry", LargeBinary, nullable=False),
    Column("lease_us", BigInteger, nullable=False),
)

spool_positions = Table(
    "spool_positions",
    metadata,
    Column("spool", Text, primary_key=True),
    Column("segment", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
)

LATENCY_BUCKETS = 30
"""Bucket k counts latencies up to 0.25 ms x 1.5**k; the last has no upper end (above 21 s)."""

COUNTS = (
    "requests",
    "answered",
    "cached",
    "fallback",
    "review",
    "refused",
    "failed",
    "late",
    "input_tokens",
    "output_tokens",
    "cost_micro",
    "latency_us",
)
"""What a rollup adds up; the latency histogram `b00` … follows."""

CELL = ("hour_us", "service", "release", "arm", "model", "by", "value")
"""What a rollup is of: an hour, where, and for `all` or one `user`, `team`, `tag` or `key`."""

rollups = Table(
    "rollups",
    metadata,
    *(Column(name, BigInteger if name == "hour_us" else Text) for name in CELL),
    *(Column(name, BigInteger, nullable=False, default=0) for name in COUNTS),
    *(Column(f"b{k:02}", BigInteger, nullable=False, default=0) for k in range(LATENCY_BUCKETS)),
    # In this order a service's week is one range of 0.7 ms; with the hour first it took 53 ms,
    # because the cells of every user lie between.
    PrimaryKeyConstraint("by", "service", "hour_us", "value", "release", "arm", "model"),
)
# For the error budgets of all services: a month of them is 40,000 rows, which take 12 times as long
# as this. It holds `by`, though that is always `all`, because SQLite prefers the primary key else.
Index(
    "rollups_failures",
    rollups.c.by,
    rollups.c.service,
    rollups.c.hour_us,
    rollups.c.requests,
    rollups.c.failed,
    rollups.c.arm,
    sqlite_where=rollups.c.by == "all",
    postgresql_where=rollups.c.by == "all",
)

spendings = Table(
    "spendings",
    metadata,
    Column("day_us", BigInteger, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("micro", BigInteger, nullable=False),
)
"""What each ceiling's scope has settled per day, added up in the writer's transaction."""

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("services", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("per_day_micro", BigInteger),
    Column("created_at_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger),
    Column("revoked_at_us", BigInteger),
)

releases = Table(
    "releases",
    metadata,
    Column("id", Text, primary_key=True),
    Column("service", Text, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
)
Index("releases_service", releases.c.service, releases.c.created_at_us)

switchboard = Table(
    "switchboard",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
)

actions = Table(
    "actions",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("name", Text, primary_key=True),
    Column("every_s", BigInteger, nullable=False),
    Column("last_run_us", BigInteger),
    Column("last_ms", BigInteger),
    Column("last_result", Text),
    Column("last_error", Text),
    Column("failures", SmallInteger, nullable=False, default=0),
    Column("lease_owner", Text),
    Column("lease_until_us", BigInteger),
)

view_versions = Table(
    "view_versions",
    metadata,
    Column("view", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("hash", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
"""Which feature views were registered; the detail holds the file as it was then."""

contract_versions = Table(
    "contract_versions",
    metadata,
    Column("contract", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
"""Which contracts were registered; a corrected word gives one version a second digest."""

validations = Table(
    "validations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("source", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("contract", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("failed_rows", BigInteger, nullable=False),
    Column("is_kept", SmallInteger, nullable=False),
    Column("detail", Text, nullable=False),
)
Index("validations_source", validations.c.source, validations.c.at_us)

snapshots = Table(
    "snapshots",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
)
"""Which training sets were saved; their rows are artifacts that the detail names."""

skew_reports = Table(
    "skew_reports",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("service", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
)
"""Whether services were served the features that their models were trained on."""
Index("skew_reports_service", skew_reports.c.service, skew_reports.c.at_us)

drafts = Table(
    "drafts",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("service", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("scorer", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("score", Float),
    Column("confidence", Float),
    Column("share", Float, nullable=False),
    Column("is_drawn", SmallInteger, nullable=False),
    Column("certificate", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("groups", Text, nullable=False),
    Column("predicted", LargeBinary, nullable=False),
    Column("digest", Text, nullable=False),
    Column("signals", Text, nullable=False),
)
"""Models' answers that were up for a decision; only services with `[review]` leave some."""
Index("drafts_service", drafts.c.service, drafts.c.at_us)

reviews = Table(
    "reviews",
    metadata,
    Column("id", Text, primary_key=True),
    Column("request_id", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("due_us", BigInteger, nullable=False),
    Column("service", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("taken_by", Text, nullable=False),
    Column("taken_until_us", BigInteger, nullable=False),
    Column("escalated_at_us", BigInteger),
    Column("decided_at_us", BigInteger),
    Column("decided_by", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("input_digest", Text, nullable=False),
    Column("input", LargeBinary, nullable=False),
    Column("draft", LargeBinary, nullable=False),
    Column("detail", LargeBinary, nullable=False),
    Column("ruling", LargeBinary),
    Column("given", LargeBinary),
    Column("expected", LargeBinary),
)
"""Decisions that wait for a person, and what was decided; the detail is the rest of a `Review`.

What whoever waited got is `given`; of a planted case, what a person should find is `expected`.
"""
# A page of a queue is found in this alone, whatever it is filtered by: of 100,000 in 15 ms.
Index(
    "reviews_due",
    reviews.c.state,
    reviews.c.due_us,
    reviews.c.id,
    reviews.c.queue,
    reviews.c.service,
    reviews.c.owner,
    reviews.c.kind,
    reviews.c.at_us,
    reviews.c.escalated_at_us,
)
# How queues stand is counted in this alone, in its order: of 100,000 in 30 ms instead of 300.
Index(
    "reviews_queue",
    reviews.c.state,
    reviews.c.queue,
    reviews.c.service,
    reviews.c.owner,
    reviews.c.due_us,
    reviews.c.escalated_at_us,
)
Index("reviews_service", reviews.c.service, reviews.c.at_us)
Index("reviews_decided", reviews.c.service, reviews.c.decided_at_us)
_IS_DECIDED = reviews.c.decided_at_us.is_not(None)
Index(
    "reviews_ruled",
    reviews.c.decided_at_us,
    sqlite_where=_IS_DECIDED,
    postgresql_where=_IS_DECIDED,
)
Index("reviews_request", reviews.c.request_id)
Index("reviews_input", reviews.c.service, reviews.c.input_digest)

explanations = Table(
    "explanations",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
)
"""What moved an answer, computed beside the request."""

epochs = Table(
    "epochs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("service", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("opened_at_us", BigInteger, nullable=False),
    Column("closed_at_us", BigInteger),
    Column("why_closed", Text, nullable=False),
    Column("seen_us", BigInteger, nullable=False),
    Column("terms", Text, nullable=False),
    Column("state", Text, nullable=False),
)
"""What evidence is gathered on: any change of its terms opens a new one."""
Index("epochs_service", epochs.c.service, epochs.c.decision, epochs.c.number, unique=True)

certificates = Table(
    "certificates",
    metadata,
    Column("id", Text, primary_key=True),
    Column("epoch", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("max_error", Float, nullable=False),
    Column("sure", Float, nullable=False),
    Column("threshold", Float, nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("wrong", BigInteger, nullable=False),
    Column("bound", Float, nullable=False),
    Column("from_us", BigInteger, nullable=False),
    Column("to_us", BigInteger, nullable=False),
    Column("issued_at_us", BigInteger, nullable=False),
    Column("ended_at_us", BigInteger),
    Column("why_ended", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("audit", Text, nullable=False),
)
"""Certified thresholds, each with its running audit."""
Index("certificates_service", certificates.c.service, certificates.c.issued_at_us)

corrections = Table(
    "corrections",
    metadata,
    Column("service", Text, primary_key=True),
    Column("input_digest", Text, primary_key=True),
    Column("role", Text, primary_key=True),
    Column("review_id", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("output", LargeBinary, nullable=False),
)
"""What a person said instead: it is given wherever the same is asked again."""

calibrations = Table(
    "calibrations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("service", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("scorer", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
)
"""What turns a score into a probability, fitted on outcomes, and how well it did."""
Index("calibrations_service", calibrations.c.service, calibrations.c.at_us)

scorers = Table(
    "scorers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("service", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
)
"""Score models that were fitted on outcomes; what trained one is never evidence for it."""
Index("scorers_service", scorers.c.service, scorers.c.at_us)

examples = Table(
    "examples",
    metadata,
    Column("id", Text, primary_key=True),
    Column("service", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("input_digest", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("weight", Float, nullable=False),
    Column("input", LargeBinary, nullable=False),
    Column("output", LargeBinary, nullable=False),
    Column("detail", Text, nullable=False),
)
"""Corrections on their way to suites and training sets, each held until it passes its checks."""
Index("examples_service", examples.c.service, examples.c.at_us)
Index("examples_request", examples.c.request_id)
deliveries = Table(
    "deliveries",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    Column("webhook", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("next_try_us", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("last_try_us", BigInteger),
    Column("last_status", SmallInteger),
    Column("last_error", Text, nullable=False),
    Column("delivered_at_us", BigInteger),
    Column("given_up_at_us", BigInteger),
)
"""What webhooks are to be told, have been told, and could not be told."""
Index("deliveries_webhook", deliveries.c.webhook, deliveries.c.seq)
_IS_OPEN = and_(deliveries.c.delivered_at_us.is_(None), deliveries.c.given_up_at_us.is_(None))
# Most rows are done with: what waits is found, and seen to be the first of its subject, in these.
Index(
    "deliveries_next",
    deliveries.c.webhook,
    deliveries.c.seq,
    sqlite_where=_IS_OPEN,
    postgresql_where=_IS_OPEN,
)
Index(
    "deliveries_open",
    deliveries.c.webhook,
    deliveries.c.subject,
    deliveries.c.seq,
    sqlite_where=_IS_OPEN,
    postgresql_where=_IS_OPEN,
)
