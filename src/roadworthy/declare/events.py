"""The events that webhooks tell of, each with what happened."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from .values import refusal

EVENTS: Mapping[str, str] = {
    "certificate.issue": "A service may decide more by itself than before, within its bound.",
    "certificate.off": "What a service decided by itself broke its bound: it is switched off.",
    "release.promote": "Another release serves a service, or the first one does.",
    "release.rollback": "An earlier release serves a service again.",
    "release.reject": "A rollout took a candidate back: it was worse than what serves.",
    "budget.soft": "A ceiling is spent as far as its `soft_share`; once a day or month.",
    "budget.spent": "A ceiling is spent: what counts against it is refused or falls back.",
    "provider.down": "A provider fails again and again and is left alone for a while.",
    "provider.up": "A provider that was left alone answers again.",
    "value.lost": "An accepted answer of a service costs more than it is worth.",
    "service.stop": "A service, or one of its models, was stopped.",
    "service.resume": "A service, or one of its models, that was stopped answers again.",
    "review.ask": "Cases wait for a person; told to the webhook of their queue alone.",
    "review.escalate": "Three quarters of the time of cases have passed; likewise.",
    "review.expire": "The time of cases is over, and whoever waited got something else; likewise.",
    "review.decide": "A person decided a case; likewise.",
    "review.hand_over": "A case went to another queue or person; likewise.",
}
"""Name of an event, as `room.verb` -> what happened. What is not listed here is sent to nobody."""

TEST_EVENT = "webhook.test"
"""What `roadworthy webhooks test` sends; no list of events leaves it out."""


def _event(value: Any) -> str:
    if isinstance(value, str) and value in EVENTS:
        return value
    names = [f"`{name}`" for name in EVENTS]
    close = difflib.get_close_matches(str(value), EVENTS, 1)
    advice = f"did you mean `{close[0]}`?" if close else ""
    raise refusal(f"{', '.join(names[:-1])} or {names[-1]}", advice=advice)


Event = Annotated[
    str, PlainValidator(_event), WithJsonSchema({"type": "string", "enum": list(EVENTS)})
]
"""The name of an event."""
