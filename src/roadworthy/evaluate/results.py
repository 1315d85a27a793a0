"""What a report says of each case, worst first, and what it can be read back to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from ..types import Disposition
from .asked import Asked
from .cases import SEVERITIES, Case
from .report import CaseResult
from .rights import rights_of
from .runs import CaseRuns
from .scorer import Score
from .stability import case_stability, outputs_of

_RANK = {"stable_fail": 0, "flaky": 1, "unknown": 2, "stable_pass": 3}
_DISPOSITIONS = frozenset(get_args(Disposition))
_NO_SCORE = "-"


def results_of(
    cases: Iterable[CaseRuns], baseline: Iterable[CaseRuns] = ()
) -> tuple[CaseResult, ...]:
    """Return the results of all cases, worst first; what became worse is the first of its kind."""
    before = {runs.case.id: runs for runs in baseline}
    found = [_result_of(runs, before.get(runs.case.id)) for runs in cases]
    return tuple(sorted(found, key=_badness))


def _badness(result: CaseResult) -> tuple[int, int, bool, float, str]:
    known = [value for value in result.scores.values() if value is not None]
    mean = sum(known) / len(known) if known else 1.0
    severity = -SEVERITIES.index(result.severity)
    return _RANK[result.stability], severity, not result.baseline, mean, result.id


def _result_of(runs: CaseRuns, before: CaseRuns | None) -> CaseResult:
    case = runs.case
    answers = [answer for answer in runs.answers if answer is not None]
    first = answers[0] if answers else None
    rights = [right for right in rights_of(runs) if right is not None]
    return CaseResult(
        id=case.id,
        suite=runs.suite,
        tags=case.tags,
        severity=case.severity,
        stability=case_stability(runs),
        passes=sum(rights),
        runs=len(answers),
        scores={name: _mean(scores) for name, scores in runs.scores.items()},
        said={name: "".join(map(_sign, _of_answers(runs, name))) for name in runs.scores},
        doubts={name: doubt for name, scores in runs.scores.items() if (doubt := _doubt(scores))},
        outputs=outputs_of(runs),
        input=case.input,
        expect=case.expect,
        output=_shown(first),
        why=_why(runs),
        disposition="" if first is None else first.disposition,
        error_code="" if first is None else first.error_code,
        latency_ms=_per_answer([answer.latency_us for answer in answers]) / 1000,
        cost_micro=round(_per_answer([answer.cost_micro for answer in answers])),
        baseline=None if before is None else _is_right(before),
        baseline_output=None if before is None else _shown(_first(before)),
        digest=case.digest,
    )


def _is_right(runs: CaseRuns) -> bool | None:
    """Return whether most repeats were right; None where nobody knows."""
    rights = [right for right in rights_of(runs) if right is not None]
    return 2 * sum(rights) > len(rights) if rights else None


def _mean(scores: Sequence[Score | None]) -> float | None:
    known = [score.value for score in scores if score is not None and score.value is not None]
    return sum(known) / len(known) if known else None


def _doubt(scores: Sequence[Score | None]) -> float:
    known = [score.doubt for score in scores if score is not None and score.value is not None]
    return sum(known) / len(known) if known else 0.0


def _per_answer(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0


def _why(runs: CaseRuns) -> str:
    """Return what speaks against the answers, or else why nobody can say."""
    said = [s for scores in runs.scores.values() for s in scores if s is not None and s.why]
    for is_right in (False, None):
        for score in said:
            if score.is_right is is_right:
                return score.why
    return "" if any(runs.answers) else "it was not asked"


def _first(runs: CaseRuns) -> Asked | None:
    return next((answer for answer in runs.answers if answer is not None), None)


def _shown(asked: Asked | None) -> Any:
    if asked is None:
        return None
    return asked.output if asked.output is not None else asked.message


def runs_from(results: Iterable[CaseResult], cases: Mapping[str, Case]) -> tuple[CaseRuns, ...]:
    """Return what an earlier report says of cases that are the same to this day.

    Each repeat comes back right or wrong as it was. Of graded scores, latency and cost a report
    knows the means alone, so that every repeat has these.

    Args:
        results: Of the earlier report.
        cases: The present cases, by id.
    """
    return tuple(
        _read_back(result, case)
        for result in results
        if (case := cases.get(result.id)) is not None and case.digest == result.digest
    )


def _read_back(result: CaseResult, case: Case) -> CaseRuns:
    answer = Asked(
        disposition=_disposition(result.disposition),
        output=result.output,
        error_code=result.error_code,
        latency_us=round(result.latency_ms * 1000),
        cost_micro=result.cost_micro,
    )
    scores = {
        name: tuple(_score(result, name, sign) for sign in said)
        for name, said in result.said.items()
    }
    return CaseRuns(case, result.suite, (answer,) * result.runs or (None,), scores)


def _sign(score: Score | None) -> str:
    if score is None:
        return _NO_SCORE
    return "?" if score.is_right is None else str(int(score.is_right))


def _score(result: CaseResult, name: str, sign: str) -> Score | None:
    if sign == _NO_SCORE:
        return None
    is_right = None if sign == "?" else sign == "1"
    return Score(result.scores.get(name), is_right, doubt=result.doubts.get(name, 0.0))


def _of_answers(runs: CaseRuns, name: str) -> Iterator[Score | None]:
    """Yield the scores of what was asked."""
    for answer, score in zip(runs.answers, runs.scores[name], strict=True):
        if answer is not None:
            yield score


def _disposition(name: str) -> Disposition:
    return name if name in _DISPOSITIONS else "failed"  # type: ignore[return-value]
