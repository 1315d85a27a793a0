"""What became of one request: a sentence, why, and its walk through the engine's steps.

Everything is made from the record alone, so that it stays true when the service has moved on.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from ..types import MICRO, Attempt, PassageFound, Record, Verdict
from . import numbers
from .judged import RUNGS, answers_judged
from .served import served_states

Progress = Literal["done", "ended", "skipped", "unreached"]

TITLES: Mapping[str, str] = {
    "identify": "Identify the caller",
    "release": "Pick the release",
    "contract": "Check the input",
    "features": "Read the features",
    "guard_input": "Guard the input",
    "cache": "Look into the cache",
    "reserve": "Reserve the budget",
    "route": "Choose the model",
    "call": "Call within the time left",
    "schema": "Check the output",
    "guard_output": "Guard the output",
    "confidence": "State the confidence",
    "decide": "Decide",
    "settle": "Settle",
    "record": "Write the record",
}
"""Every step of the engine in its order, and what a person calls it."""

_OF_SOME = {"context": "Find passages"}
"""What a person calls the steps that only some services have."""

_ENDED_AT = {
    "service_stopped": "release",
    "contract_violation": "contract",
    "invalid_request": "contract",
    "no_passages": "context",
    "budget_exhausted": "reserve",
}
_BECAUSE = {
    "contract_violation": "the input does not keep its contract",
    "invalid_request": "the request cannot be read",
    "guard_denied": "a guard denied it",
    "not_sure": "it may not be answered alone",
    "no_passages": "no passage is near enough to the question",
    "budget_exhausted": "a ceiling is reached",
    "service_stopped": "the service is stopped",
    "overloaded": "too many requests were in flight",
    "payload_too_large": "the request is too large",
    "all_models_failed": "no model gave an answer",
    "model_timeout": "the model took too long",
    "model_unavailable": "the model could not be reached",
    "model_rate_limited": "the provider refused for now",
    "model_rejected": "the provider refused the request",
    "bad_answer": "what came back was no whole answer",
    "cancelled": "the client left",
    "store_unavailable": "it could not be recorded",
    "internal_error": "an error happened inside",
}
_STATUS = {
    "ok": "answered",
    "rejected": "answered, but it may not be shown",
    "stopped": "stopped by a person",
    "no_time_left": "not asked: no time was left",
    "too_dear": "not asked: too little money was left",
    "cancelled": "the client left",
    "no_key": "not asked: its key is not set",
    "cooling": "not asked",
    "busy": "not asked",
}
_UNASKED = frozenset({"stopped", "no_time_left", "too_dear", "no_key", "cooling", "busy"})
"""How a try ends that asked nobody."""

_ROUND = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
"""What a clock's width is a power of ten of."""


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One try of one model on the request's clock; what judged its answer is not in its `ms`."""

    model: str
    what: str
    start_ms: float
    ms: float


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the engine.

    Attributes:
        step: Its name in records and spans.
        progress: `ended` is where the request ended without an answer, `unreached` what comes after
            that, `skipped` a step that had nothing to do.
        what: What happened, in words.
        start_ms: Milliseconds from the request's first byte.
        ms: How long it took; None where that is not measured by itself.
        tries: Of the models it asked.
    """

    step: str
    title: str
    progress: Progress
    what: str
    start_ms: float
    ms: float | None
    tries: tuple[Try, ...] = ()


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request.

    Attributes:
        sentence: What became of it, and why.
        steps: All steps of the engine, in their order, on one clock.
        scale_ms: What the whole width of that clock stands for: the request's time, rounded up.
        objective_ms: The promised latency; None where it is not known, as for a release that
            serves no longer. `deadline_ms` likewise.
        call_share: Share of the time (0-1) that the models took; None where none was asked. What
            the declaration itself says, a rung `static` or `rule`, is no model.
    """

    sentence: str
    steps: tuple[Step, ...]
    scale_ms: float
    objective_ms: float | None = None
    deadline_ms: float | None = None
    call_share: float | None = None


