"""What `[failover]` must keep together with the models it is about."""

from __future__ import annotations

from .files import Findings
from .project import ProjectDeclaration
from .service import ServiceDeclaration
from .source import Finding


def an_order_has_a_choice(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """Of one model there is no order, and a chain of rules decides its own."""
    order = service.failover.order
    if order != "declared" and len(service.chain) < 2:
        expected = "`declared`, because there is one model to try"
        yield Finding("failover.order", expected, f"`{order}`", "add a second of `[[models]]`")


def weights_count(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """A weight that no coin is thrown by promises a share that nobody keeps."""
    if service.failover.order == "weighted":
        return
    for index, entry in enumerate(service.models):
        if entry.weight != 1:
            expected = f"1 or no such key, because `failover.order` is `{service.failover.order}`"
            advice = 'remove it, or say `order = "weighted"` in `[failover]`'
            yield Finding(f"models[{index}].weight", expected, f"{entry.weight:g}", advice)


def streams_can_begin_anew(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """A stream begins anew with another model, and only text is streamed."""
    if not service.failover.restart_streams:
        return
    if service.kind != "generate":
        expected, advice = "false, because a `predict` has no streams", "remove it"
    elif len(service.chain) < 2:
        expected = "false, because there is no other model to begin anew with"
        advice = "add a second of `[[models]]`"
    else:
        return
    yield Finding("failover.restart_streams", expected, "true", advice)


FAILOVER_CHECKS = (
    (an_order_has_a_choice, ("failover.order", "models", "fallback")),
    (weights_count, ("failover.order", "models")),
    (streams_can_begin_anew, ("failover", "kind", "models", "fallback")),
)
"""Every check, with the parts that must be sound for it to say anything."""
