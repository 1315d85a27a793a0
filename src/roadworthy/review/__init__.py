"""Who decides: the answer alone, within a certified bound, or a person; and what they decided."""

from __future__ import annotations

from collections.abc import Mapping

ENFORCES: Mapping[str, str] = {
    "review": "review/desk.py",
    "review.max_error": "review/desk.py",
    "review.sure": "review/terms.py",
    "review.of": "review/progress.py",
    "review.lifetime": "review/terms.py",
    "review.out_of_scope": "review/desk.py",
    "review.when": "review/triggers.py",
    "review.queue": "review/desk.py",
    "review.respond_within": "review/desk.py",
    "review.capacity_per_day": "review/capacity.py",
    "review.on_expiry": "review/expiry.py",
    "review.audit_share": "review/desk.py",
    "queues.owner": "review/desk.py",
    "queues.escalate_to": "review/expiry.py",
    "queues.webhook": "review/notices.py",
    "queues.second_share": "review/rulings.py",
    "queues.planted_share": "review/queue.py",
    "outcomes": "review/desk.py",
    "outcomes.unit": "review/evidence.py",
    "outcomes.window": "review/evidence.py",
    "outcomes.matures_after": "review/evidence.py",
    "outcomes.right": "review/evidence.py",
    "outcomes.entity": "review/desk.py",
    "outcomes.groups": "review/progress.py",
    "outcomes.reported": "review/desk.py",
}
"""Declared key → the file that enforces it."""