def story_of(
    record: Record,
    *,
    objective_ms: float | None = None,
    deadline_ms: float | None = None,
    rungs: Collection[str] = (),
) -> Story:
    """Return what became of `record`; `rungs` are the models that only the ladder asks."""
    own = _own_us(record)
    asked = [
        us
        for tried, us in zip(record.attempts, own, strict=True)
        if tried.status not in _UNASKED and not tried.model.startswith(RUNGS)
    ]
    took_ms = max(record.latency_us, sum(record.timings.values())) / 1000
    return Story(
        sentence=sentence(record),
        steps=tuple(_steps(record, rungs)),
        scale_ms=_rounded_up(took_ms),
        objective_ms=objective_ms,
        deadline_ms=deadline_ms,
        call_share=min(sum(asked) / max(record.latency_us, 1), 1.0) if asked else None,
    )


def _asked_before(record: Record) -> str:
    """Say to what a cached answer was given first, and how long before."""
    cache = record.cache or {}
    age_s = float(cache.get("age_s", 0))
    before = f"{numbers.span(age_s)} before" if age_s >= 1 else "just before"
    if cache.get("kind") == "semantic":
        return f"{before} to a question that means the same"
    return f"{before} to the same question"


def sentence(record: Record) -> str:
    """Return what became of a request, and why, in one sentence."""
    name, took, model = record.service, numbers.ms(record.latency_us / 1000), record.model
    because = _because(record)
    match record.disposition:
        case "answered":
            ends = [attempt.status for attempt in record.attempts]
            failed = sum(status != "ok" and status not in _UNASKED for status in ends)
            after = f", after {failed} other {'try' if failed == 1 else 'tries'}" if failed else ""
            return f"{name} answered in {took} with {model}{after}."
        case "cached":
            if record.cache and record.cache.get("kind") == "correction":
                return f"{name} gave in {took} what a person had said instead of its answer."
            return f"{name} gave again in {took} what it had answered {_asked_before(record)}."
        case "fallback":
            return f"{name} fell back to {model}: {because}."
        case "review":
            return f"{name} asked a person: {record.decided or because}."
        case "refused":
            return f"{name} refused this request: {because}."
        case "failed":
            return f"{name} failed: {because}."


def status_of(attempt: Attempt) -> str:
    """Return in words how a try ended."""
    known = _STATUS.get(attempt.status) or _BECAUSE.get(attempt.status) or attempt.status
    return f"{known}: {attempt.detail}" if attempt.detail else known


def _because(record: Record) -> str:
    code = record.error_code
    if not code and record.disposition in ("fallback", "review"):
        # What was caught on the way stands in the reasons only, behind its code.
        codes = (reason.partition(":")[0] for reason in reversed(record.reasons))
        code = next((found for found in codes if found in _BECAUSE), "")
    denied = next((v.guard for v in record.verdicts if not v.is_acceptable), "")
    if code == "guard_denied" and denied:
        return f"guard `{denied}` denied it"
    if code == "all_models_failed" and (turned_down := _turned_down(record)):
        return turned_down
    return _BECAUSE.get(code) or code or "the reason was not recorded"


def _turned_down(record: Record) -> str:
    """Return what spoke against the last answer that a model gave; empty where none gave one."""
    for place, tried in reversed(list(enumerate(record.attempts))):
        if tried.status != "rejected":
            continue
        said = answers_judged(record).get(place, ())
        guard = next((verdict.guard for verdict in said if not verdict.is_acceptable), "")
        if guard:
            return f"guard `{guard}` denied the answer of {tried.model}"
        return f"the answer of {tried.model} may not be shown"
    return ""


def _own_us(record: Record) -> list[int]:
    """Return how long each try took by itself: what judged its answer is taken away."""
    judged = answers_judged(record)
    own = [
        max(tried.us - sum(verdict.us for verdict in judged.get(place, ())), 0)
        for place, tried in enumerate(record.attempts)
    ]
    if own and record.disposition == "answered":
        own[-1] = max(own[-1] - record.timings.get("schema", 0), 0)
    return own


def _rounded_up(took_ms: float) -> float:
    """Return a round number of milliseconds that is not below `took_ms`.

    >>> _rounded_up(257), _rounded_up(1.2), _rounded_up(98.7), _rounded_up(0)
    (300.0, 1.2, 100.0, 1)
    """
    if took_ms <= 0:
        return 1
    power = 10.0 ** math.floor(math.log10(took_ms))
    # To three digits, because what a power of ten makes of 1.2 is not always 1.2.
    found = next(n for n in _ROUND if float(f"{n * power:.3g}") >= took_ms)
    return float(f"{found * power:.3g}")


