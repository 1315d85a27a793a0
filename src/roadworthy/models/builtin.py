"""Models that this package brings itself: `builtin:extractive` quotes the pages of the service."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from ..errors import DeclarationError, ModelRejected
from ..types import Answer, Call, Clock, Passage, Sentence
from .spec import ModelSpec, Try, stream_whole

EXTRACTIVE = "builtin:extractive"
MOST_SENTENCES = 4
NEAR_BEST = 0.8
"""What share of the best sentence's score another one needs to be quoted beside it."""


def open_model(spec: ModelSpec) -> ExtractiveModel:
    """Open the model of this name.

    Raises:
        DeclarationError: There is none.
    """
    if spec.upstream != EXTRACTIVE:
        raise DeclarationError(
            f"model `{spec.name}`: expected `{EXTRACTIVE}`, got `{spec.upstream:.80}`"
        )
    return ExtractiveModel(spec.name, spec.clock)


class ExtractiveModel:
    """Answers with the sentences of the nearest passages that fit the question best, each cited.

    It says nothing that the pages do not say, and the same question always gets the same answer.
    Where no passage is near enough (`context.retrieval.min_score`) it answers nothing: it raises
    `ModelRejected`, so that the next model is tried and then the ladder. A text that says "no
    answer" would count as answered, and hide how often that happens. It waits for nothing.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self._clock = clock

    async def answer(self, call: Call) -> Answer:
        """Quote what fits.

        Raises:
            ModelRejected: No passage is near enough to the question.
        """
        this_try = Try(self.name, self._clock)
        chosen = choose(call.passages)
        if not chosen:
            message = f"model `{self.name}` found no passage near enough to the question"
            raise this_try.failed(ModelRejected(message))
        text = "\n".join(_quote(passage, sentences) for passage, sentences in chosen)
        return Answer(model=self.name, output={"text": text}, attempts=(this_try.ended(),))

    def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        """Yield the answer, whole."""
        return stream_whole(self, call)

    async def close(self) -> None:
        """Nothing is held."""


def choose(passages: Sequence[Passage]) -> list[tuple[Passage, list[Sentence]]]:
    """Return which sentences of which passages to quote, in the order of the pages' own text.

    The best sentence of the nearest passage counts first; others stand beside it as far as they
    fit nearly as well, at most four in all.
    """
    if not passages or not passages[0].sentences:
        return []
    best = max(sentence.score for sentence in passages[0].sentences)
    ranked = sorted(
        (
            (-sentence.score, number, place)
            for number, passage in enumerate(passages)
            for place, sentence in enumerate(passage.sentences)
            if sentence.score >= best * NEAR_BEST
        ),
        key=lambda entry: (entry[1] > 0, entry),
    )
    taken = {(number, place) for _, number, place in ranked[:MOST_SENTENCES]}
    chosen = []
    for number, passage in enumerate(passages):
        fits = [s for place, s in enumerate(passage.sentences) if (number, place) in taken]
        if fits:
            chosen.append((passage, fits))
    return chosen


def _quote(passage: Passage, sentences: Sequence[Sentence]) -> str:
    text = " ".join(sentence.text for sentence in sentences)
    place = passage.heading.replace("[", "(").replace("]", ")")
    return f"{text} [{passage.file}: {place}]" if place else f"{text} [{passage.file}]"
