"""What outcomes say of both answers of a pair, when they say something of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ..risk.schedule import Schedule
from ..signals.sameness import is_same
from ..store.pairs import Known, Said
from ..store.truth import Said as SaidOfAnswer
from ..store.truth import Truth
from ..types import Pair

_OF_BOTH = ("label", "correction")
"""What is said of the question, not of the answer: both answers can be held against it."""

_decode = msgspec.json.Decoder().decode


def judge(
    pair: Pair, said: Mapping[str, Sequence[Said]], truth: Truth, schedule: Schedule
) -> Known | None:
    """Return how good both answers of a pair were; None where nothing is known in time.

    A label is held against both. A verdict is of one answer: then the other counts for the worse
    for the cheaper model. The reference's answer counts as right unless it says the same as a wrong
    one; the cheaper one counts as wrong unless it says the same as a right one. Where sources
    disagree, likewise.

    Args:
        pair: Whose loss is not known.
        said: By request, what was said of its answer.
        truth: When an answer is right.
        schedule: Until when what is said counts.
    """
    until_us = schedule.deadline_of(schedule.window_of(pair.at_us))
    of_given = _in_time(said.get(pair.request_id, ()), pair, until_us)
    of_unseen = _in_time(said.get(pair.audit_id, ()) if pair.audit_id else (), pair, until_us)
    of_cheaper, of_reference = (of_given, of_unseen) if pair.is_given else (of_unseen, of_given)
    cheaper = _all_right(pair, of_cheaper, of_reference, truth)
    reference = _one_right(
        truth.verdicts(pair.reference_answer, _said(of_reference, of_cheaper)), worst=True
    )
    if cheaper is None and reference is None:
        return None
    if reference is None:
        reference = cheaper is True or not _says_the_same(pair)
    elif cheaper is None:
        cheaper = reference and _says_the_same(pair)
    counted = [one.known_at_us for one in (*of_given, *of_unseen)]
    return Known(
        pair.id,
        float(bool(cheaper)),
        float(reference),
        float(reference and not cheaper),
        max(counted),
    )


def _in_time(said: Sequence[Said], pair: Pair, until_us: int) -> list[Said]:
    return [one for one in said if pair.at_us <= one.known_at_us <= until_us]


def _said(of_it: Sequence[Said], of_other: Sequence[Said]) -> list[SaidOfAnswer]:
    """Return all that was said of an answer, and what was said of the other that is of both."""
    every = [*of_it, *(one for one in of_other if one.kind in _OF_BOTH)]
    return [SaidOfAnswer(one.kind, one.value, one.source, one.known_at_us) for one in every]


def _all_right(
    pair: Pair, of_it: Sequence[Said], of_other: Sequence[Said], truth: Truth
) -> bool | None:
    """Return whether every cheaper answer was right; None where nothing says it of the last.

    A verdict is of the last one, which was given; of those before it only a label says something.
    """
    if not pair.answers:
        return None
    *before, last = pair.answers
    found = _one_right(truth.verdicts(last, _said(of_it, of_other)), worst=False)
    if not before or found is not True:
        return found
    of_both = _said((), [*of_it, *of_other])
    others = [_one_right(truth.verdicts(one, of_both), worst=False) for one in before]
    return all(
        other is True or (other is None and _is_same_said(one, last))
        for one, other in zip(before, others, strict=True)
    )


def _one_right(verdicts: set[bool], *, worst: bool) -> bool | None:
    """Return the one verdict there is; of two the `worst` for the cheaper model."""
    if len(verdicts) > 1:
        return worst
    return next(iter(verdicts), None)


def _says_the_same(pair: Pair) -> bool:
    answers = [*pair.answers]
    known = bool(answers) and bool(pair.reference_answer)
    return known and all(_is_same_said(one, pair.reference_answer) for one in answers)


def _is_same_said(one: bytes, other: bytes) -> bool:
    return bool(one) and bool(other) and is_same(_decode(one), _decode(other))