def _steps(record: Record, rungs: Collection[str]) -> list[Step]:
    calls, falls = _tries(record, rungs)
    own_us = _own_us(record)
    said = _said(record, len(calls))
    ended_at = _ended_at(record)
    steps: list[Step] = []
    start_us, is_over = 0, False
    for step in _order(record.timings):
        us = record.timings.get(step)
        is_last = step == ended_at
        progress = _progress(step, said, us, is_over=is_over, is_last=is_last)
        what = said.get(step, "") if progress in ("done", "ended") else ""
        tries, own = {
            "call": (calls, own_us[: len(calls)]),
            "decide": (falls, own_us[len(calls) :]),
        }.get(step, ((), ()))
        steps.append(
            Step(
                step=step,
                title=TITLES.get(step) or _OF_SOME.get(step) or _worded(step),
                progress=progress,
                what=what or _nothing(step, progress, record),
                start_ms=start_us / 1000,
                ms=None if us is None else us / 1000,
                tries=_on_clock(tries, own, start_us, start_us + (us or 0)),
            )
        )
        start_us += us or 0
        is_over = is_over or is_last
    return steps


def _worded(step: str) -> str:
    return step.replace("_", " ").capitalize()


def _order(timings: Iterable[str]) -> list[str]:
    """Return all steps; one that only some services have stands where it ran."""
    order, place = list(TITLES), 0
    for step in timings:
        if step not in order:
            order.insert(place, step)
        place = order.index(step) + 1
    return order


_EMPTY = {
    "features": "none declared",
    "guard_input": "no guard is declared",
    "cache": "no cache is declared",
    "reserve": "it costs nothing",
    "confidence": "no calibration exists",
    "settle": "nothing was held",
}
_UNCHECKED = {"schema": "no schema is declared", "guard_output": "no guard is declared"}
_ALWAYS = frozenset({"identify", "release", "record"})


def _nothing(step: str, progress: Progress, record: Record) -> str:
    """Return why a step did nothing, where the record says so."""
    if progress != "skipped":
        return ""
    # Of an answer that was not shown, the record does not tell what it was checked against.
    known = _EMPTY | _UNCHECKED if record.disposition == "answered" else _EMPTY
    return known.get(step, "")


def _progress(
    step: str, said: Mapping[str, str], us: int | None, *, is_over: bool, is_last: bool
) -> Progress:
    if is_last:
        return "ended"
    if step in _ALWAYS or us or (us is not None and step in said):
        return "done"
    if is_over and step != "settle":
        return "unreached"
    return "done" if step in said else "skipped"


def _said(record: Record, tries: int) -> dict[str, str]:
    """Return what happened in each step that did something."""
    error = record.reasons[-1] if record.reasons and record.error_code else ""
    said = {
        "identify": _caller(record),
        "release": f"{record.arm} {numbers.short(record.release)}" if record.release else "none",
        "contract": "it may be answered",
        "guard_input": _verdicts(record.verdicts, "input"),
        "features": _served(record),
        "context": _found(record.passages),
        "cache": str(record.cache.get("kind", "")) if record.cache else "",
        "reserve": _held(record),
        "route": "in the order of the service file" if record.attempts else "",
        "call": _called(record, tries),
        "schema": "it keeps the declared schema" if record.timings.get("schema") else "",
        "guard_output": _output_verdicts(record),
        "confidence": _sureness(record),
        "decide": _decided(record),
        "settle": _settled(record),
        "record": "before the client was told",
    }
    ended_at = _ended_at(record)
    if ended_at and error:
        said[ended_at] = "; ".join(filter(None, [said[ended_at], error]))
    if ended_at == "contract":
        said["contract"] = error
    return {step: what for step, what in said.items() if what}


def _served(record: Record) -> str:
    """Return the views that were read, each with what it knew."""
    return ", ".join(f"{view} {state}".strip() for view, state in served_states(record.features))


def _ended_at(record: Record) -> str:
    """Return the step in which a request ended that got no answer; empty for the others."""
    if record.disposition not in ("refused", "failed"):
        return ""
    if record.error_code == "guard_denied":
        if not record.attempts:
            return "guard_input"
        has_guards = any(verdict.on == "output" for verdict in record.verdicts)
        return "guard_output" if has_guards else "schema"
    ended_at = _ENDED_AT.get(record.error_code, "call")
    if ended_at != "reserve" and "context" in record.timings and not record.attempts:
        return "context"
    return ended_at


