"""Two releases side by side: how good, how fast, how dear they are, and what differs in them. Pure.

What is compared comes from elsewhere as plain values, so that the command line, the console and a
test compare alike.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from ..evaluate.report import CaseResult, Report, Unit
from ..store.certificates import Certificate
from ..store.rollups import Summary
from ..types import DAY_US, MICRO
from .differing import Change as Change
from .differing import Differing as Differing
from .differing import differing as differing
from .differing import unified
from .prompt_diffs import PromptDiff as PromptDiff
from .prompt_diffs import prompt_diffs
from .registry import SERVICE_FILE, Manifest, Release
from .token_change import TokenChange

MOST_LINES = 2_000
"""Lines of one file's difference that are shown."""
_Z = 1.959964

_encode = msgspec.json.Encoder(order="deterministic").encode


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one of two releases.

    Attributes:
        declared: Every key of its declaration with defaults, flat: `cost.per_day_usd` → value.
        texts: Path → text, of its files that are text.
        gone: Its files that are gone or damaged; of those nothing is known but the digest.
        report: Its newest evaluation; None where it has none.
        live: What was measured while it served; `span_us` is of how long.
        right, judged: Of the answers whose outcome is known, how many were right.
        certificate: The threshold that was certified for it last.
    """

    release: Release
    is_champion: bool = False
    declared: Mapping[str, Any] = {}
    texts: Mapping[str, str] = {}
    gone: Collection[str] = ()
    report: Report | None = None
    live: Summary = Summary()
    span_us: int = 0
    right: int = 0
    judged: int = 0
    certificate: Certificate | None = None


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Which release stands on a side.

    Attributes:
        evaluation: Its newest one; empty where it has none.
    """

    release: str
    built_at_us: int
    by: str
    commit: str
    is_champion: bool
    evaluation: str
    requests: int


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """How good both are by one scorer, on one part of the cases.

    Attributes:
        slice: The part: `all`, `tag:refund` or `carrier=UA`.
        source: `cases`, the same ones asked of both; or `outcomes`, of what each answered.
        difference: b's less a's, with its interval (95 %).
        n: Common cases; of outcomes, those of a, and `n_b` those of b.
    """

    slice: str
    name: str
    source: Literal["cases", "outcomes"]
    n: int
    n_b: int
    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One number of both, as it was measured while they served; None where nothing was."""

    name: str
    unit: Unit
    a: float | None
    b: float | None


class TextDiff(msgspec.Struct, frozen=True, kw_only=True):
    """How one file differs, as a unified diff.

    Attributes:
        is_cut: Whether more than `MOST_LINES` differ, so that the rest is left out.
    """

    file: str
    change: Change
    diff: str
    is_cut: bool = False


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two releases of one service side by side.

    Attributes:
        quality: By slice and scorer.
        figures: Latency, cost, tokens and dispositions while they served.
        declared: Keys of the declaration that differ.
        parts: Everything else that differs and is no text.
        texts: Files that differ.
        tokens: Where models changed, what the new one makes of the same texts.
        prompts: How what a model is told differs, beyond the text of the prompt.
        notes: What a reader must know: suites that changed, nothing measured.
    """

    service: str
    a: Compared
    b: Compared
    quality: tuple[Quality, ...] = ()
    figures: tuple[Figure, ...] = ()
    declared: tuple[Differing, ...] = ()
    parts: tuple[Differing, ...] = ()
    texts: tuple[TextDiff, ...] = ()
    tokens: tuple[TokenChange, ...] = ()
    prompts: tuple[PromptDiff, ...] = ()
    notes: tuple[str, ...] = ()


def compare(a: Side, b: Side, tokens: tuple[TokenChange, ...] = ()) -> Comparison:
    """Return what two releases of one service have not in common, and how both do.

    A file that one of them has lost is compared by its digest alone: what is not known is no
    difference.
    """
    lost = {*a.gone, *b.gone}
    a, b = (_without(side, lost) for side in (a, b))
    return Comparison(
        service=a.release.service,
        a=_compared(a),
        b=_compared(b),
        quality=tuple(_quality(a, b)),
        figures=tuple(_figures(a, b)),
        declared=tuple(differing("key", a.declared, b.declared)),
        parts=tuple(_parts(a, b)),
        texts=tuple(_texts(a.texts, b.texts)),
        tokens=tokens,
        prompts=tuple(prompt_diffs((a.declared, a.texts), (b.declared, b.texts))),
        notes=(*(change.sentence for change in tokens), *_notes(a, b)),
    )


def _without(side: Side, lost: Collection[str]) -> Side:
    """Return what is known of a release without what some files hold."""
    texts = {name: text for name, text in side.texts.items() if name not in lost}
    declared = {} if SERVICE_FILE in lost else side.declared
    return msgspec.structs.replace(side, texts=texts, declared=declared)


