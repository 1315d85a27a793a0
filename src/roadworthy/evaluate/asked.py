"""What came back when a case was asked: all that a scorer may look at, and nothing of a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ..types import Disposition
from .cases import Case


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer to one case.

    Attributes:
        output: The prediction, `{"text": …}`, or JSON; None where there is no answer.
        message: Of a chat, the message that the model sent, with tool calls; None for others.
        passages: What was found for the question, each `{"file", "heading", "text", "score"}`.
        error_code: Why there is no answer; empty where there is one.
        schema_problem: What of an answer broke its schema; empty where it kept it.
        verdicts: What guards said: `guard` → verdict.
        tries: How many models were tried.
        retry_after_s: Set where a provider refused for now: when it may be asked again, 0 where it
            did not say.
    """

    disposition: Disposition
    output: Any = None
    message: dict[str, Any] | None = None
    passages: tuple[dict[str, Any], ...] = ()
    model: str = ""
    error_code: str = ""
    error: str = ""
    schema_problem: str = ""
    verdicts: dict[str, str] = {}
    finish_reason: str = "stop"
    confidence: float | None = None
    score: float | None = None
    latency_us: int = 0
    cost_micro: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    tries: int = 0
    retry_after_s: float | None = None

    @property
    def is_answer(self) -> bool:
        """Whether there is something to score."""
        return self.output is not None or self.message is not None

    @property
    def text(self) -> str:
        """The answer as text; empty where it is none."""
        if isinstance(self.output, dict) and isinstance(self.output.get("text"), str):
            text: str = self.output["text"]
            return text
        if self.message is not None and isinstance(self.message.get("content"), str):
            content: str = self.message["content"]
            return content
        return self.output if isinstance(self.output, str) else ""


Ask = Callable[[Case, int], Awaitable[Asked]]
"""Asks a case; the number is the repeat, from 0. It never raises: an error is an `Asked`."""
