"""What others learn of the running process: metrics, spans, and notices sent to webhooks."""

from __future__ import annotations

from collections.abc import Mapping

ENFORCES: Mapping[str, str] = {
    "webhooks.url": "observe/webhooks.py",
    "webhooks.secret_env": "observe/webhooks.py",
    "webhooks.format": "observe/messages.py",
    "webhooks.events": "observe/webhooks.py",
    "webhooks.console_url": "observe/messages.py",
}
"""Declared key → the file that enforces it."""