def _compared(side: Side) -> Compared:
    release, commit = side.release, side.release.manifest.commit
    return Compared(
        release=release.id,
        built_at_us=release.created_at_us,
        by=release.by,
        commit=f"{commit.id}{'+' if commit.is_dirty else ''}" if commit else "",
        is_champion=side.is_champion,
        evaluation="" if side.report is None else side.report.id,
        requests=side.live.requests,
    )


# How good.


def _quality(a: Side, b: Side) -> Iterator[Quality]:
    if a.report is not None and b.report is not None:
        pairs = common_results(a.report, b.report)
        names = sorted({name for one, _ in pairs for name in one.scores})
        for part, some in _by_slice(pairs, _fields_of(a.report, b.report)):
            for name in names:
                found = _of_cases(part, name, some)
                if found is not None:
                    yield found
    if a.judged or b.judged:
        yield _of_outcomes(a, b)


def common_results(a: Report, b: Report) -> list[tuple[CaseResult, CaseResult]]:
    """Return the cases that both were asked alike: same id, same input, same expectation."""
    known = {one.id: one for one in a.results}
    pairs = ((known[one.id], one) for one in b.results if one.id in known)
    return [
        (one, other)
        for one, other in pairs
        if (one.input, one.expect) == (other.input, other.expect)
    ]


def _fields_of(*reports: Report) -> tuple[str, ...]:
    """Return the fields by which the evaluations told results apart."""
    names = (part.name for report in reports for part in report.slices)
    fields = (name.partition("=")[0] for name in names if "=" in name)
    return tuple(dict.fromkeys(field for field in fields if not field.startswith("tag:")))


def _by_slice(
    pairs: Sequence[tuple[CaseResult, CaseResult]], fields: Sequence[str]
) -> Iterator[tuple[str, list[tuple[CaseResult, CaseResult]]]]:
    if pairs:
        yield "all", list(pairs)
    parts: dict[str, list[tuple[CaseResult, CaseResult]]] = {}
    for pair in pairs:
        one = pair[0]
        names = [f"tag:{tag}" for tag in one.tags]
        names += [f"{field}={_word(one.input[field])}" for field in fields if field in one.input]
        for name in dict.fromkeys(names):
            parts.setdefault(name, []).append(pair)
    yield from sorted(parts.items())


def _of_cases(
    part: str, name: str, pairs: Iterable[tuple[CaseResult, CaseResult]]
) -> Quality | None:
    values = [
        (ours, theirs)
        for one, other in pairs
        if (ours := one.scores.get(name)) is not None
        and (theirs := other.scores.get(name)) is not None
    ]
    if not values:
        return None
    differences = [theirs - ours for ours, theirs in values]
    mean = _mean(differences)
    half = _half_width(differences)
    return Quality(
        slice=part,
        name=name,
        source="cases",
        n=len(values),
        n_b=len(values),
        a=_mean([ours for ours, _ in values]),
        b=_mean([theirs for _, theirs in values]),
        difference=mean,
        low=None if half is None else mean - half,
        high=None if half is None else mean + half,
    )


