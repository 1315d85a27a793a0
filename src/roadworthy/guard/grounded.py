"""A guard that holds while the passages found for an answer support every sentence of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..declare.service import GuardEntry
from ..types import Call, VerdictName

LEAST_SUPPORT = 0.7
"""Where a paraphrase of a passage ends and another statement begins, as far as MiniLM can tell."""


class GroundedGuard:
    """Allows an answer whose every sentence has enough support.

    An output that is no text has each text in it looked at; one without any text is denied, for it
    says nothing that could be compared. It looks at what a model wrote: a rung of the ladder that
    is declared word by word is not asked for its sources.

    Args:
        entry: Its declaration; `at_least` is the least support of a sentence.
        folder: Not used: what it compares with comes with the call.

    Attributes:
        is_for_models: It judges what a model wrote, not what the declaration says itself.
        needs_passages: It denies every answer where no passage was found.
    """

    is_for_models = True
    needs_passages = True
    reads = ("output",)

    def __init__(self, entry: GuardEntry, folder: Path) -> None:
        self.name = entry.name
        self.on = entry.on
        self.fail = entry.fail
        self._verdict: VerdictName = entry.verdict
        self._at_least = LEAST_SUPPORT if entry.at_least is None else entry.at_least

    def check(self, call: Call, output: Any) -> tuple[VerdictName, str]:
        """Allow what is supported; the reason says how well, or counts what is not.

        Raises:
            RuntimeError: Nothing is looked up for this service, so there is nothing to compare.
            ModelUnavailable: The embedder failed inside.
        """
        if call.support is None:
            raise RuntimeError("no passages are looked up for this call")
        texts = list(_texts(output))
        if not call.passages:
            return self._verdict, "no passage was found that could support an answer"
        sentences = [s for text in texts for s in call.support(text, call.passages)]
        if not sentences:
            return self._verdict, "the answer holds no sentence that could be compared"
        weak = [sentence.score for sentence in sentences if sentence.score < self._at_least]
        if not weak:
            least = min(sentence.score for sentence in sentences)
            count = "sentence is" if len(sentences) == 1 else "sentences are"
            return "allow", (
                f"{len(sentences)} {count} supported by the passages: expected at least "
                f"{self._at_least:g}, the least has {least:.2f}"
            )
        return self._verdict, (
            f"{len(weak)} of {len(sentences)} sentences not supported by the passages: expected "
            f"at least {self._at_least:g}, got {min(weak):.2f}"
        )


def _texts(value: Any) -> list[str]:
    """Return every text in an output, in order."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list | tuple):
        return [text for inner in value for text in _texts(inner)]
    return []
