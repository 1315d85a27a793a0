"""Whether the repeats of a case were right."""

from __future__ import annotations

from .runs import CaseRuns


def rights_of(runs: CaseRuns) -> tuple[bool | None, ...]:
    """Return whether each repeat of a case was right: by all of its scorers that could say.

    None where none could, or where it was not asked.
    """
    return tuple(_is_right(runs, repeat) for repeat in range(len(runs.answers)))


def _is_right(runs: CaseRuns, repeat: int) -> bool | None:
    said = [scores[repeat] for scores in runs.scores.values()]
    known = [score.is_right for score in said if score and score.is_right is not None]
    return all(known) if known else None