def _of_outcomes(a: Side, b: Side) -> Quality:
    shares = [side.right / side.judged if side.judged else None for side in (a, b)]
    ours, theirs = shares
    difference = half = None
    if ours is not None and theirs is not None:
        difference = theirs - ours
        # Agresti and Caffo (2000): one right and one wrong more on each side.
        added = [((s.right + 1) / (s.judged + 2), s.judged + 2) for s in (a, b)]
        half = _Z * math.sqrt(sum(p * (1 - p) / n for p, n in added))
    return Quality(
        slice="all",
        name="right",
        source="outcomes",
        n=a.judged,
        n_b=b.judged,
        a=ours,
        b=theirs,
        difference=difference,
        low=None if difference is None or half is None else difference - half,
        high=None if difference is None or half is None else difference + half,
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _half_width(values: Sequence[float]) -> float | None:
    """Return half of the interval of a mean; None where one value tells nothing of the spread."""
    if len(values) < 2:
        return None
    mean = _mean(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return _Z * math.sqrt(variance / len(values))


# How fast, how dear.


def _figures(a: Side, b: Side) -> Iterator[Figure]:
    for name, unit, of in _FIGURES:
        yield Figure(name=name, unit=unit, a=of(a), b=of(b))


def _each(side: Side, total: float) -> float | None:
    return total / side.live.requests if side.live.requests else None


def _share(name: str) -> Any:
    return lambda side: _each(side, getattr(side.live, name))


def _cost_per_day(side: Side) -> float | None:
    if not side.live.requests:
        return None
    return side.live.cost_micro / MICRO / max(side.span_us / DAY_US, 1 / 24)


_FIGURES: tuple[tuple[str, Unit, Any], ...] = (
    ("requests", "number", lambda side: float(side.live.requests)),
    ("latency_p50", "ms", lambda side: side.live.p50_ms),
    ("latency_p95", "ms", lambda side: side.live.p95_ms),
    ("latency_p99", "ms", lambda side: side.live.p99_ms),
    ("late", "share", lambda side: side.live.late_share),
    ("cost_per_request", "usd", lambda side: _each(side, side.live.cost_micro / MICRO)),
    ("cost_per_day", "usd", _cost_per_day),
    ("input_tokens", "tokens", lambda side: _each(side, side.live.input_tokens)),
    ("output_tokens", "tokens", lambda side: _each(side, side.live.output_tokens)),
    *(
        (name, "share", _share(name))
        for name in ("answered", "cached", "fallback", "review", "refused", "failed")
    ),
)


# What differs.


def _parts(a: Side, b: Side) -> Iterator[Differing]:
    ours, theirs = (_parts_of(side) for side in (a, b))
    for kind in ours:
        yield from differing(kind, ours[kind], theirs[kind])


def _parts_of(side: Side) -> dict[str, dict[str, Any]]:
    manifest = side.release.manifest
    return {
        "model": {pin.name: _pin(pin) for pin in manifest.models},
        "provider": {k: f"{v.kind} {v.base_url}".strip() for k, v in manifest.providers.items()},
        "environment": {
            "python": manifest.environment.python,
            "platform": manifest.environment.platform,
            "cpu": " ".join(manifest.environment.cpu),
        },
        "package": dict(manifest.packages),
        "contract": {
            source: f"{pin.id}@{pin.version} {pin.digest[:12]}"
            for source, pin in manifest.contracts.items()
        },
        "accepts": {name: name for name in manifest.accepts},
        "training": _training(manifest),
        "view": {} if manifest.training is None else dict(manifest.training.views),
        "file": {k: v for k, v in manifest.files.items() if k not in side.texts},
        "certificate": _certificate(side.certificate),
    }


def _pin(pin: Any) -> str:
    held = pin.digest[:12] if pin.digest else pin.pin
    return f"{pin.provider}: {pin.model} ({held})"


def _training(manifest: Manifest) -> dict[str, Any]:
    learned = manifest.training
    return {} if learned is None else {"snapshot": learned.id, "rows": learned.rows}


def _certificate(found: Certificate | None) -> dict[str, Any]:
    if found is None:
        return {}
    names = ("decision", "state", "threshold", "max_error", "sure", "bound", "n", "wrong")
    return {name: getattr(found, name) for name in names}


def _texts(a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[TextDiff]:
    for change in differing("file", a, b):
        ours, theirs = change.a or "", change.b or ""
        lines = unified(change.name, ours, theirs)
        yield TextDiff(
            file=change.name,
            change=change.change,
            diff="\n".join(lines[:MOST_LINES]),
            is_cut=len(lines) > MOST_LINES,
        )


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each key of a declaration with its value; tables of a list go by their names.

    >>> dict(flat({"cost": {"per_day_usd": 5}, "models": [{"name": "up", "model": "m"}]}))
    {'cost.per_day_usd': 5, 'models[up].name': 'up', 'models[up].model': 'm'}
    """
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from flat(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple) and value and all(isinstance(v, Mapping) for v in value):
        seen: set[str] = set()
        for place, inner in enumerate(value, 1):
            name = str(inner.get("name") or inner.get("use") or place)
            name = f"{name}:{place}" if name in seen else name
            seen.add(name)
            yield from flat(inner, f"{path}[{name}]")
    else:
        yield path, value


def _notes(a: Side, b: Side) -> Iterator[str]:
    is_same = a.release.id == b.release.id
    if is_same:
        yield f"both are `{a.release.id}`: there is nothing to compare"
    for side in (a,) if is_same else (a, b):
        if side.gone:
            names = ", ".join(f"`{name}`" for name in sorted(side.gone))
            yield (
                f"`{side.release.id}`: {names} gone or damaged, and compared by SHA-256 alone; put "
                "it back from a backup, or build the release again from unchanged files"
            )
        if side.report is None:
            yield f"`{side.release.id}` was not evaluated: `roadworthy evaluate` does"
        if not side.live.requests:
            yield f"`{side.release.id}` answered nothing yet: no latency, cost or outcome of it"
    if a.report is None or b.report is None:
        return
    suites = [{suite.name: suite.digest for suite in s.report.suites} for s in (a, b) if s.report]
    changed = [change.name for change in differing("suite", *suites)]
    if changed:
        common = len(common_results(a.report, b.report))
        yield (
            f"suites changed between the evaluations ({', '.join(changed)}): quality is of the "
            f"{common} common cases"
        )


def _word(value: Any) -> str:
    return value if isinstance(value, str) else _encode(value).decode()
