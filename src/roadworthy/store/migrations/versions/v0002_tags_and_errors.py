"""What finds requests by a tag, and by the text of what went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_CHUNK = 1000


class _Detail(msgspec.Struct):
    tags: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


def upgrade() -> None:
    tags = op.create_table(
        "record_tags",
        sa.Column("tag", sa.Text, primary_key=True),
        sa.Column("request_id", sa.Text, primary_key=True),
    )
    errors = op.create_table(
        "record_errors",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
    )
    connection = op.get_bind()
    decode = msgspec.json.Decoder(_Detail).decode
    for rows in _chunks(connection):
        details = [(row.id, decode(row.detail)) for row in rows]
        tagged = [{"tag": t, "request_id": id} for id, d in details for t in sorted(set(d.tags))]
        wrong = [{"request_id": id, "text": "\n".join(d.reasons)} for id, d in details if d.reasons]
        if tagged:
            connection.execute(tags.insert(), tagged)
        if wrong:
            connection.execute(errors.insert(), wrong)


def downgrade() -> None:
    op.drop_table("record_tags")
    op.drop_table("record_errors")


def _chunks(connection: sa.Connection) -> Iterator[list[Any]]:
    records = sa.table("records", sa.column("id"), sa.column("detail"))
    page = sa.select(records.c.id, records.c.detail).order_by(records.c.id).limit(_CHUNK)
    last = ""
    while rows := list(connection.execute(page.where(records.c.id > last))):
        yield rows
        last = rows[-1].id
