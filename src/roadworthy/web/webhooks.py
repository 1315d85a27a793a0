"""The control plane's routes about webhooks: how each stands, a test, another try."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from sqlalchemy import Engine

from ..declare.project import Webhook
from ..observe.webhooks import Tested, check_declared, send_test
from ..store.deliveries import send_again, standings
from .control import Ask
from .units import Time, show

NOT_DECLARED = "not declared in roadworthy.toml"


class WebhookShown(Struct, frozen=True, kw_only=True):
    """How a webhook stands.

    Attributes:
        url: Where it receives; empty where it is no longer declared.
        events: The only events that are sent; None where all are.
        waiting: Notices that are still to be delivered.
        oldest: When the oldest of those happened.
        next_try: When the first of those is tried next.
        last_status: What came back from the last try that failed; None where nothing did.
        last_error: Why that failed; empty where all were delivered.
    """

    webhook: str
    url: str
    format: str
    events: tuple[str, ...] | None
    waiting: int
    delivered: int
    given_up: int
    oldest: Time | None
    next_try: Time | None
    last_status: int | None
    last_error: str


class Webhooks(Struct, frozen=True):
    """Every webhook that is declared, and each other one while there is something of it."""

    webhooks: tuple[WebhookShown, ...]


class Requeued(Struct, frozen=True):
    """How many notices were queued again."""

    webhook: str
    queued: int


def webhooks_page(state: Engine, declared: Mapping[str, Webhook]) -> Webhooks:
    """Return how every webhook stands."""
    shown = []
    for found in standings(state, declared.keys()):
        webhook = declared.get(found.webhook)
        shown.append(
            show(
                WebhookShown,
                found,
                url=webhook.url if webhook else "",
                format=webhook.format if webhook else "",
                events=webhook.events if webhook else (),
                last_error=found.last_error if webhook else NOT_DECLARED,
            )
        )
    return Webhooks(tuple(shown))


def read_webhooks(ask: Ask) -> Webhooks:
    """List every webhook: what waits for it, what it got in the last 30 days, what failed last."""
    return webhooks_page(ask.control.state, ask.control.declaration.webhooks)


def try_webhook(ask: Ask, name: str) -> Tested:
    """Send a webhook one event `webhook.test` now, and say what came back."""
    control = ask.control
    return send_test(name, control.declaration, control.state, control.clock, by=ask.by)


def retry_webhook(ask: Ask, name: str) -> Requeued:
    """Queue again what was given up for a webhook, in its old order; it keeps its ids."""
    check_declared(name, ask.control.declaration)
    return Requeued(name, send_again(ask.control.state, ask.control.clock, name))
