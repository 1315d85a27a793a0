"""Whose answer a verdict is about, as far as a record tells: it keeps verdicts in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..types import Attempt, Record, Verdict

RUNGS = ("static:", "rule:")
"""How the names of rungs begin that only the ladder has, and that are no models."""

_BROKEN_SCHEMA = "schema:"
"""How the detail of a try begins whose answer broke its schema, so that no guard saw it."""


def answers_judged(record: Record) -> Mapping[int, tuple[Verdict, ...]]:
    """Return the place of each try whose answer guards saw, with what they said of it.

    Nothing where the verdicts do not fit the tries, as in a record that was forgotten in part.
    """
    groups = _groups([verdict for verdict in record.verdicts if verdict.on == "output"])
    places = [place for place, tried in enumerate(record.attempts) if _is_seen(tried)]
    while len(places) > len(groups) and record.attempts[places[-1]].model.startswith(RUNGS):
        places.pop()  # what the declaration says word by word, some guards leave out
    if len(places) != len(groups):
        return {}
    judged = dict(zip(places, map(tuple, groups), strict=True))
    fits = all(
        all(verdict.is_acceptable for verdict in said) == (record.attempts[place].status == "ok")
        for place, said in judged.items()
    )
    return judged if fits else {}


def answer_of_each(record: Record) -> tuple[str, ...]:
    """Return for each verdict the model whose answer it is about; empty where that is not told."""
    judged = answers_judged(record)
    models = iter([record.attempts[place].model for place, said in judged.items() for _ in said])
    return tuple(next(models, "") if v.on == "output" else "" for v in record.verdicts)


def _is_seen(tried: Attempt) -> bool:
    if tried.status == "rejected":
        return not tried.detail.startswith(_BROKEN_SCHEMA)
    return tried.status == "ok"


def _groups(verdicts: Sequence[Verdict]) -> list[list[Verdict]]:
    """Return the verdicts by answer: a guard speaks once of each."""
    groups: list[list[Verdict]] = []
    for verdict in verdicts:
        if not groups or verdict.guard in {said.guard for said in groups[-1]}:
            groups.append([])
        groups[-1].append(verdict)
    return groups
