"""How sure an answer is: a score that ranks answers, and the confidence that is made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import msgspec

from ..signals.confident import raw_score
from ..signals.generated import AnswerSignals, Generated, signals_of
from ..types import Answer, Call, Sentence

Calibrate = Callable[[float], float]
"""Makes a calibrated probability of a score."""

Signals = tuple[float | None, ...]
"""What an answer shows of how right it may be, in the order of `SIGNALS`; None is unknown."""

SIGNALS = AnswerSignals.__struct_fields__
LEAST_SUPPORT = SIGNALS.index("least_support")


class Scored(NamedTuple):
    """How sure an answer is (0-1, higher is surer; None is unknown), and what that was read from.

    Predictions have no signals but their score. `scorer` is the score model that said it: another
    may have been put in its place since.
    """

    score: float | None
    signals: Signals = ()
    scorer: str = ""


class Scorer(Protocol):
    """A frozen score model.

    Attributes:
        id: Which one it is: evidence that was gathered with another counts for nothing.
    """

    id: str

    def read(self, call: Call, answer: Answer) -> Scored:
        """Return how sure the answer is."""


class OwnScore:
    """What a prediction says of itself, as it stands in its output.

    Attributes:
        id: `own`, because it is a part of the release.
    """

    id = "own"

    def read(self, call: Call, answer: Answer) -> Scored:
        """Return the probability that the output gives its label."""
        return Scored(raw_score(answer.output))


class LeastSupport:
    """How well the least supported sentence of an answer is supported by its passages.

    Attributes:
        id: `least-support`; what reads texts is a part of the release.
    """

    id = "least-support"

    def read(self, call: Call, answer: Answer) -> Scored:
        """Return the least support of a sentence; unknown where nothing was looked up."""
        signals = read_signals(call, answer)
        return Scored(signals[LEAST_SUPPORT], signals)


def read_signals(call: Call, answer: Answer) -> Signals:
    """Return what a generated answer shows of how right it may be."""
    text = text_of(answer)
    sentences: tuple[Sentence, ...] | None = None
    if call.support is not None and call.passages and text:
        sentences = tuple(call.support(text, call.passages))
    generated = Generated(
        text,
        question=" ".join(str(value) for value in call.input.values() if isinstance(value, str)),
        finish_reason=answer.finish_reason,
        completion=answer.completion,
        passages=call.passages if call.support is not None else None,
        sentences=sentences,
    )
    return msgspec.structs.astuple(signals_of(generated))


def text_of(answer: Answer) -> str:
    """Return what an answer says; nobody may have read its completion yet."""
    output: Any = answer.output
    if output is None and answer.completion is not None:
        output = {"text": _content_of(answer.completion)}
    text = output.get("text") if isinstance(output, dict) else None
    return text if isinstance(text, str) else ""


def _content_of(completion: bytes) -> Any:
    try:
        return msgspec.json.decode(completion)["choices"][0]["message"]["content"]
    except (msgspec.DecodeError, LookupError, TypeError):
        return None
