"""Scorers of predictions: labels, probabilities and numbers."""

from __future__ import annotations

import math
from typing import Any, Literal

from ...declare.evaluation import ScorerEntry
from ...errors import DeclarationError
from ..asked import Asked
from ..cases import Case
from ..scorer import Score, ScoringGround
from .reading import (
    Compared,
    Fold,
    expected_of,
    folding,
    no_answer,
    not_asked,
    number_of,
    quoted,
    rated,
    version_of,
)

CLIP = 0.01
"""A probability counts as no nearer to 0 or 1 in the log loss: one sure error is not everything."""
WORST_LOG_LOSS = -math.log(CLIP)
_NUMBERS = ("value", "prediction", "label")
_SUM_OFF = 0.01
_TRUTHS = {"true": "1", "false": "0"}
"""Truths stand so where they are keys, as of `probabilities`."""

Loss = Literal["brier", "log"]
Distribution = dict[str, float]


class LabelReader:
    """Reads the label of an answer and of an expectation, as text: 1, 1.0 and true are `1`.

    Raises:
        DeclarationError: `path` is no path.
    """

    def __init__(self, entry: ScorerEntry) -> None:
        self._name = entry.name
        self._compared = Compared(entry)
        self._fold = folding(entry)

    def truth(self, case: Case) -> str | None:
        """Return the expected label; None where there is none."""
        return label_of(_labelled(expected_of(case, self._name)), self._fold)

    def prediction(self, asked: Asked) -> str | None:
        """Return the predicted label; None where there is none."""
        return label_of(_labelled(self._compared.of(asked)), self._fold)


class ProbabilityReader:
    """Reads how probable an answer calls what is true.

    Two classes are `{"probability": p}` of the second and a truth of 0 or 1, or any number of them
    `{"probabilities": {class: p}}` and the name of the true one; `path` leads to either.

    Raises:
        DeclarationError: `path` is no path.
    """

    def __init__(self, entry: ScorerEntry) -> None:
        self._name = entry.name
        self._compared = Compared(entry)

    def truth(self, case: Case) -> str | None:
        """Return the true class as text; None where there is none."""
        return label_of(_labelled(expected_of(case, self._name)), str)

    def distribution(self, asked: Asked) -> Distribution | None:
        """Return class → probability, in the order of the classes; None where it is none."""
        value = self._compared.of(asked)
        if isinstance(value, dict):
            many = value.get("probabilities")
            value = many if isinstance(many, dict) else value.get("probability", value)
        if isinstance(value, dict):
            return _distribution(value)
        single = number_of(value)
        if single is None or not 0 <= single <= 1:
            return None
        return {"0": 1 - single, "1": single}


class NumberReader:
    """Reads the number of an answer and of an expectation.

    Raises:
        DeclarationError: `path` is no path.
    """

    def __init__(self, entry: ScorerEntry) -> None:
        self._name = entry.name
        self._compared = Compared(entry)

    def truth(self, case: Case) -> float | None:
        """Return the expected number; None where there is none."""
        return number_of(_numeric(expected_of(case, self._name)))

    def prediction(self, asked: Asked) -> float | None:
        """Return the predicted number; None where there is none."""
        return number_of(_numeric(self._compared.of(asked)))


class Label:
    """The predicted label is the true one: 1 or 0."""

    is_dear = False

    def __init__(self, entry: ScorerEntry, ground: ScoringGround) -> None:
        self.name = entry.name
        self.version = version_of(entry, 1)
        self._reader = LabelReader(entry)

    def score(self, case: Case, asked: Asked) -> Score:
        """Return 1 where it is; nothing where no label is expected."""
        truth = self._reader.truth(case)
        if truth is None:
            return not_asked("a label")
        if (missing := no_answer(asked)) is not None:
            return missing
        got = self._reader.prediction(asked)
        why = f"expected {quoted(truth)}, got {'no label' if got is None else quoted(got)}"
        return rated(float(got == truth), None, why)


