"""What every scorer must do, whoever wrote it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

import msgspec

from ..declare.evaluation import ScorerEntry
from ..errors import ModelError
from ..evaluate.asked import Asked
from ..evaluate.cases import Case
from ..evaluate.scorer import Score, Scorer, ScoringGround

OpenScorer = Callable[[ScorerEntry, ScoringGround], Scorer]

_DEEP = 5_000
_THREADS = 4


def check_scorer(
    open_it: OpenScorer,
    entry: ScorerEntry,
    ground: ScoringGround,
    case: Case,
    asked: Asked,
    *,
    changed: Sequence[ScorerEntry] = (),
) -> Score:
    """Return the score of this answer after making sure that the scorer behaves.

    It has the name that the entry gives it, and a version that another opening of the same entry
    has too and any of `changed` has not. A score lies in [0, 1] or is None, and what is not right
    has a reason. It changes nothing that it looks at; unless it is dear, it says the same again,
    also from several threads. Whatever a model answered and a case expects (nothing, NaN, a million
    characters, values nested thousands deep, types of any kind), it raises `ModelError` or nothing.

    Args:
        open_it: What the entry point names.
        entry: What a service says of it.
        ground: What it may use.
        case: A case it can score the answer to.
        asked: The answer.
        changed: The same entry with each of the settings that change its scores set otherwise.

    Raises:
        AssertionError: It does not behave; the message says how.
    """
    scorer, again = open_it(entry, ground), open_it(entry, ground)
    _check_face(scorer, entry)
    assert again.version == scorer.version, (
        f"version: expected the same of two that were opened alike, got `{scorer.version}`, then "
        f"`{again.version}`"
    )
    for other in changed:
        version = open_it(other, ground).version
        assert version != scorer.version, (
            f"version: expected another where the entry says `{other}`, got the same"
        )
    before = deepcopy((case, asked))
    score = _scored(scorer, case, asked)
    assert score is not None, "expected a score of the case that it can score, got a ModelError"
    assert (case, asked) == before, "it changed what it looked at"
    if not scorer.is_dear:
        _check_same_again(scorer, again, case, asked, score)
    for strange_case, strange in _strange(case, asked):
        _scored(scorer, strange_case, strange)
    return score


def _check_face(scorer: Scorer, entry: ScorerEntry) -> None:
    assert scorer.name == entry.name, f"name: expected `{entry.name}`, got `{scorer.name}`"
    version: Any = scorer.version
    assert isinstance(version, str), f"version: expected a text, got {type(version).__name__}"
    assert version, "version: expected a text, got an empty one"
    is_dear: Any = scorer.is_dear
    assert isinstance(is_dear, bool), f"is_dear: expected a bool, got {type(is_dear).__name__}"


def _scored(scorer: Scorer, case: Case, asked: Asked) -> Score | None:
    """Return a score that was checked; None where what it asks failed."""
    try:
        score: Any = scorer.score(case, asked)
    except ModelError:
        return None
    except Exception as error:
        raise AssertionError(
            f"`{scorer.name}`: expected a Score or a ModelError, got {type(error).__name__}: "
            f"{str(error)[:200]}, for an output of type {type(asked.output).__name__} and an "
            f"expectation of type {type(case.expect).__name__}"
        ) from error
    assert isinstance(score, Score), f"expected a Score, got {type(score).__name__}"
    _check_score(score)
    return score


def _check_score(score: Score) -> None:
    value: Any = score.value
    if value is not None:
        assert isinstance(value, float), f"value: expected a float, got {type(value).__name__}"
        assert 0 <= value <= 1, f"value: expected 0 to 1, got {value}"
    is_right: Any = score.is_right
    assert is_right in (None, True, False), f"is_right: expected a bool or None, got {is_right!r}"
    assert value is not None or is_right is None, "is_right: expected None where value is None"
    assert is_right is not False or score.why, "why: expected a reason of what is not right"
    assert len(score.why) <= 1000, f"why: expected one sentence, got {len(score.why)} characters"
    measured = score.measured
    assert measured is None or math.isfinite(measured), f"measured: expected finite, got {measured}"
    assert score.cost_micro >= 0, f"cost_micro: expected >= 0, got {score.cost_micro}"
    assert 0 <= score.doubt <= 1, f"doubt: expected 0 to 1, got {score.doubt}"
    msgspec.json.encode(score)


def _check_same_again(
    scorer: Scorer, again: Scorer, case: Case, asked: Asked, score: Score
) -> None:
    found = [_scored(each, case, asked) for each in (scorer, again)]
    threads = [
        threading.Thread(target=lambda: found.append(_scored(scorer, case, asked)))
        for _ in range(_THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2 + _THREADS, "expected a score from every thread"
    assert all(each == score for each in found), f"expected {score} again, got {found}"


def _strange(case: Case, asked: Asked) -> Iterator[tuple[Case, Asked]]:
    """Yield what a scorer may meet: strange answers to the case, and strange expectations."""
    nothing = Asked(disposition="failed", error_code="all_models_failed")
    yield case, nothing
    yield case, Asked(disposition="refused", error_code="guard_denied")
    for output in _outputs():
        yield case, msgspec.structs.replace(asked, output=output, message=None)
        message = {"role": "assistant", "content": output, "tool_calls": output}
        yield case, msgspec.structs.replace(asked, output=None, message=message)
        call = {"function": {"name": output, "arguments": output}}
        message = {"content": None, "tool_calls": [call, output]}
        yield case, msgspec.structs.replace(asked, output={"text": output}, message=message)
        passages: Any = (output, {"file": output, "heading": output, "text": output})
        yield case, msgspec.structs.replace(asked, passages=passages)
        yield msgspec.structs.replace(case, expect=output), asked


def _outputs() -> list[Any]:
    nested: Any = 1
    table: Any = 1
    for _ in range(_DEEP):
        nested, table = [nested], {"a": table}
    return [
        *(None, True, False, 0, -1, 10**400, 1e308, -1e308, math.nan, math.inf, -math.inf),
        *("", " ", "\0", "\ud800", "nan", "1e999", "word " * 200_000, "9" * 5_000, "[" * 100_000),
        *([], {}, [None], {"": None}, {1: 2}, {"label": []}, {"text": 5}, {"text": "\ud800"}),
        *({"label": math.nan}, {"probability": 2}, {"probabilities": {"a": "b"}}, {"value": "x"}),
        *(nested, table, [1] * 100_000, {1, 2}, b"bytes", object()),
    ]
