"""Keys and values of the declaration that are reserved, and that nothing enforces yet.

A declaration must not promise what nothing keeps, so the loader refuses these, and says why,
instead of calling them unknown. What a room starts to enforce moves from here into the models of
`service.py` and `project.py`; until it does, it may stand in both. Paths are dotted, without list
indices and names that a user gives.
"""

from __future__ import annotations

from collections.abc import Mapping

SERVICE_KEYS = frozenset(
    (
        "tools.name",
        "tools.mcp",
        "tools.effect",
        "tools.roles",
        "tools.approve",
        "tools.limit",
        "failures.slow",
        "failures.down",
        "failures.wrong",
        "monitor.reference",
        "monitor.alert",
        "monitor.on_breach",
        "retrain.when",
        "retrain.run",
    )
)

PROJECT_KEYS: frozenset[str] = frozenset()

VALUES: Mapping[str, tuple[str, ...]] = {
    "guards.verdict": ("ask", "redact"),
    "records.bodies": ("redacted",),
    "providers.kind": (),
    "store.counters": ("redis://",),
    "store.url": ("postgresql://", "postgresql+psycopg://", "postgres://"),
}
"""Reserved values by key; one that ends in `://` reserves everything that starts with it."""


def is_reserved_value(key: str, value: object) -> bool:
    """Return whether `value` of `key` has a meaning that nothing keeps yet."""
    return isinstance(value, str) and any(
        value.startswith(word) if word.endswith("://") else value == word
        for word in VALUES.get(key, ())
    )
