"""Which lines of a service file ask for a remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .check_prompts import matter_of
from .service import ServiceDeclaration

Declared = Callable[[ServiceDeclaration], Iterator[str]]
"""Gives the lines of a service that ask for a remedy."""


def budget(service: ServiceDeclaration) -> Iterator[str]:
    """Yield a latency budget."""
    if service.objectives.latency_p95_ms is not None:
        yield f"objectives.latency_p95_ms = {service.objectives.latency_p95_ms}"


def deadline(service: ServiceDeclaration) -> Iterator[str]:
    """A deadline without anywhere to fall back to only ends requests."""
    found = list(fallbacks(service))
    if found:
        yield f"objectives.deadline_ms = {service.objectives.deadline_ms}"
        yield from found


def load(service: ServiceDeclaration) -> Iterator[str]:
    """What is tested is the way of the data: a service without views has none."""
    if service.features.views and service.volume.requests_per_second is not None:
        yield f"volume.requests_per_second = {service.volume.requests_per_second:g}"


def input_contract(service: ServiceDeclaration) -> Iterator[str]:
    """Yield what inputs must keep."""
    if service.contract.input:
        yield f"contract.input = {service.contract.input}"


def views(service: ServiceDeclaration) -> Iterator[str]:
    """Yield the feature views."""
    if service.features.views:
        first, *others = service.features.views
        yield f"features.views = {first}" + (f" and {len(others)} more" if others else "")


def bodies(service: ServiceDeclaration) -> Iterator[str]:
    """Yield that bodies are kept."""
    if service.records.bodies == "full":
        yield "records.bodies = full"


def suites(service: ServiceDeclaration) -> Iterator[str]:
    """Yield the suites of cases."""
    if service.evaluation.suites:
        first, *others = service.evaluation.suites
        yield f"evaluation.suites = {first}" + (f" and {len(others)} more" if others else "")


def judge(service: ServiceDeclaration) -> Iterator[str]:
    """Yield what judges a candidate."""
    if service.release.judge != "none":
        yield f"release.judge = {service.release.judge}"


def output_schemas(service: ServiceDeclaration) -> Iterator[str]:
    """Yield what answers must keep."""
    if service.contract.output:
        yield f"contract.output = {service.contract.output}"
    for index, guard in enumerate(service.guards):
        if guard.use == "schema" and guard.on == "output":
            yield f"guards[{index}].schema = {guard.schema_file}"


def prompt(service: ServiceDeclaration) -> Iterator[str]:
    """Yield the prompt."""
    if service.prompt is not None:
        yield f"prompt.file = {service.prompt.file}"


def typed(service: ServiceDeclaration) -> Iterator[str]:
    """Only inputs that a prompt declares between `+++` lines have types."""
    matter = matter_of(service, service.folder)
    if service.prompt is not None and matter is not None and matter.inputs:
        yield f"prompt.file = {service.prompt.file}: {', '.join(matter.inputs)}"


def mended(service: ServiceDeclaration) -> Iterator[str]:
    """Yield what JSON is held to."""
    if service.kind == "generate" and service.contract.output:
        yield f"contract.output = {service.contract.output}"
        yield f"contract.reasks = {service.contract.reasks}"


def fallbacks(service: ServiceDeclaration) -> Iterator[str]:
    """Yield what answers when a model does not."""
    for entry in service.chain[1:]:
        yield f"models[{service.models.index(entry)}].name = {entry.name}"
    for index, rung in enumerate(service.fallback):
        yield f"fallback[{index}].use = {rung.use}"


def last_rungs(service: ServiceDeclaration) -> Iterator[str]:
    """Yield the last rungs of the ladder."""
    for index, rung in enumerate(service.fallback):
        if rung.use != "model":
            yield f"fallback[{index}].use = {rung.use}"


def rules(service: ServiceDeclaration) -> Iterator[str]:
    """Yield the rules."""
    for index, guard in enumerate(service.guards):
        if guard.use == "rule":
            yield f"guards[{index}].name = {guard.name}"


def bounds(service: ServiceDeclaration) -> Iterator[str]:
    """Yield the bound of what is answered alone."""
    if service.review is not None and service.review.max_error is not None:
        yield f"review.max_error = {service.review.max_error}"


def exact_cache(service: ServiceDeclaration) -> Iterator[str]:
    """Yield how long answers are given again."""
    if service.cache.exact_ttl_s is not None:
        yield f"cache.exact_ttl_s = {service.cache.exact_ttl_s}"


def semantic_cache(service: ServiceDeclaration) -> Iterator[str]:
    """Yield the bound of answers given to other questions."""
    if service.cache.semantic is not None:
        yield f"cache.semantic.max_error = {service.cache.semantic.max_error:g}"


def token_budgets(service: ServiceDeclaration) -> Iterator[str]:
    """Yield the budgets of tokens."""
    for name in ("max_input_tokens", "max_history_tokens", "max_output_tokens"):
        value = getattr(service.context, name)
        if value is not None:
            yield f"context.{name} = {value}"


def retrieval(service: ServiceDeclaration) -> Iterator[str]:
    """Yield how much is retrieved."""
    retrieval = service.context.retrieval
    if retrieval is not None:
        yield f"context.retrieval.top_k = {retrieval.top_k}"
        yield f"context.retrieval.max_tokens = {retrieval.max_tokens}"


def caps(service: ServiceDeclaration) -> Iterator[str]:
    """Yield the ceilings."""
    names = ("per_day_usd", "per_month_usd", "per_user_per_day_usd", "per_user_per_month_usd")
    for name in names:
        value = getattr(service.cost, name)
        if value is not None:
            yield f"cost.{name} = {value:f}"


def asks(service: ServiceDeclaration) -> Iterator[str]:
    """Give what stops an answer until a person has seen it."""
    review = service.review
    if review is None or review.queue is None:
        return
    for index, rule in enumerate(review.when):
        yield f"review.when[{index}] = {rule}"
    if review.max_error is not None:
        yield f"review.max_error = {review.max_error}"


def scope(service: ServiceDeclaration) -> Iterator[str]:
    """Yield what is out of scope."""
    if service.review is not None and service.review.out_of_scope is not None:
        yield f"review.out_of_scope = {service.review.out_of_scope:g}"


def queue(service: ServiceDeclaration) -> Iterator[str]:
    """Yield the queue of people."""
    review = service.review
    if review is not None and review.queue is not None:
        yield f"review.queue = {review.queue}"


def in_time(service: ServiceDeclaration) -> Iterator[str]:
    """A queue says who is asked, and these by when and how often."""
    review = service.review
    if review is None or review.queue is None:
        return
    yield from queue(service)
    yield f"review.respond_within = {review.respond_within}"
    if review.capacity_per_day is not None:
        yield f"review.capacity_per_day = {review.capacity_per_day}"


def last_resort(service: ServiceDeclaration) -> Iterator[str]:
    """Yield what becomes of what nobody decided."""
    review = service.review
    if review is not None and review.queue is not None:
        yield from queue(service)
        yield f"review.on_expiry = {review.on_expiry}"


def repeats(service: ServiceDeclaration) -> Iterator[str]:
    """Only repeats show whether the same input gives the same output."""
    if service.evaluation.suites and service.evaluation.repeats > 1:
        yield f"evaluation.repeats = {service.evaluation.repeats}"


def behaviours(service: ServiceDeclaration) -> Iterator[str]:
    """Yield the behaviours."""
    for index, entry in enumerate(service.evaluation.behaviours):
        if entry.use != "attacks":
            yield f"evaluation.behaviours[{index}].use = {entry.use}"


def fairness(service: ServiceDeclaration) -> Iterator[str]:
    """Yield how far groups may differ."""
    for index, entry in enumerate(service.objectives.fairness):
        bar = f"{entry.metric} of {' x '.join(entry.fields)}"
        yield f"objectives.fairness[{index}].metric = {bar}"


def attacks(service: ServiceDeclaration) -> Iterator[str]:
    """Give what attacks a service: suites that come with the package, or its own inputs changed."""
    for index, name in enumerate(service.evaluation.suites):
        if name.partition("/")[0] == "builtin:attacks":
            yield f"evaluation.suites[{index}] = {name}"
    for index, entry in enumerate(service.evaluation.behaviours):
        if entry.use in ("attacks", "bounded"):
            yield f"evaluation.behaviours[{index}].use = {entry.use}"


def cost_key(name: str) -> Declared:
    """Return what gives the line of one key of `[cost]`, where it is declared."""

    def declared(service: ServiceDeclaration) -> Iterator[str]:
        value = getattr(service.cost, name)
        if value is not None:
            yield f"cost.{name} = {value:f}"

    return declared


def refuses_losses(service: ServiceDeclaration) -> Iterator[str]:
    """Yield that losses hold releases up."""
    if service.cost.on_loss == "refuse":
        yield f"cost.on_loss = {service.cost.on_loss}"
