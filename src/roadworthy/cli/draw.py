"""How a trace is drawn: the walk of a request as lines of text, and what lies behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from ..cost.prices import format_usd
from ..types import Attempt, Record, Verdict
from ..web import numbers
from ..web.data_figures import ViewServed
from ..web.shapes import Lineage, OutcomeShown
from ..web.story import place_of
from .common import short_text, span_text

_BAR = 24
_NAME = 14
_EIGHTHS = "▏▎▍▌▋▊▉█"
_MOST_SHOWN = 400


def draw_walk(record: Record) -> Iterator[str]:
    """Yield the steps in the order they ran, each with its time, and below what was found there."""
    longest = max(record.timings.values(), default=0)
    details = {
        "guard_input": [_verdict(v) for v in record.verdicts if v.on == "input"],
        "context": _passages(record),
        "reserve": _reserved(record),
        "call": [_attempt(number, a) for number, a in enumerate(record.attempts, 1)],
        "guard_output": [_verdict(v) for v in record.verdicts if v.on == "output"],
    }
    for step, us in record.timings.items():
        yield f"{step:<{_NAME}}{span_text(us):>10}  {_bar(us, longest)}".rstrip()
        for detail in details.pop(step, ()):
            yield f"  {detail}"
    for step, lines in details.items():
        # What was tried although its step has no time of its own, as when a request was cut off.
        yield from (f"{step}: {line}" for line in lines)


def _bar(us: int, longest: int) -> str:
    eighths = round(us / longest * _BAR * 8) if longest else 0
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest - 1] if rest else "")


def _verdict(verdict: Verdict) -> str:
    reason = f" - {verdict.reason}" if verdict.reason else ""
    return f"{verdict.verdict} by guard `{verdict.guard}` in {span_text(verdict.us)}{reason}"


def _passages(record: Record) -> list[str]:
    if record.passages is None:
        return []
    found = [f"{passage.score:.2f}  {place_of(passage)}" for passage in record.passages]
    return found or ["no passage is near enough"]


def _reserved(record: Record) -> list[str]:
    if not record.reserved_micro:
        return []
    return [f"{format_usd(record.reserved_micro)} set aside in {', '.join(record.scopes) or '-'}"]


def _attempt(number: int, attempt: Attempt) -> str:
    usage, parts = attempt.usage, [f"{number}. {attempt.model}: {attempt.status}"]
    parts.append(span_text(attempt.us))
    if usage is not None:
        parts.append(f"{usage.input_tokens} tokens in, {usage.output_tokens} out")
    if attempt.price_source and attempt.price_source != "free":
        parts.append(f"{format_usd(attempt.cost_micro)} ({attempt.price_source})")
    return ", ".join(parts) + (f" - {attempt.detail}" if attempt.detail else "")


def draw_facts(facts: Lineage) -> Iterator[tuple[str, list[str]]]:
    """Yield what a lineage holds beside the walk: a title, and the lines below it."""
    if facts.record.served:
        yield "features", list(_served(facts.record.served))
    yield "input", [_body(facts.record.input)]
    yield "output", [_body(facts.record.output)]
    yield "release", list(_release(facts))
    if facts.release is not None:
        files = facts.release.manifest.files
        width = max(map(len, files), default=0)
        yield "files", [f"{name:<{width}}  {digest}" for name, digest in sorted(files.items())]
    yield "outcomes", [_outcome(outcome) for outcome in facts.record.outcomes] or ["none yet"]


def _served(served: Iterable[ViewServed]) -> Iterator[str]:
    """Yield each view with what it knew, and below it the values that it gave."""
    for view in served:
        age = "" if view.age_s is None else f", {numbers.span(view.age_s)} old"
        yield f"{view.view or 'of a view that is not registered'}  {view.state}{age}".rstrip()
        width = max(map(len, view.values), default=0)
        for name, value in view.values.items():
            shown = "-" if value is None else short_text(value, _MOST_SHOWN)
            yield f"  {name:<{width}}  {shown}"


def _body(body: Any) -> str:
    if body is None:
        return "not kept"
    text = msgspec.json.encode(body).decode()
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}... (all of it: `--json`)"


def _release(facts: Lineage) -> Iterator[str]:
    release = facts.release
    if release is None:
        yield facts.record.release or "none was reached"
        if facts.problem:
            yield f"cannot be read: {facts.problem}"
        return
    manifest = release.manifest
    yield release.release
    yield f"built {_time(release.built_at)} by {release.by}"
    for act in facts.promotions[:1]:
        yield f"let serve {_time(act.at)} by {act.by}"
    if pin := facts.model:
        digest = f" {pin.digest}" if pin.digest else ""
        where = f"{pin.provider} ({pin.kind})"
        yield f"model {pin.name} of {where}, pinned by its {pin.pin}{digest}"
    if learned := manifest.training:
        yield f"learned from {learned.id}: {learned.rows:,} rows"
    same = facts.as_released
    yield f"declaration {manifest.declaration_hash}{_unless(same is not None and same.declaration)}"
    if manifest.prompt_version:
        yield f"prompt {manifest.prompt_version} ({manifest.prompt})"
    environment = manifest.environment
    yield (
        f"environment Python {environment.python} on {environment.platform}, "
        f"{len(environment.packages)} packages{_unless(same is not None and same.environment)}"
    )
    packages = (f"{name} {version}" for name, version in sorted(manifest.packages.items()))
    yield f"decided by {', '.join(packages)}"
    commit = manifest.commit
    dirty = " and changes that were not committed" if commit and commit.is_dirty else ""
    yield f"commit {commit.id}{dirty}" if commit else "commit none: it was in no git repository"


def _unless(is_same: bool) -> str:
    return "" if is_same else " (not what answered: that had another)"


def _outcome(outcome: OutcomeShown) -> str:
    value = msgspec.json.encode(outcome.value).decode()
    reason = f" - {outcome.reason}" if outcome.reason else ""
    return (
        f"{outcome.kind} {value} from {outcome.source} by {outcome.by}, "
        f"known {_time(outcome.known_at)}{reason}"
    )


def _time(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%SZ}"
