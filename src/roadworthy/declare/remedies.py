"""Which of the field's known failures a service is kept from, graded by what enforces the remedy.

Rows are numbered as in the list of 125 failures that the project exists to prevent. Only those are
here that the code keeps today, each with a test that fails without it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from . import remedy_lines as lines
from . import routes_declared as routes
from .remedy_lines import Declared
from .service import ServiceDeclaration

Grade = Literal["kept", "declare"]


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
    found = ", ".join(declared(service))
    if not found:
        return Graded(row, text, "declare", enforced_by, f"`{key}` is not declared")
    return Graded(row, text, "kept", enforced_by, found)


REMEDIES = (
    Remedy(1, "every request leaves a record, without opting in", "serve/record.py"),
    Remedy(
        4,
        "features come from declared sources only, each with a contract",
        "data/relations.py",
        "features.views",
        lines.views,
    ),
    Remedy(5, "a term means one thing in all contracts of a project", "data/glossary.py"),
    Remedy(
        6,
        "served features held against the views, row by row, and against training",
        "data/skew.py",
        "features.views",
        lines.views,
    ),
    Remedy(
        7,
        "a point-in-time join, and a search for features that know too much",
        "data/view_leaks.py",
        "features.views",
        lines.views,
    ),
    Remedy(
        8,
        "one definition of a feature for training and for serving",
        "data/views.py",
        "features.views",
        lines.views,
    ),
    Remedy(
        9,
        "a training set is a value: its id rebuilds it",
        "data/snapshots.py",
        "features.views",
        lines.views,
    ),
    Remedy(
        10,
        "a breaking change of a contract stops the next release",
        "release/agreement.py",
        "features.views",
        lines.views,
    ),
    Remedy(
        11,
        "batches of a source are held to its contract",
        "data/validate.py",
        "features.views",
        lines.views,
    ),
    Remedy(
        12,
        "each live request is held to its contract before it reaches a model",
        "serve/engine.py",
        "contract.input",
        lines.input_contract,
    ),
    Remedy(
        13,
        "a declared latency budget; each request above it is counted as late",
        "serve/record.py",
        "objectives.latency_p95_ms",
        lines.budget,
    ),
    Remedy(
        14,
        "the deadline is enforced on the request's way, and what is late falls back",
        "serve/failover.py",
        "fallback",
        lines.deadline,
    ),
    Remedy(
        23,
        "budgets of tokens for all that goes in, for history and output, kept by what is oldest",
        "serve/trimming.py",
        "context.max_input_tokens",
        lines.token_budgets,
    ),
    Remedy(
        24,
        "few passages, none said twice, within their tokens, and the record tells how many",
        "signals/search.py",
        "context.retrieval",
        lines.retrieval,
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
        lines.typed,
    ),
    Remedy(
        31,
        "an answer that breaks its JSON Schema is never shown",
        "serve/judge.py",
        "contract.output",
        lines.output_schemas,
    ),
    Remedy(
        32,
        "a prompt is part of its release, and each answer says which version it was told",
        "declare/prompts.py",
        "prompt.file",
        lines.prompt,
    ),
    Remedy(
        33,
        "the same cases asked of each change, and one refused that answers them worse",
        "evaluate/comparing.py",
        "evaluation.suites",
        lines.suites,
    ),
    Remedy(
        34,
        "each case asked several times, and the share of those that disagree held to a bar",
        "evaluate/stability.py",
        "evaluation.repeats",
        lines.repeats,
    ),
    Remedy(
        35,
        "JSON that is nearly right is mended without a loss, or asked for once more",
        "serve/mending.py",
        "contract.output",
        lines.mended,
    ),
    Remedy(
        36,
        "one request asked again of the release that answered, with its input and features",
        "serve/replay.py",
        "records.bodies",
        lines.bodies,
    ),
    Remedy(
        43,
        "which combinations of tags, fields and features production has and the suites lack",
        "evaluate/coverage.py",
        "evaluation.suites",
        lines.suites,
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
        lines.fallbacks,
    ),
    Remedy(
        46,
        "a ladder down to an old answer, a rule or a static answer",
        "serve/ladder.py",
        "fallback",
        lines.last_rungs,
    ),
    Remedy(
        48,
        "one command, run by a ready workflow, holds each change to checks, contracts and suites",
        "app/pipeline.py",
        "evaluation.suites",
        lines.suites,
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
        lines.judge,
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
        lines.asks,
    ),
    Remedy(
        69,
        "who is not sure asks a person, and what nobody decides is escalated, then answered anew",
        "review/expiry.py",
        "review.queue",
        lines.last_resort,
    ),
    Remedy(
        70,
        "decisions with label, correction, reason and severity, in a chain that shows tampering",
        "review/rulings.py",
        "review.queue",
        lines.queue,
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
        lines.in_time,
    ),
    Remedy(
        73,
        "what waits is told to a webhook or Slack, and can be decided over HTTP",
        "app/review_room.py",
        "review.queue",
        lines.queue,
    ),
    Remedy(
        74,
        "a confidence calibrated on the service's own outcomes, fitted again as they double",
        "review/calibrate.py",
        "review.max_error",
        lines.bounds,
    ),
    Remedy(
        75,
        "a person decides of inputs far from all that the release was asked before",
        "review/desk.py",
        "review.out_of_scope",
        lines.scope,
    ),
    Remedy(
        76,
        "nothing is given alone any more once an audit shows that its bound is broken",
        "review/audits.py",
        "review.max_error",
        lines.bounds,
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
        lines.rules,
    ),
    Remedy(
        89,
        "the same question of whoever shares answers costs nothing for a time, and only then",
        "serve/caches.py",
        "cache.exact_ttl_s",
        lines.exact_cache,
    ),
    Remedy(
        90,
        "a question that means the same is given an answer within a certified bound, audited",
        "serve/semantic.py",
        "cache.semantic",
        lines.semantic_cache,
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
        lines.caps,
    ),
    Remedy(
        100,
        "a budget of each service, and of each tag (a feature, an action) over all of them",
        "cost/ceilings.py",
        "cost.per_day_usd",
        lines.caps,
    ),
    Remedy(
        101,
        "trainings have a price and a pace, in estimates and in reports",
        "cost/extras.py",
        "cost.retrain_usd",
        lines.cost_key("retrain_usd"),
    ),
    Remedy(
        102,
        "bytes that leave have a price, in estimates and in reports",
        "cost/extras.py",
        "cost.egress_usd_per_gb",
        lines.cost_key("egress_usd_per_gb"),
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
        lines.cost_key("value_per_answer_usd"),
    ),
    Remedy(
        108,
        "none takes over from another before its cases were asked of exactly it, and passed",
        "release/measures.py",
        "evaluation.suites",
        lines.suites,
    ),
    Remedy(
        109,
        "inputs changed in ways whose effect is known, and answers held to it",
        "evaluate/behaviours.py",
        "evaluation.behaviours",
        lines.behaviours,
    ),
    Remedy(
        110,
        "differences between groups held to a bar, with an interval for the largest",
        "evaluate/fairness.py",
        "objectives.fairness",
        lines.fairness,
    ),
    Remedy(
        111,
        "attacks that come with the package, and a search for what flips a label",
        "evaluate/builtin.py",
        "evaluation.suites",
        lines.attacks,
    ),
    Remedy(
        114,
        "a feature older than its ttl is missing, and how old each was is in the record",
        "data/served.py",
        "features.views",
        lines.views,
    ),
    Remedy(
        115,
        "pipelines and monitors tested at declared volumes, and batches held to them",
        "data/loadtest.py",
        "volume.requests_per_second",
        lines.load,
    ),
    Remedy(
        117,
        "a release whose accepted answers cost more than they are worth does not ship",
        "release/worth.py",
        "cost.on_loss",
        lines.refuses_losses,
    ),
    Remedy(
        118,
        "a correction is given at once wherever the same is asked, and its answer leaves the cache",
        "review/desk.py",
        "review.queue",
        lines.queue,
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
