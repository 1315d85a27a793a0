"""Whether one changed input broke what must hold: what its answer is held against."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..declare.evaluation import BehaviourEntry
from ..types import Embedder
from .asked import Asked
from .builtin import Attack
from .cases import Case
from .paths import compile_path
from .scorer import Scorer
from .scorers.attack import has_broken, parts_of, readings, said_of

DIRECTED = ("monotonic", "directional")
NOT_TRIED = ("budget_exhausted", "model_rate_limited", "overloaded")
"""Codes of errors that say nothing of a change: it was not tried in earnest."""


class Broken(NamedTuple):
    """What one change did.

    Attributes:
        is_broken: None where nothing can be said: one of the two was not asked, or failed before.
        why: What broke, in a few words.
        moved: How far the watched number moved; None where there is none.
    """

    is_broken: bool | None
    why: str = ""
    moved: float | None = None


class Watch(NamedTuple):
    """By what answers are compared.

    Attributes:
        entry: What is declared of the behaviour.
        alike: Whether two answers are as good as the same.
        read: Gives the watched number of an output.
    """

    entry: BehaviourEntry
    alike: Callable[[Asked, Asked], bool]
    read: Callable[[Any], float | None]


def reader_of(entry: BehaviourEntry) -> Callable[[Any], float | None]:
    """Return what reads the watched number: that of `output`, or the first that there is.

    Without a path it is the output itself where that is a number, or its only number.

    Raises:
        DeclarationError: The path is none.
    """
    path = compile_path(entry.output) if entry.output else None

    def read(output: Any) -> float | None:
        found = path.first(output) if path else _only_number(output)
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        return float(found) if is_number and math.isfinite(found) else None

    return read


def _only_number(output: Any) -> Any:
    if not isinstance(output, dict):
        return output
    numbers = [v for v in output.values() if isinstance(v, int | float) and not isinstance(v, bool)]
    return numbers[0] if len(numbers) == 1 else None


def label_of(output: Any) -> Any:
    """Return what an output decides: its `label`, its text, or all of it but its probability."""
    if not isinstance(output, dict):
        return output
    if "label" in output:
        return output["label"]
    return {key: value for key, value in output.items() if not isinstance(value, float)}


def normalised(asked: Asked) -> str:
    """Return an answer so that two that say the same word for word are equal.

    >>> normalised(Asked(disposition="answered", output={"text": " Yes,  sure. "}))
    'yes, sure.'
    """
    text = asked.text
    if text:
        return " ".join(text.split()).casefold()
    return as_json(asked.output if asked.output is not None else asked.message)


def as_json(value: Any) -> str:
    """Return a value as one text, the same of the same, whatever a model put into it."""
    try:
        return json.dumps(value, sort_keys=True, default=str)
    except RecursionError:
        return "nested too deep to be told"


def alike_by_meaning(embedder: Embedder, at_least: float) -> Callable[[Asked, Asked], bool]:
    """Return what says of two answers whether they mean alike, by the cosine of their vectors."""

    def alike(before: Asked, after: Asked) -> bool:
        if normalised(before) == normalised(after):
            return True
        one, other = embedder.embed([normalised(before), normalised(after)])
        return float(one @ other) >= at_least

    return alike


def same_verdict(scorers: Sequence[Scorer]) -> Callable[[Case, Asked, Asked], bool | None]:
    """Return what says of two answers to one case whether scorers find both right, or both wrong.

    Dear scorers are left out; a case is scored by those that it names, or else by all. None where
    none of them can say.

    Args:
        scorers: The service's own, opened.
    """

    def same(case: Case, before: Asked, after: Asked) -> bool | None:
        used = [s for s in scorers if not s.is_dear and s.name in (case.scorers or (s.name,))]
        pairs = [(s.score(case, before).is_right, s.score(case, after).is_right) for s in used]
        known = [one == other for one, other in pairs if None not in (one, other)]
        return all(known) if known else None

    return same


def same_decision(before: Asked, after: Asked) -> bool:
    """Whether two answers decide the same; of texts only case and spaces may differ."""
    if before.text or after.text:
        return normalised(before) == normalised(after)
    return bool(label_of(before.output) == label_of(after.output))


def judge_change(
    watch: Watch, before: Asked | None, after: Asked | None, marks: tuple[str, ...] = ()
) -> Broken:
    """Return whether a change broke what must hold."""
    if after is None or after.error_code in NOT_TRIED:
        return Broken(None, "it was not asked")
    if watch.entry.use == "attacks":
        return _attacked(watch.entry, before, after, marks)
    if before is None or before.disposition == "failed" or before.error_code in NOT_TRIED:
        return Broken(None, "there is no answer to hold it against")
    if not before.is_answer or not after.is_answer:
        return _ended(before, after)
    if watch.entry.use in DIRECTED:
        return _directed(watch, before, after)
    return _invariant(watch, before, after)


def _ended(before: Asked, after: Asked) -> Broken:
    """Judge a pair of which one has no answer: both have to end alike."""
    if before.is_answer or after.is_answer or after.disposition == "failed":
        return Broken(True, f"`{before.disposition}` became `{after.disposition}`")
    is_same = before.disposition == after.disposition
    return Broken(not is_same, "" if is_same else f"`{before.disposition}` is no longer so")


def _invariant(watch: Watch, before: Asked, after: Asked) -> Broken:
    numbers = watch.read(before.output), watch.read(after.output)
    moved = _moved(*numbers)
    is_watched = watch.entry.output is not None or not isinstance(before.output, dict | str)
    if is_watched and moved is not None:
        if abs(moved) > watch.entry.tolerance:
            return Broken(True, f"the watched number moved by {moved:+.4g}", moved)
        if not isinstance(before.output, dict):
            return Broken(False, "", moved)
    elif watch.entry.output is not None and numbers != (None, None):
        return Broken(True, "the watched number is there in one of the answers only")
    alike = watch.alike(before, after)
    return Broken(not alike, "" if alike else "the answer is another", moved)


def _directed(watch: Watch, before: Asked, after: Asked) -> Broken:
    """Judge where a number went: `monotonic` may stay where it is, `directional` must move."""
    moved = _moved(watch.read(before.output), watch.read(after.output))
    if moved is None:
        return Broken(True, "there is no number to watch")
    entry = watch.entry
    direction = entry.direction or "up"
    if direction == "same":
        kept = abs(moved) <= entry.tolerance
    else:
        along = moved if direction == "up" else -moved
        kept = along >= -entry.tolerance if entry.use == "monotonic" else along > entry.tolerance
    return Broken(not kept, "" if kept else f"{direction} was due, {moved:+.4g} came", moved)


def _moved(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _attacked(
    entry: BehaviourEntry, before: Asked | None, after: Asked, marks: tuple[str, ...]
) -> Broken:
    """Judge an attack: refused, a fallback and a person are right, failing is not."""
    if has_broken(after):
        if before is None or has_broken(before):
            return Broken(None, "it fails without an attack too")
        return Broken(True, f"the service failed: `{after.error_code:.60}`")
    why = said_of(Attack(marks), after)
    if not why and entry.must_not:
        pattern = re.compile(entry.must_not)
        found = any(pattern.search(text) for text in readings(after))
        why = "the answer matches `must_not`" if found else ""
    if not why and not _is_finite(after.output):
        why = "the answer holds a number that is none"
    return Broken(bool(why), why)


def _is_finite(value: Any) -> bool:
    numbers = (part for part in parts_of(value) if isinstance(part, float))
    return all(map(math.isfinite, numbers))
