"""What Alembic runs to migrate, on the connection and in the transaction that `state` hands it."""

from __future__ import annotations

from alembic import context

from roadworthy.store import gateway_tables, release_tables, tables  # noqa: F401 - they fill `metadata`
from roadworthy.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
