"""The control plane's routes for examples: listed, released, rejected."""

from __future__ import annotations

from msgspec import UNSET

from ..errors import NotFound
from ..improve.overrule import reject_examples, release_examples
from ..store.examples import Example, count_examples, list_examples, read_example
from .control import Ask
from .example_figures import (
    ExampleCounts,
    ExampleQuery,
    ExampleRuling,
    Examples,
    ExampleShown,
    sentence_of,
    shown_example,
)
from .request_list import seen_services
from .route import Route
from .units import show


def example_routes() -> tuple[Route, ...]:
    """Return the routes for examples."""
    return (
        Route("GET", "/api/examples", "read", read_page),
        Route("GET", "/api/examples/{id}", "read", read_one),
        Route("POST", "/api/examples/{id}/release", "review", release),
        Route("POST", "/api/examples/{id}/reject", "review", reject),
    )


def read_page(ask: Ask, query: ExampleQuery) -> Examples:
    """List what was learned from decisions, newest first, and what holds it back."""
    state = ask.control.state
    services = ask.services_of(query.service)
    wanted = "" if query.state is UNSET else query.state
    found: list[Example] = []  # after one that is gone, or not theirs to see, comes nothing
    if not query.before or _is_seen(ask, query.before):
        found = list_examples(state, services, state=wanted, before=query.before, limit=query.limit)
    counts = tuple(show(ExampleCounts, held) for held in count_examples(state, services))
    return Examples(
        sentence=sentence_of(counts),
        counts=counts,
        examples=tuple(shown_example(one) for one in found),
        service=query.service,
        state=wanted,
        services=seen_services(ask),
        before=found[-1].id if len(found) == query.limit else None,
    )


def read_one(ask: Ask, id: str) -> ExampleShown:
    """Show one example: what was asked, what is right, and what holds it back."""
    _seen(ask, id)
    return shown_example(read_example(ask.control.state, id))


def release(ask: Ask, id: str, body: ExampleRuling) -> ExampleShown:
    """Accept an example that a check holds back; it holds for the answer that it has now."""
    _seen(ask, id)
    control = ask.control
    (done,) = release_examples(control.state, control.clock, [id], by=ask.by, reason=body.reason)
    return shown_example(done)


def reject(ask: Ask, id: str, body: ExampleRuling) -> ExampleShown:
    """Reject an example, so that it is never exported; it needs a reason."""
    _seen(ask, id)
    control = ask.control
    (done,) = reject_examples(control.state, control.clock, [id], by=ask.by, reason=body.reason)
    return shown_example(done)


def _seen(ask: Ask, id: str) -> None:
    """Refuse an example of a service that is not this key's.

    Raises:
        NotFound: There is none that the key may see.
    """
    if not ask.sees(read_example(ask.control.state, id).service):
        raise NotFound(f"no example `{id:.60}` that key `{ask.key.id}` may see")


def _is_seen(ask: Ask, id: str) -> bool:
    try:
        _seen(ask, id)
    except NotFound:
        return False
    return True
