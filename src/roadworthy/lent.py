"""What rooms lend to each other: readers of texts, and features."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

Named = Mapping[str, Collection[str]]


class Sentence(msgspec.Struct, frozen=True, gc=False):
    """A sentence and how well it fits (0-1): a question it may answer, or what supports it."""

    text: str
    score: float


class Passage(msgspec.Struct, frozen=True):
    """A part of a page that was found for a question.

    Attributes:
        file: The page, relative to the folder of all pages.
        heading: The headings above it, outermost first, joined by ` > `.
        score: How near the question it is (0-1).
        sentences: Its sentences in their order, each with how near the question it is.
    """

    file: str
    heading: str
    text: str
    score: float = 0.0
    sentences: tuple[Sentence, ...] = ()


class PassageFound(msgspec.Struct, frozen=True, gc=False):
    """Which passage was found for a question, without its text.

    Attributes:
        score: How near the question it is (0-1).
    """

    file: str
    heading: str
    score: float


Support = Callable[[str, Sequence[Passage]], tuple[Sentence, ...]]
"""Gives each sentence of an answer with how well (0-1) the passages support it."""


class Embedder(Protocol):
    """What makes vectors of texts, near each other where the texts mean alike.

    Attributes:
        name: Which model it is, so that vectors of another are not mixed with its own.
        dimensions: How many numbers a vector has.
    """

    name: str
    dimensions: int

    def embed(self, texts: Sequence[str]) -> Any:
        """Return (n, dimensions) float32, rows of length 1, one per text.

        Raises:
            ModelUnavailable: It failed inside.
        """

    def count(self, text: str) -> int:
        """Return how many tokens a text is."""


class Pages(Protocol):
    """A folder of pages, read: finds passages in it, and says what they support."""

    def find(self, question: str) -> tuple[Passage, ...]:
        """Return the passages for a question, nearest first; none where none is near enough.

        Raises:
            ModelUnavailable: It failed inside.
        """

    def support(self, text: str, passages: Sequence[Passage]) -> tuple[Sentence, ...]:
        """Return each sentence of `text` with how well (0-1) the passages support it.

        Raises:
            ModelUnavailable: It failed inside.
        """


class Signals(Protocol):
    """What reads texts on this machine: an embedder, and pages that are searched with it."""

    def embedder(self) -> Embedder:
        """Return the embedder that all share.

        Raises:
            MissingExtra: It is not installed.
        """

    def open_pages(
        self,
        folder: Path,
        cache: Path,
        *,
        top_k: int,
        max_tokens: int,
        min_score: float,
        dedupe: float = 1.0,
        choose: Literal["nearest", "value"] = "nearest",
    ) -> Pages:
        """Read a folder of pages.

        Args:
            folder: Where they lie.
            cache: Where what is computed of them is kept for the next start.
            top_k: Most passages of one answer.
            max_tokens: Most tokens of all passages of one answer together.
            min_score: Passages less near (0-1) than this are left out.
            dedupe: A passage as near as this (0-1) to one that is given is left out.
            choose: Whether the nearest are given, or those that say most for their tokens.

        Raises:
            MissingExtra: What reads them is not installed.
            DeclarationError: There are no pages, or they are no UTF-8 text.
            ModelUnavailable: It failed inside.
        """


OpenSignals = Callable[[], Signals]
"""Gives what reads texts; only then are its packages imported."""


class FeatureVector(Protocol):
    """The features of one request."""

    @property
    def values(self) -> dict[str, Any]:
        """Feature → value, null where nothing fresh is known."""

    def as_record(self) -> dict[str, Any]:
        """Return what a record keeps of it, as JSON values."""


class FeatureSource(Protocol):
    """Gives the features of a service's views, opened once for a release.

    Attributes:
        contracts: Source → the contract version that its views were registered with.
        views: View and version → the features it gives.
    """

    contracts: dict[str, str]
    views: Mapping[str, tuple[str, ...]]

    def vector(self, input: Mapping[str, Any]) -> FeatureVector:
        """Return the features of the entities that `input` names, as they are known now.

        Raises:
            StoreError: The online store cannot be read.
        """


class Pushed(msgspec.Struct, frozen=True):
    """What a push of features did; rows that are not `taken` were no newer than what is online."""

    view: str
    rows: int
    taken: int


class Features(Protocol):
    """The feature views of a project at work."""

    def open_source(
        self, views: Sequence[str], input_fields: Sequence[str] | None = None
    ) -> FeatureSource:
        """Return what gives a service its features: open it once for a release.

        Raises:
            NotFound, DeclarationError: A view is not registered, or does not fit the service.
        """

    def push(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Pushed:
        """Put single rows of a view online where they are newer.

        Raises:
            NotFound, ContractViolation: It is not registered, or a row breaks its contracts.
        """

    def fill_all(self, served: Sequence[str] = ()) -> str:
        """Fill every newest view, and those that are served, and say how it went, as a job does."""

    def states(self, names: Sequence[str] | None = None) -> Sequence[Any]:
        """Return how new these views are, by default all: `ViewState`s of data/features.py."""

    def measure_skew(self, views: Named, sets: Mapping[str, str], personal: Named) -> str:
        """Hold what services were served against their views and training sets, as a job does."""

    def close(self) -> None:
        """Close the online store."""


OpenSource = Callable[[Sequence[str], Sequence[str] | None], FeatureSource]
"""Gives the features of these views, for an input of these fields."""
OpenFeatures = Callable[[], Features]
"""Gives the feature views at work; only then are their packages imported."""
