"""What `[review]`, `[outcomes]` and a rung that asks a person must keep together."""

from __future__ import annotations

from collections.abc import Iterator

from .check_rules import check_expression, schema_of
from .files import Findings
from .project import ProjectDeclaration
from .review import ReviewPolicy
from .service import ServiceDeclaration
from .source import Finding
from .validate import shown

_OF_BOUND = ("sure", "of", "lifetime", "overflow", "audit_share")
_OF_QUEUE = ("respond_within", "capacity_per_day", "on_expiry", "holding")


def queue_exists(service: ServiceDeclaration, project: ProjectDeclaration) -> Findings:
    """Whoever is asked, is asked in a queue that the project has."""
    review = service.review
    queue = None if review is None else review.queue
    if queue is not None and queue not in project.queues:
        known = ", ".join(f"`{name}`" for name in project.queues) or "it has none"
        advice = f"declare `[queues.{queue}]` in roadworthy.toml"
        yield Finding("review.queue", f"a queue of this project ({known})", shown(queue), advice)
    if queue is None:
        yield from _asks_in_vain(service)


def _asks_in_vain(service: ServiceDeclaration) -> Iterator[Finding]:
    """Yield what asks a person where there is no queue."""
    advice = "name one as `queue` in `[review]`"
    expected = "a queue, because a person is asked"
    review = service.review
    if review is not None and (review.when or review.out_of_scope is not None):
        yield Finding("review.queue", expected, "none", advice)
    for index, rung in enumerate(service.fallback):
        if rung.use == "human":
            yield Finding(f"fallback[{index}].use", expected, "none", advice)


def review_keys_count(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """No key of `[review]` stands there in vain."""
    review = service.review
    if review is None:
        return
    asks = any(rung.use == "human" for rung in service.fallback)
    if review.max_error is None and not review.when and review.out_of_scope is None and not asks:
        advice = "say how often an answer may be wrong, or `when` a person decides"
        yield Finding("review", "`max_error` or `when`", "neither", advice)
    if review.max_error is None:
        yield from _without(review, "max_error", _OF_BOUND)
    if review.queue is None:
        yield from _without(review, "queue", _OF_QUEUE)


def _without(review: ReviewPolicy, needs: str, keys: tuple[str, ...]) -> Iterator[Finding]:
    for key in keys:
        if key in review.model_fields_set:
            yield Finding(f"review.{key}", f"`{needs}` beside it", "none", f"add it, or drop {key}")


def there_is_where_to_fall(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """A fallback needs a rung that answers by itself."""
    review = service.review
    # Before a second release, nothing served before: that rung alone is none.
    if review is None or any(rung.use not in ("human", "last_good") for rung in service.fallback):
        return
    advice = "add a `[[fallback]]` that uses `static` or `rule`, or choose `refuse`"
    expected = "a rung of the ladder that answers"
    if review.max_error is not None and review.overflow == "fallback":
        yield Finding("review.overflow", expected, "none", advice)
    if review.queue is not None and review.on_expiry == "fallback":
        yield Finding("review.on_expiry", expected, "none", advice)


def a_person_stands_last(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """A person is asked where nothing else answers: what stands below is never reached."""
    for index, rung in enumerate(service.fallback[:-1]):
        if rung.use == "human":
            got = "one above others"
            yield Finding(f"fallback[{index}].use", "`human` as the last rung", got, "move it down")


def triggers_are_expressions(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """What asks a person, and what makes an answer right, can be computed."""
    when = () if service.review is None else service.review.when
    for index, source in enumerate(when):
        yield from check_expression(f"review.when[{index}]", source, "review")
    if service.outcomes.right is not None:
        yield from check_expression("outcomes.right", service.outcomes.right, "outcome")


def outcomes_name_fields(service: ServiceDeclaration, project: ProjectDeclaration) -> Findings:
    """What an outcome is grouped or found by are fields of the input."""
    outcomes = service.outcomes
    if outcomes.unit == "entity" and not outcomes.entity:
        advice = "name them as `entity` in `[outcomes]`"
        yield Finding("outcomes.entity", "fields, because `unit` is `entity`", "none", advice)
    file = service.contract.input
    check = schema_of(service, project, file) if file else None
    fields = check.schema.get("properties") if check else None
    if not isinstance(fields, dict):
        return
    known = ", ".join(f"`{name}`" for name in fields) or "none"
    for key, names in (("entity", outcomes.entity), ("groups", outcomes.groups)):
        for index, name in enumerate(names):
            if name not in fields:
                expected = f"a property of {file} ({known})"
                yield Finding(f"outcomes.{key}[{index}]", expected, shown(name))


REVIEW_CHECKS = (
    (queue_exists, ("review", "fallback")),
    (review_keys_count, ("review", "fallback")),
    (there_is_where_to_fall, ("review", "fallback")),
    (a_person_stands_last, ("fallback",)),
    (triggers_are_expressions, ()),
    (outcomes_name_fields, ("outcomes", "contract.input")),
)
"""Every check, with the parts that must be sound for it to say anything."""
