"""The first schema.

It spells every column out instead of asking `tables` for them: `tables` will have moved on by the
time the next revision alters what this one made.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _text(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False, **options)


def _number(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=False, **options)


def upgrade() -> None:
    _create_records()
    _create_rollups()
    _create_control()
    _create_actions()


def downgrade() -> None:
    raise NotImplementedError("there is nothing before the first schema")


def _create_records() -> None:
    columns = "service disposition release arm model key team user parent error_code"
    numbers = "input_tokens output_tokens cost_micro latency_us"
    op.create_table(
        "records",
        _text("id", primary_key=True),
        _number("at_us"),
        *map(_text, columns.split()),
        *map(_number, numbers.split()),
        sa.Column("detail", sa.LargeBinary, nullable=False),
    )
    page = "id at_us service disposition release model key team error_code"
    op.create_index("records_page", "records", page.split())
    op.create_index("records_user_id", "records", ["user", "id"])
    _create_partial_index("records_parent", ["parent", "id"], "parent != ''")
    _create_partial_index(
        "records_not_answered", ["disposition", "id"], "disposition != 'answered'"
    )
    op.create_table(
        "bodies",
        _text("request_id", primary_key=True),
        sa.Column("input", sa.LargeBinary),
        sa.Column("output", sa.LargeBinary),
    )
    op.create_table(
        "outcomes",
        _text("id", primary_key=True),
        *map(_text, ("request_id", "kind", "value", "source", "reason")),
        *(sa.Column(name, sa.Float, nullable=False) for name in ("weight", "propensity")),
        _number("at_us"),
        _number("known_at_us"),
        _text("by"),
    )
    op.create_index("outcomes_request", "outcomes", ["request_id"])
    op.create_index("outcomes_known", "outcomes", ["known_at_us"])


def _create_partial_index(name: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, "records", columns, sqlite_where=condition, postgresql_where=condition)


def _create_rollups() -> None:
    counts = (
        "requests answered cached fallback review refused failed late input_tokens output_tokens"
        " cost_micro latency_us"
    )
    op.create_table(
        "rollups",
        _number("hour_us"),
        *map(_text, ("service", "release", "arm", "model", "by", "value")),
        *map(_number, counts.split()),
        *(_number(f"b{k:02}") for k in range(30)),
        sa.PrimaryKeyConstraint("by", "service", "hour_us", "value", "release", "arm", "model"),
    )
    op.create_table(
        "spendings",
        _number("day_us", primary_key=True, autoincrement=False),
        _text("scope", primary_key=True),
        _number("micro"),
    )
    op.create_table(
        "holds",
        _text("id", primary_key=True),
        sa.Column("entry", sa.LargeBinary, nullable=False),
        _number("lease_us"),
    )
    op.create_table(
        "spool_positions",
        _text("spool", primary_key=True),
        _number("segment"),
        _number("offset"),
    )


def _create_control() -> None:
    op.create_table(
        "keys",
        _text("id", primary_key=True),
        sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),
        *map(_text, ("name", "scopes", "services", "team")),
        sa.Column("per_day_micro", sa.BigInteger),
        _number("created_at_us"),
        sa.Column("expires_us", sa.BigInteger),
        sa.Column("revoked_at_us", sa.BigInteger),
    )
    op.create_table(
        "releases",
        _text("id", primary_key=True),
        _text("service"),
        _text("manifest"),
        _number("created_at_us"),
        _text("by"),
    )
    op.create_index("releases_service", "releases", ["service", "created_at_us"])
    op.create_table(
        "switchboard",
        _text("name", primary_key=True),
        _text("value"),
        _number("epoch"),
    )
    op.create_table(
        "jobs",
        _text("name", primary_key=True),
        _number("every_s"),
        sa.Column("last_run_us", sa.BigInteger),
        sa.Column("last_ms", sa.BigInteger),
        sa.Column("last_result", sa.Text),
        sa.Column("last_error", sa.Text),
        sa.Column("failures", sa.SmallInteger, nullable=False),
        sa.Column("lease_owner", sa.Text),
        sa.Column("lease_until_us", sa.BigInteger),
    )


def _create_actions() -> None:
    op.create_table(
        "actions",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        _number("at_us"),
        *map(_text, ("by", "action", "subject", "detail", "previous", "hash")),
    )
    if op.get_bind().dialect.name == "sqlite":
        for act in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER actions_no_{act.lower()} BEFORE {act} ON actions"
                " BEGIN SELECT RAISE(ABORT, 'actions are append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION actions_are_append_only() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'actions are append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER actions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON actions"
        " FOR EACH STATEMENT EXECUTE FUNCTION actions_are_append_only()"
    )
