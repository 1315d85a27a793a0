"""The judge: whether an answer may be shown. Every chain uses it, so nothing is judged twice."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from ..declare.schemas import SchemaCheck
from ..guard.slot import Guard, run_guards
from ..types import Answer, Call, Judgement

ACCEPTED = Judgement()
CUT_OFF = "output: expected whole JSON, got one that ended at its limit of tokens"
"""What is never repaired: nobody knows what is missing."""
_decode = msgspec.json.Decoder().decode


class OutputJudge:
    """Checks an answer against the output schema, then asks the output guards.

    Args:
        check: The compiled output schema, or None where none is declared.
        guards: The guards on the output, in the order of the file.
        reads_json: Whether the output is JSON that the model wrote as text.
        declared: Names of rungs whose answers the declaration itself says; guards that are only
            for what a model wrote (`is_for_models`) leave them out.
    """

    def __init__(
        self,
        check: SchemaCheck | None,
        guards: Sequence[Guard],
        *,
        reads_json: bool,
        declared: Collection[str] = (),
    ) -> None:
        self._check = check
        self._guards = tuple(guards)
        self._of_declared = tuple(g for g in guards if not getattr(g, "is_for_models", False))
        self._declared = frozenset(declared)
        self._reads_json = reads_json and check is not None

    @property
    def has_checks(self) -> bool:
        """Whether any answer could be turned down, so that a stream has to be held for it."""
        return self._check is not None or bool(self._guards)

    def problem(self, output: Any) -> str:
        """Return why an output breaks the schema, or an empty string."""
        return "" if self._check is None else self._check.first_problem(output)

    def __call__(self, call: Call, answer: Answer) -> Judgement:
        """Judge `answer`; JSON text becomes its `output` on the way."""
        if not self.has_checks:
            return ACCEPTED
        started = time.perf_counter_ns()
        problem = CUT_OFF if answer.is_cut_off and self._reads_json else self._read(answer)
        if self._check is not None and not problem:
            problem = self._check.first_problem(answer.output)
        schema_us = (time.perf_counter_ns() - started) // 1000
        if problem:
            return Judgement(schema=problem, schema_us=schema_us)
        guards = self._of_declared if answer.model in self._declared else self._guards
        verdicts = run_guards(guards, call, answer.output, "output")
        return Judgement(verdicts=verdicts, schema_us=schema_us)

    def _read(self, answer: Answer) -> str:
        if not self._reads_json:
            return ""
        output: Any = answer.output
        text = output.get("text") if isinstance(output, dict) and set(output) == {"text"} else None
        if text is None:
            return ""
        try:
            answer.output = _decode(text)
        except msgspec.DecodeError:
            return "output: expected JSON, got text that is not"
        return ""