def _caller(record: Record) -> str:
    own = record.user if record.user != f"key:{record.key}" else ""
    facts = ("key", record.key), ("team", record.team), ("user", own), ("role", record.role)
    return ", ".join(f"{name} {value}" for name, value in facts if value)


def _verdicts(verdicts: Sequence[Verdict], on: str) -> str:
    return "; ".join(f"{v.guard}: {v.verdict.replace('_', ' ')}" for v in verdicts if v.on == on)


def _output_verdicts(record: Record) -> str:
    """Return what guards said of each answer."""
    said = [
        f"answer of {record.attempts[place].model}: "
        + ", ".join(f"{v.guard} {v.verdict.replace('_', ' ')}" for v in verdicts)
        for place, verdicts in answers_judged(record).items()
    ]
    return "; ".join(said) or _verdicts(record.verdicts, "output")


def _found(passages: Sequence[PassageFound] | None) -> str:
    if passages is None:
        return ""
    if not passages:
        return "no passage is near enough"
    places = (f"{place_of(passage)} ({passage.score:.2f})" for passage in passages)
    count = f"{len(passages)} {'passage' if len(passages) == 1 else 'passages'}"
    return f"{count} found: {'; '.join(places)}"


def place_of(passage: PassageFound) -> str:
    """Return where a passage stands: its page, and the headings above it."""
    return ": ".join(filter(None, (passage.file, passage.heading)))


def _held(record: Record) -> str:
    if not record.reserved_micro:
        return ""
    held = numbers.usd_exact(record.reserved_micro / MICRO)
    return f"{held} held, against {', '.join(record.scopes)}" if record.scopes else f"{held} held"


def _called(record: Record, tries: int) -> str:
    if not tries:
        return ""
    first = record.first_token_us
    begun = f"; the first words came after {numbers.ms(first / 1000)}" if first else ""
    return f"{tries} {'try' if tries == 1 else 'tries'}{begun}"


def _sureness(record: Record) -> str:
    """Return how sure the answer is, as far as that is known."""
    said = [
        f"confidence {record.confidence:.2f}" if record.confidence is not None else "",
        f"score {record.score:.3f}" if record.score is not None else "",
    ]
    if not any(said) and record.decided:
        return "unknown: it counts as zero"
    return ", ".join(filter(None, said))


def _decided(record: Record) -> str:
    said = _ended(record)
    return f"{said}: {record.decided}" if record.decided and said else said


def _ended(record: Record) -> str:
    match record.disposition:
        case "fallback":
            return f"the ladder answered: {_because(record)}"
        case "answered" | "cached":
            return "the answer may be shown"
        case "review":
            return "a person is asked"
    return "no rung of the ladder answered" if "decide" in record.timings else ""


def _settled(record: Record) -> str:
    if "settle" not in record.timings:
        return ""
    taken, rest = record.cost_micro, record.reserved_micro - record.cost_micro
    back = f", {numbers.usd_exact(rest / MICRO)} given back" if rest >= 0 else ""
    return f"{numbers.usd_exact(taken / MICRO)} taken{back}"


def _tries(record: Record, rungs: Collection[str]) -> tuple[list[Attempt], list[Attempt]]:
    """Return the tries of the declared models, and those of the ladder after them."""
    attempts = list(record.attempts)
    if "decide" not in record.timings:
        return attempts, []
    left_us = record.timings.get("call", 0)
    for place, attempt in enumerate(attempts):
        is_rung = attempt.model in rungs or attempt.model.startswith(RUNGS)
        is_last = record.disposition == "fallback" and place == len(attempts) - 1
        left_us -= attempt.us
        # What took longer than the models had cannot be one of theirs.
        if is_rung or is_last or left_us < 0:
            return attempts[:place], attempts[place:]
    return attempts, []


def _on_clock(
    attempts: Sequence[Attempt], own_us: Sequence[int], start_us: int, end_us: int
) -> tuple[Try, ...]:
    """Return tries one after the other from the start of their step, and within it."""
    tries = []
    for attempt, us in zip(attempts, own_us, strict=True):
        tries.append(
            Try(
                model=attempt.model,
                what=status_of(attempt),
                start_ms=start_us / 1000,
                ms=max(min(us, end_us - start_us), 0) / 1000,
            )
        )
        start_us = min(start_us + attempt.us, end_us)
    return tuple(tries)