class Probability:
    """How near the probability is to the truth, by a proper loss scaled so that 1 is best.

    `options.loss` is `brier` (the squared difference, half their sum over the classes) or `log`
    (clipped at 1 %, divided by its worst value). Measured is the loss. It counts as right where the
    true class is the most probable one, or from `at_least` on: one probability is never wrong by
    itself, so look at the mean.

    Raises:
        DeclarationError: `options.loss` is something else.
    """

    is_dear = False

    def __init__(self, entry: ScorerEntry, ground: ScoringGround) -> None:
        self.name = entry.name
        self.version = version_of(entry, 1)
        self._at_least = entry.at_least
        self._reader = ProbabilityReader(entry)
        self._loss = entry.options.get("loss", "brier")
        if self._loss not in ("brier", "log"):
            raise DeclarationError(
                f"scorer `{entry.name}`: expected `options.loss` to be brier or log, got "
                f"{quoted(self._loss)}"
            )

    def score(self, case: Case, asked: Asked) -> Score:
        """Return one less the scaled loss; nothing where no class is expected."""
        truth = self._reader.truth(case)
        if truth is None:
            return not_asked("the true class (0 or 1, or its name)")
        if (missing := no_answer(asked)) is not None:
            return missing
        found = self._reader.distribution(asked)
        if found is None or truth not in found:
            why = "expected `probability`, or `probabilities` with the true class, got neither"
            return Score(0.0, False, why)
        if self._loss == "log":
            loss = log_loss(found, truth)
            value = 1 - loss / WORST_LOG_LOSS
        else:
            loss = brier(found, truth)
            value = 1 - loss
        value = min(max(value, 0.0), 1.0)
        others = max(p for name, p in found.items() if name != truth or len(found) == 1)
        is_right = found[truth] > others if self._at_least is None else value >= self._at_least
        why = "" if is_right else f"the true class was given {found[truth]:.3g}"
        return Score(value, is_right, why, loss)


class Regression:
    """How near the number is to the true one: 1 on it, .5 at `tolerance`, 0 from twice that on.

    It is right within `tolerance`; measured is the absolute error. Without `tolerance` it is
    measured alone, for the mean errors of all cases.
    """

    is_dear = False

    def __init__(self, entry: ScorerEntry, ground: ScoringGround) -> None:
        self.name = entry.name
        self.version = version_of(entry, 1)
        self._reader = NumberReader(entry)
        self._tolerance = entry.tolerance
        self._is_relative = entry.is_relative

    def score(self, case: Case, asked: Asked) -> Score:
        """Return how near it is; nothing where no number is expected."""
        truth = self._reader.truth(case)
        if truth is None:
            return not_asked("a number")
        if (missing := no_answer(asked)) is not None:
            return missing
        got = self._reader.prediction(asked)
        if got is None:
            return Score(0.0, False, f"expected {truth:g}, got no number")
        off = abs(got - truth)
        if self._tolerance is None:
            return Score(None, measured=number_of(off))
        bound = self._tolerance * (abs(truth) if self._is_relative else 1)
        ratio = off / (2 * bound) if bound > 0 else float(off > 0)
        is_right = off <= bound + 1e-12 * max(abs(truth), bound)
        why = "" if is_right else f"expected {truth:g} within {bound:g}, off by {off:g}"
        return Score(max(1 - ratio, 0.0), is_right, why, number_of(off))


def brier(distribution: Distribution, truth: str) -> float:
    """Return half the squared distance from the truth (0-1); of two classes, (p - y) squared.

    >>> round(brier({"0": 0.2, "1": 0.8}, "1"), 2)
    0.04
    """
    return sum((p - (name == truth)) ** 2 for name, p in distribution.items()) / 2


def log_loss(distribution: Distribution, truth: str) -> float:
    """Return the log loss of the true class, clipped.

    >>> round(log_loss({"0": 1.0, "1": 0.0}, "1"), 3)
    4.605
    """
    return -math.log(min(max(distribution[truth], CLIP), 1 - CLIP))


def label_of(value: Any, fold: Fold) -> str | None:
    """Return a label as text; None where it is none."""
    if isinstance(value, str):
        text = value.strip()
        return _TRUTHS.get(text) or fold(text)[:1000]
    number = number_of(int(value) if isinstance(value, bool) else value)
    if number is None:
        return None
    return str(int(number)) if number.is_integer() else repr(number)


def _labelled(value: Any) -> Any:
    if isinstance(value, dict):
        return next((value[key] for key in ("label", "text") if key in value), None)
    return value


def _numeric(value: Any) -> Any:
    if isinstance(value, dict):
        return next((value[key] for key in _NUMBERS if key in value), None)
    return value


def _distribution(table: dict[Any, Any]) -> Distribution | None:
    found = {}
    for name, value in list(table.items())[:10_000]:
        number, label = number_of(value), label_of(name, str)
        if number is None or label is None or not 0 <= number <= 1:
            return None
        found[label] = number
    return found if found and abs(sum(found.values()) - 1) <= _SUM_OFF else None
