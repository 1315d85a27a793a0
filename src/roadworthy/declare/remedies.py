"""Which of the field's known failures a service is kept from, graded by what enforces the remedy.

Rows are numbered as in the list of 125 failures that the project exists to prevent. Only those are
here that the code keeps today, each with a test that fails without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from . import routes_declared as routes
from .check_prompts import matter_of
from .service import ServiceDeclaration

Grade = Literal["kept", "declare"]
Declared = Callable[[ServiceDeclaration], Iterator[str]]


class Remedy(NamedTuple):
    """What is owed against one failure.

    Attributes:
        row: Its number in the list.
        remedy: What is done.
        enforced_by: The file that does it.
        key: The key that asks for it; empty where every service has it.
        declared: Gives the lines of a service that ask for it.
    """

    row: int
    remedy: str
    enforced_by: str
    key: str = ""
    declared: Declared | None = None


class Graded(NamedTuple):
    """How one service stands to one remedy.

    Attributes:
        grade: `kept`, or `declare`: its file does not ask for it yet.
        evidence: The lines that ask for it, `always`, or the key to declare.
    """

    row: int
    remedy: str
    grade: Grade
    enforced_by: str
    evidence: str


def graded_remedies(service: ServiceDeclaration) -> tuple[Graded, ...]:
    """Return every remedy that the code keeps today, in the order of the list, for one service."""
    return tuple(_grade(remedy, service) for remedy in REMEDIES)


def _grade(remedy: Remedy, service: ServiceDeclaration) -> Graded:
    row, text, enforced_by, key, declared = remedy
    if declared is None:
        return Graded(row, text, "kept", enforced_by, "always")
    lines = ", ".join(declared(service))
    if not lines:
        return Graded(row, text, "declare", enforced_by, f"`{key}` is not declared")
    return Graded(row, text, "kept", enforced_by, lines)


def _budget(service: ServiceDeclaration) -> Iterator[str]:
    if service.objectives.latency_p95_ms is not None:
        yield f"objectives.latency_p95_ms = {service.objectives.latency_p95_ms}"


def _deadline(service: ServiceDeclaration) -> Iterator[str]:
    """A deadline without anywhere to fall back to only ends requests."""
    fallbacks = list(_fallbacks(service))
    if fallbacks:
        yield f"objectives.deadline_ms = {service.objectives.deadline_ms}"
        yield from fallbacks


def _load(service: ServiceDeclaration) -> Iterator[str]:
    """What is tested is the way of the data: a service without views has none."""
    if service.features.views and service.volume.requests_per_second is not None:
        yield f"volume.requests_per_second = {service.volume.requests_per_second:g}"


def _input_contract(service: ServiceDeclaration) -> Iterator[str]:
    if service.contract.input:
        yield f"contract.input = {service.contract.input}"


def _views(service: ServiceDeclaration) -> Iterator[str]:
    if service.features.views:
        first, *others = service.features.views
        yield f"features.views = {first}" + (f" and {len(others)} more" if others else "")


def _bodies(service: ServiceDeclaration) -> Iterator[str]:
    if service.records.bodies == "full":
        yield "records.bodies = full"


def _suites(service: ServiceDeclaration) -> Iterator[str]:
    if service.evaluation.suites:
        first, *others = service.evaluation.suites
        yield f"evaluation.suites = {first}" + (f" and {len(others)} more" if others else "")


def _judge(service: ServiceDeclaration) -> Iterator[str]:
    if service.release.judge != "none":
        yield f"release.judge = {service.release.judge}"


def _output_schemas(service: ServiceDeclaration) -> Iterator[str]:
    if service.contract.output:
        yield f"contract.output = {service.contract.output}"
    for index, guard in enumerate(service.guards):
        if guard.use == "schema" and guard.on == "output":
            yield f"guards[{index}].schema = {guard.schema_file}"


def _prompt(service: ServiceDeclaration) -> Iterator[str]:
    if service.prompt is not None:
        yield f"prompt.file = {service.prompt.file}"


def _typed(service: ServiceDeclaration) -> Iterator[str]:
    """Only inputs that a prompt declares between `+++` lines have types."""
    matter = matter_of(service, service.folder)
    if service.prompt is not None and matter is not None and matter.inputs:
        yield f"prompt.file = {service.prompt.file}: {', '.join(matter.inputs)}"


def _mended(service: ServiceDeclaration) -> Iterator[str]:
    if service.kind == "generate" and service.contract.output:
        yield f"contract.output = {service.contract.output}"
        yield f"contract.reasks = {service.contract.reasks}"


def _fallbacks(service: ServiceDeclaration) -> Iterator[str]:
    for entry in service.chain[1:]:
        yield f"models[{service.models.index(entry)}].name = {entry.name}"
    for index, rung in enumerate(service.fallback):
        yield f"fallback[{index}].use = {rung.use}"


def _last_rungs(service: ServiceDeclaration) -> Iterator[str]:
    for index, rung in enumerate(service.fallback):
        if rung.use != "model":
            yield f"fallback[{index}].use = {rung.use}"


def _rules(service: ServiceDeclaration) -> Iterator[str]:
    for index, guard in enumerate(service.guards):
        if guard.use == "rule":
            yield f"guards[{index}].name = {guard.name}"


def _bounds(service: ServiceDeclaration) -> Iterator[str]:
    if service.review is not None and service.review.max_error is not None:
        yield f"review.max_error = {service.review.max_error}"


def _exact_cache(service: ServiceDeclaration) -> Iterator[str]:
    if service.cache.exact_ttl_s is not None:
        yield f"cache.exact_ttl_s = {service.cache.exact_ttl_s}"


def _semantic_cache(service: ServiceDeclaration) -> Iterator[str]:
    if service.cache.semantic is not None:
        yield f"cache.semantic.max_error = {service.cache.semantic.max_error:g}"


def _token_budgets(service: ServiceDeclaration) -> Iterator[str]:
    for name in ("max_input_tokens", "max_history_tokens", "max_output_tokens"):
        value = getattr(service.context, name)
        if value is not None:
            yield f"context.{name} = {value}"


def _retrieval(service: ServiceDeclaration) -> Iterator[str]:
    retrieval = service.context.retrieval
    if retrieval is not None:
        yield f"context.retrieval.top_k = {retrieval.top_k}"
        yield f"context.retrieval.max_tokens = {retrieval.max_tokens}"


def _caps(service: ServiceDeclaration) -> Iterator[str]:
    names = ("per_day_usd", "per_month_usd", "per_user_per_day_usd", "per_user_per_month_usd")
    for name in names:
        value = getattr(service.cost, name)
        if value is not None:
            yield f"cost.{name} = {value:f}"


def _asks(service: ServiceDeclaration) -> Iterator[str]:
    """Give what stops an answer until a person has seen it."""
    review = service.review
    if review is None or review.queue is None:
        return
    for index, rule in enumerate(review.when):
        yield f"review.when[{index}] = {rule}"
    if review.max_error is not None:
        yield f"review.max_error = {review.max_error}"


def _scope(service: ServiceDeclaration) -> Iterator[str]:
    if service.review is not None and service.review.out_of_scope is not None:
        yield f"review.out_of_scope = {service.review.out_of_scope:g}"


def _queue(service: ServiceDeclaration) -> Iterator[str]:
    review = service.review
    if review is not None and review.queue is not None:
        yield f"review.queue = {review.queue}"


def _in_time(service: ServiceDeclaration) -> Iterator[str]:
    """A queue says who is asked, and these by when and how often."""
    review = service.review
    if review is None or review.queue is None:
        return
    yield from _queue(service)
    yield f"review.respond_within = {review.respond_within}"
    if review.capacity_per_day is not None:
        yield f"review.capacity_per_day = {review.capacity_per_day}"


def _last_resort(service: ServiceDeclaration) -> Iterator[str]:
    review = service.review
    if review is not None and review.queue is not None:
        yield from _queue(service)
        yield f"review.on_expiry = {review.on_expiry}"


def _repeats(service: ServiceDeclaration) -> Iterator[str]:
    """Only repeats show whether the same input gives the same output."""
    if service.evaluation.suites and service.evaluation.repeats > 1:
        yield f"evaluation.repeats = {service.evaluation.repeats}"


def _behaviours(service: ServiceDeclaration) -> Iterator[str]:
    for index, entry in enumerate(service.evaluation.behaviours):
        if entry.use != "attacks":
            yield f"evaluation.behaviours[{index}].use = {entry.use}"


def _fairness(service: ServiceDeclaration) -> Iterator[str]:
    for index, entry in enumerate(service.objectives.fairness):
        bar = f"{entry.metric} of {' x '.join(entry.fields)}"
        yield f"objectives.fairness[{index}].metric = {bar}"


def _attacks(service: ServiceDeclaration) -> Iterator[str]:
    """Give what attacks a service: suites that come with the package, or its own inputs changed."""
    for index, name in enumerate(service.evaluation.suites):
        if name.partition("/")[0] == "builtin:attacks":
            yield f"evaluation.suites[{index}] = {name}"
    for index, entry in enumerate(service.evaluation.behaviours):
        if entry.use in ("attacks", "bounded"):
            yield f"evaluation.behaviours[{index}].use = {entry.use}"


def _cost_key(name: str) -> Declared:
    """Return what gives the line of one key of `[cost]`, where it is declared."""

    def declared(service: ServiceDeclaration) -> Iterator[str]:
        value = getattr(service.cost, name)
        if value is not None:
            yield f"cost.{name} = {value:f}"

    return declared


def _refuses_losses(service: ServiceDeclaration) -> Iterator[str]:
    if service.cost.on_loss == "refuse":
        yield f"cost.on_loss = {service.cost.on_loss}"


REMEDIES = (
    Remedy(1, "every request leaves a record, without opting in", "serve/record.py"),
    Remedy(
        4,
        "features come from declared sources only, each with a contract",
        "data/relations.py",
        "features.views",
        _views,
    ),
    Remedy(5, "a term means one thing in all contracts of a project", "data/glossary.py"),
    Remedy(
        6,
        "served features held against the views, row by row, and against training",
        "data/skew.py",
        "features.views",
        _views,
    ),
    Remedy(
        7,
        "a point-in-time join, and a search for features that know too much",
        "data/view_leaks.py",
        "features.views",
        _views,
    ),
    Remedy(
        8,
        "one definition of a feature for training and for serving",
        "data/views.py",
        "features.views",
        _views,
    ),
    Remedy(
        9,
        "a training set is a value: its id rebuilds it",
        "data/snapshots.py",
        "features.views",
        _views,
    ),
    Remedy(
        10,
        "a breaking change of a contract stops the next release",
        "release/agreement.py",
        "features.views",
        _views,
    ),
    Remedy(
        11,
        "batches of a source are held to its contract",
        "data/validate.py",
        "features.views",
        _views,
    ),
    Remedy(
        12,
        "each live request is held to its contract before it reaches a model",
        "serve/engine.py",
        "contract.input",
        _input_contract,
    ),
    Remedy(
        13,
        "a declared latency budget; each request above it is counted as late",
        "serve/record.py",
        "objectives.latency_p95_ms",
        _budget,
    ),
    Remedy(
        14,
        "the deadline is enforced on the request's way, and what is late falls back",
        "serve/failover.py",
        "fallback",
        _deadline,
    ),
    Remedy(
        23,
        "budgets of tokens for all that goes in, for history and output, kept by what is oldest",
        "serve/trimming.py",
        "context.max_input_tokens",
        _token_budgets,
    ),
    Remedy(
        24,
        "few passages, none said twice, within their tokens, and the record tells how many",
        "signals/search.py",
        "context.retrieval",
        _retrieval,
    ),
    Remedy(
        26,
        "the same texts are counted for both models where a release changes one",
        "release/token_change.py",
    ),
    Remedy(
        27,
        "what does not fit a known context window goes to the next model, without a call",
        "serve/window.py",
    ),
    Remedy(
        28,
        "limits are kept before a provider refuses; a refusal is waited for or passed on",
        "serve/breaker.py",
    ),
    Remedy(
        29,
        "an answer that was cut off is marked, failed over or gone on with, never taken for whole",
        "serve/continuing.py",
    ),
    Remedy(
        30,
        "the inputs of a prompt have types, held to at loading and for each request",
        "declare/prompt_matter.py",
        "prompt.file",
        _typed,
    ),
    Remedy(
        31,
        "an answer that breaks its JSON Schema is never shown",
        "serve/judge.py",
        "contract.output",
        _output_schemas,
    ),
    Remedy(
        32,
        "a prompt is part of its release, and each answer says which version it was told",
        "declare/prompts.py",
        "prompt.file",
        _prompt,
    ),
    Remedy(
        33,
        "the same cases asked of each change, and one refused that answers them worse",
        "evaluate/comparing.py",
        "evaluation.suites",
        _suites,
    ),
    Remedy(
        34,
        "each case asked several times, and the share of those that disagree held to a bar",
        "evaluate/stability.py",
        "evaluation.repeats",
        _repeats,
    ),
    Remedy(
        35,
        "JSON that is nearly right is mended without a loss, or asked for once more",
        "serve/mending.py",
        "contract.output",
        _mended,
    ),
    Remedy(
        36,
        "one request asked again of the release that answered, with its input and features",
        "serve/replay.py",
        "records.bodies",
        _bodies,
    ),
    Remedy(
        43,
        "which combinations of tags, fields and features production has and the suites lack",
        "evaluate/coverage.py",
        "evaluation.suites",
        _suites,
    ),
    Remedy(
        44,
        "what a month will cost at a volume, with its range and what drives it",
        "cost/estimate.py",
    ),
    Remedy(
        45,
        "declared fallbacks when a model fails or is late",
        "serve/failover.py",
        "fallback",
        _fallbacks,
    ),
    Remedy(
        46,
        "a ladder down to an old answer, a rule or a static answer",
        "serve/ladder.py",
        "fallback",
        _last_rungs,
    ),
    Remedy(
        48,
        "one command, run by a ready workflow, holds each change to checks, contracts and suites",
        "app/pipeline.py",
        "evaluation.suites",
        _suites,
    ),
    Remedy(
        50,
        "what a release was built with is kept, and each record says what differs since",
        "release/environment.py",
    ),
    Remedy(51, "limits on requests at work and on connections", "serve/gateway.py"),
    Remedy(
        52,
        "a candidate meets more and more users, or a shadow's requests, and harm takes it back",
        "release/canary.py",
        "release.judge",
        _judge,
    ),
    Remedy(53, "each single answer leads back to what made it", "release/lineage.py"),
    Remedy(54, "a registry of releases, their aliases and their history", "release/registry.py"),
    Remedy(
        55,
        "a release ships when its gates hold, each by evidence with date and digest",
        "release/gates.py",
    ),
    Remedy(
        56,
        "two releases side by side: quality by part, latency, cost, and all that differs",
        "release/compare.py",
    ),
    Remedy(
        57,
        "one step back: model, prompt, features, guards, limits and certificates together",
        "release/promotion.py",
    ),
    Remedy(58, "every act in a chain that shows tampering, with who and why", "store/actions.py"),
    Remedy(
        67,
        "every token is metered: cached, written, reasoning and sound, each at its own price",
        "models/counts.py",
    ),
    Remedy(
        68,
        "rules and bounds hold an answer until a person approves, corrects or rejects it",
        "review/rulings.py",
        "review.queue",
        _asks,
    ),
    Remedy(
        69,
        "who is not sure asks a person, and what nobody decides is escalated, then answered anew",
        "review/expiry.py",
        "review.queue",
        _last_resort,
    ),
    Remedy(
        70,
        "decisions with label, correction, reason and severity, in a chain that shows tampering",
        "review/rulings.py",
        "review.queue",
        _queue,
    ),
    Remedy(
        71,
        "decisions are held back until they pass their checks, before anything learns from them",
        "improve/made.py",
    ),
    Remedy(
        72,
        "each queue has an owner, each case a time, each day only as many as people can look at",
        "review/capacity.py",
        "review.queue",
        _in_time,
    ),
    Remedy(
        73,
        "what waits is told to a webhook or Slack, and can be decided over HTTP",
        "app/review_room.py",
        "review.queue",
        _queue,
    ),
    Remedy(
        74,
        "a confidence calibrated on the service's own outcomes, fitted again as they double",
        "review/calibrate.py",
        "review.max_error",
        _bounds,
    ),
    Remedy(
        75,
        "a person decides of inputs far from all that the release was asked before",
        "review/desk.py",
        "review.out_of_scope",
        _scope,
    ),
    Remedy(
        76,
        "nothing is given alone any more once an audit shows that its bound is broken",
        "review/audits.py",
        "review.max_error",
        _bounds,
    ),
    Remedy(
        77,
        "a person overrides one answer, or stops a service, a model or what is given alone",
        "store/switchboard.py",
    ),
    Remedy(
        78,
        "what moved a prediction is kept with each decision, and shown of any other on demand",
        "serve/explaining.py",
    ),
    Remedy(
        79,
        "corrections become cases of a suite and rows to train on",
        "improve/training.py",
    ),
    Remedy(
        88,
        "deterministic rules that inputs or answers must pass",
        "guard/rule.py",
        "guards",
        _rules,
    ),
    Remedy(
        89,
        "the same question of whoever shares answers costs nothing for a time, and only then",
        "serve/caches.py",
        "cache.exact_ttl_s",
        _exact_cache,
    ),
    Remedy(
        90,
        "a question that means the same is given an answer within a certified bound, audited",
        "serve/semantic.py",
        "cache.semantic",
        _semantic_cache,
    ),
    Remedy(
        91,
        "what is the same in each call of a prompt is marked for the provider to keep, and counted",
        "models/anthropic.py",
    ),
    Remedy(
        92,
        "a local model does not read again what it read of a prompt before",
        "models/llama_cpp.py",
    ),
    Remedy(
        93,
        "rules over complexity, doubt, time left, price and who asks choose the model",
        "serve/rules.py",
        "routing.rules",
        routes.route_rules,
    ),
    Remedy(
        94,
        "what people want, by examples of it, chooses the model",
        "serve/intents.py",
        "routing.intents",
        routes.intents,
    ),
    Remedy(
        95,
        "the cheapest model answers, and what it is not sure of goes up, within a certified bound",
        "serve/cascade.py",
        "routing.strategy",
        routes.cascade,
    ),
    Remedy(
        96,
        "an answer below the certified score is a failed try, like an error",
        "serve/cascade.py",
        "routing.strategy",
        routes.cascade,
    ),
    Remedy(
        97,
        "models on this machine answer by the same protocols, checks and records",
        "models/llama_cpp.py",
    ),
    Remedy(98, "costs by service, user, team, tag and key", "store/rollups.py"),
    Remedy(
        99,
        "caps of a day and a month that are set aside before the call",
        "cost/ledger.py",
        "cost.per_day_usd",
        _caps,
    ),
    Remedy(
        100,
        "a budget of each service, and of each tag (a feature, an action) over all of them",
        "cost/ceilings.py",
        "cost.per_day_usd",
        _caps,
    ),
    Remedy(
        101,
        "trainings have a price and a pace, in estimates and in reports",
        "cost/extras.py",
        "cost.retrain_usd",
        _cost_key("retrain_usd"),
    ),
    Remedy(
        102,
        "bytes that leave have a price, in estimates and in reports",
        "cost/extras.py",
        "cost.egress_usd_per_gb",
        _cost_key("egress_usd_per_gb"),
    ),
    Remedy(
        103,
        "a calculator: what a service will cost, from its requests or its sizes",
        "cli/cost_estimate.py",
    ),
    Remedy(
        104,
        "what an accepted answer costs beside what it is worth",
        "cost/report.py",
        "cost.value_per_answer_usd",
        _cost_key("value_per_answer_usd"),
    ),
    Remedy(
        108,
        "none takes over from another before its cases were asked of exactly it, and passed",
        "release/measures.py",
        "evaluation.suites",
        _suites,
    ),
    Remedy(
        109,
        "inputs changed in ways whose effect is known, and answers held to it",
        "evaluate/behaviours.py",
        "evaluation.behaviours",
        _behaviours,
    ),
    Remedy(
        110,
        "differences between groups held to a bar, with an interval for the largest",
        "evaluate/fairness.py",
        "objectives.fairness",
        _fairness,
    ),
    Remedy(
        111,
        "attacks that come with the package, and a search for what flips a label",
        "evaluate/builtin.py",
        "evaluation.suites",
        _attacks,
    ),
    Remedy(
        114,
        "a feature older than its ttl is missing, and how old each was is in the record",
        "data/served.py",
        "features.views",
        _views,
    ),
    Remedy(
        115,
        "pipelines and monitors tested at declared volumes, and batches held to them",
        "data/loadtest.py",
        "volume.requests_per_second",
        _load,
    ),
    Remedy(
        117,
        "a release whose accepted answers cost more than they are worth does not ship",
        "release/worth.py",
        "cost.on_loss",
        _refuses_losses,
    ),
    Remedy(
        118,
        "a correction is given at once wherever the same is asked, and its answer leaves the cache",
        "review/desk.py",
        "review.queue",
        _queue,
    ),
    Remedy(
        121,
        "a small model names what is wanted, and only a declared intent counts",
        "serve/asking.py",
        "routing.use",
        routes.asks_a_model,
    ),
)
"""The remedies that the code keeps today, in the order of the list."""
