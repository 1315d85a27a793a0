"""Scorers of what an answer stands on: the pages it cites, and whether they support it."""

from __future__ import annotations

import re
import threading
from functools import cached_property
from typing import Any

from ...declare.evaluation import ScorerEntry
from ...guard.grounded import LEAST_SUPPORT
from ...signals.text import sentences_of
from ...types import Passage, Sentence, Support
from ..asked import Asked
from ..cases import Case
from ..scorer import Score, ScoringGround
from .reading import (
    Compared,
    expected_of,
    no_answer,
    not_asked,
    quoted,
    rated,
    texts_of,
    version_of,
)

MOST_SENTENCES = 200
"""Sentences of an answer that are compared: each takes 4 ms."""
_CITED = re.compile(r"\[([^\[\]\n:]{1,300}\.md)(?::\s*([^\[\]\n]{0,300}))?\]")


class Cites:
    """The answer cites the pages that the case expects, and none that was not found for it.

    Expected is a page, `refunds.md`, or a part of one, `refunds.md: Within 24 hours`, or a list of
    them. The score is the share of them that is cited. Whether the page says what the answer says
    is not looked at: `grounded` does that.
    """

    is_dear = False

    def __init__(self, entry: ScorerEntry, ground: ScoringGround) -> None:
        self.name = entry.name
        self.version = version_of(entry, 1)
        self._at_least = entry.at_least
        self._compared = Compared(entry)

    def score(self, case: Case, asked: Asked) -> Score:
        """Return the share that is cited; 0 where a page is cited that was not found."""
        wanted = texts_of(expected_of(case, self.name))
        if not wanted:
            return not_asked("a page, or a list of them,")
        if (missing := no_answer(asked)) is not None:
            return missing
        cited = [
            (match[1].strip(), _plain(match[2] or ""))
            for match in _CITED.finditer(self._compared.text(asked))
        ]
        found = {_string(passage, "file") for passage in _tables(asked.passages)} - {""}
        foreign = [file for file, _ in cited if found and file not in found]
        if foreign:
            why = f"it cites {quoted(foreign[0])}, which was not found for the question"
            return Score(0.0, False, why)
        absent = [place for place in wanted if not _is_cited(place, cited)]
        why = f"it does not cite {quoted(absent[0])}" if absent else ""
        return rated(1 - len(absent) / len(wanted), self._at_least, why)


def _is_cited(place: str, cited: list[tuple[str, str]]) -> bool:
    file, _, heading = place.partition(":")
    wanted = _plain(heading)
    return any(
        file.strip() == page and (not wanted or wanted in (there, there.rpartition(" > ")[2]))
        for page, there in cited
    )


def _plain(heading: str) -> str:
    """Return a heading as citations write it, whose brackets would end them."""
    return " ".join(heading.replace("[", "(").replace("]", ")").split())


def _string(table: dict[str, Any], key: str) -> str:
    value = table.get(key)
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""


def _tables(values: tuple[Any, ...]) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)]


class Grounded:
    """Every sentence of the answer is supported by the passages found for it.

    The score is the support of the sentence that has least. It finds what was made up; what was
    misread, or left out, it does not. An answer for which no passage was found has none. A request
    that was refused has said nothing, so nothing is known of it.
    """

    is_dear = False

    def __init__(self, entry: ScorerEntry, ground: ScoringGround) -> None:
        self.name = entry.name
        self.version = version_of(entry, 1)
        self._at_least = LEAST_SUPPORT if entry.at_least is None else entry.at_least
        self._compared = Compared(entry)
        self._open = ground.support
        self._opening = threading.Lock()

    @cached_property
    def _support(self) -> Support:
        return self._open()

    def score(self, case: Case, asked: Asked) -> Score:
        """Return how well the least supported sentence is; it asks nothing of the case.

        Raises:
            ModelUnavailable: The embedder failed inside.
        """
        if not asked.is_answer and asked.disposition == "refused":
            return Score(None, None, "it was refused, so that there is nothing to compare")
        if (missing := no_answer(asked)) is not None:
            return missing
        text = self._compared.text(asked).encode(errors="replace").decode()
        passages = _passages(asked.passages)
        if not passages:
            return Score(0.0, False, "no passage was found that could support it")
        if len(sentences_of(text)) > MOST_SENTENCES:
            return Score(0.0, False, f"it has more than {MOST_SENTENCES} sentences")
        with self._opening:
            sentences = self._support(text, passages)
        if not sentences:
            return Score(0.0, False, "it holds no sentence that could be compared")
        least = min(sentences, key=lambda sentence: sentence.score)
        value = min(max(least.score, 0.0), 1.0)
        why = f"least supported ({value:.2f}): {quoted(least.text)}"
        return rated(value, self._at_least, "" if value >= self._at_least else why)


def _passages(kept: tuple[Any, ...]) -> tuple[Passage, ...]:
    """Return what an answer kept of its passages as they were."""
    return tuple(
        Passage(
            file=_string(table, "file"),
            heading=_string(table, "heading"),
            text=text,
            sentences=tuple(Sentence(sentence, 0.0) for sentence in sentences_of(text)),
        )
        for table in _tables(kept)
        if (text := _string(table, "text"))
    )
