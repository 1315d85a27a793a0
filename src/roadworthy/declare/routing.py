"""`[routing]` and `[failover]`: which model is asked, and what happens when it does not answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ..errors import DeclarationError
from .values import Label, Section, Text

Strategy = Literal["first", "rules", "intent", "learned", "cascade"]


BETS: frozenset[Strategy] = frozenset({"learned", "cascade"})
"""Strategies that bet on a cheaper model, within a certified bound."""


class RouteRule(Section):
    """Which model is asked where an expression is true."""

    when: Text = Field(
        description="Expression (CEL) over the request: `input`, `tags`, `user`, `role`, `team`, "
        "`time_left_ms`, `input_tokens`, and `price`, by model, of this request at most."
    )
    use: Label = Field(description="Name of the entry of `[[models]]` that is asked first then.")


class Intent(Section):
    """What people want, by examples of how they say it, and the model for it."""

    name: Label = Field(description="Name of the intent, for records.")
    use: Label = Field(description="Name of the entry of `[[models]]` that is asked first for it.")
    examples: Annotated[tuple[Text, ...], Field(strict=False)] = Field(
        (), description="How people say it."
    )
    file: Text | None = Field(
        None, description="File of more examples, one a line, beside the service file."
    )

    def lines_of(self, folder: Path) -> tuple[str, ...]:
        """Return the examples in its file; none where it names no file.

        Raises:
            DeclarationError: The file cannot be read as text.
        """
        if self.file is None:
            return ()
        try:
            text = (folder / self.file).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise DeclarationError(f"{self.file}: {type(error).__name__}") from error
        return tuple(line.strip() for line in text.splitlines() if line.strip())


class Routing(Section):
    """How a model is chosen."""

    strategy: Strategy = Field(
        "first",
        description="`first`: in the order of the file; `rules`: the first rule that is true; "
        "`intent`: what the input is nearest to, or what a small model says (`use`); `learned`: "
        "the cheapest model that is predicted to be good enough; `cascade`: the cheapest answers, "
        "and what it is not sure of goes to the next. Whatever fails goes on to the next model.",
    )
    rules: Annotated[tuple[RouteRule, ...], Field(strict=False)] = Field(
        (), description="For `rules`: tried in order; where none is true, `default`."
    )
    intents: Annotated[tuple[Intent, ...], Field(strict=False)] = Field(
        (), description="For `intent`: what people want, by examples."
    )
    use: Label | None = Field(
        None,
        description="For `intent`: a model that names the intent instead of comparing with the "
        "examples; what it says is checked, and where it is no intent, `default` is asked.",
    )
    min_similarity: float = Field(
        0.35,
        ge=0,
        le=1,
        description="For `intent`: an input less near than this (0-1) to every example is out of "
        "scope and goes to `default`.",
    )
    default: Label | None = Field(
        None,
        description="Model that is asked first where no rule or intent says which; by default the "
        "first of `[[models]]`.",
    )
    max_error: float | None = Field(
        None,
        gt=0,
        le=0.5,
        description="For `learned` and `cascade`: what may be lost (0-0.5) against the reference. "
        "Until that is certified from your own pairs of answers, the strongest model answers.",
    )
    sure: float = Field(
        0.9, ge=0.5, lt=1, description="How sure (0.5-1) the bound must be before it is relied on."
    )
    of: Literal["all", "routed"] = Field(
        "all",
        description="What `max_error` is of: `all` keeps at least 1 - max_error of the reference's "
        "quality over all requests; `routed` bounds the answers that are lost among those that a "
        "cheaper model gave.",
    )
    lifetime: bool = Field(
        False,
        description="Whether `sure` holds for all certificates of the service together, instead of "
        "for each.",
    )
    reference: Label = Field(
        "outcomes",
        description="What a wrong answer is judged against: `outcomes`, or the name of the model "
        "whose answers count as right.",
    )
    pairs_share: float = Field(
        0.2,
        ge=0.01,
        le=1,
        description="Share (0.01-1) of the requests that the other model answers too, unseen, "
        "while nothing is certified: that is the evidence.",
    )
    audit_share: float = Field(
        0.05,
        ge=0.01,
        le=1,
        description="Share (0.01-1) of the answers of a cheaper model that the reference answers "
        "too, unseen, so that a bound that no longer holds is noticed.",
    )

    @property
    def files(self) -> tuple[str, ...]:
        """The files of examples that are read."""
        if self.strategy != "intent":
            return ()
        return tuple(intent.file for intent in self.intents if intent.file is not None)

    @property
    def only_asked(self) -> frozenset[str]:
        """The model that names intents, where none of them and no default leads to it."""
        named = {intent.use for intent in self.intents}
        if self.strategy != "intent" or self.use is None or self.use in (*named, self.default):
            return frozenset()
        return frozenset({self.use})


class FailoverPolicy(Section):
    """What happens when a model does not answer."""

    order: Literal["declared", "weighted", "fastest"] = Field(
        "declared",
        description="In which order models are tried that routing does not choose between: of the "
        "file, by chance by their `weight`, or the one first whose answers came fastest lately.",
    )
    retries: int = Field(
        1,
        ge=0,
        le=5,
        description="How often the same model is asked again after what may pass: a broken "
        "connection, a 5xx, a rate limit that ends within the time left.",
    )
    retry_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Most retries as a share (0-1) of the requests lately, so that an outage is "
        "not answered with more load; a few are always allowed.",
    )
    restart_streams: bool = Field(
        False,
        description="Whether a stream that breaks off begins anew with the next model; the client "
        "is told by an event that what it has so far no longer counts.",
    )
