"""The judge: whether an answer may be shown. Every chain uses it, so nothing is judged twice."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from ..declare.schemas import SchemaCheck
from ..guard.slot import Guard, run_guards
from ..types import Answer, Call, Judgement
from .mending import NotJson, RefusedJson, mend_json, read_json
from .structured import told_problems, told_schema, with_content

ACCEPTED = Judgement()
_encode = msgspec.json.Encoder().encode


class OutputJudge:
    """Checks an answer against the output schema, then asks the output guards.

    Args:
        check: The compiled output schema, or None where none is declared.
        guards: The guards on the output, in the order of the file.
        reads_json: Whether the output is JSON that the model wrote as text.
        declared: Names of rungs whose answers the declaration itself says; guards that are only
            for what a model wrote (`is_for_models`) leave them out.

    Attributes:
        check: As given.
        told: The schema as providers are told it; empty where no model writes JSON as text.
    """

    def __init__(
        self,
        check: SchemaCheck | None,
        guards: Sequence[Guard],
        *,
        reads_json: bool,
        declared: Collection[str] = (),
    ) -> None:
        self.check = check
        self._guards = tuple(guards)
        self._of_declared = tuple(g for g in guards if not getattr(g, "is_for_models", False))
        self._declared = frozenset(declared)
        self._reads_json = reads_json and check is not None
        self.told = told_schema(check) if reads_json else b""

    @property
    def has_checks(self) -> bool:
        """Whether any answer could be turned down, so that a stream has to be held for it."""
        return self.check is not None or bool(self._guards)

    def problem(self, output: Any) -> str:
        """Return why an output breaks the schema, or an empty string."""
        return "" if self.check is None else self.check.first_problem(output)

    def __call__(self, call: Call, answer: Answer) -> Judgement:
        """Judge `answer`; JSON text becomes its `output` on the way, mended where it has to be."""
        if not self.has_checks:
            return ACCEPTED
        started = time.perf_counter_ns()
        problem, mendable = self._keeps_schema(answer)
        schema_us = (time.perf_counter_ns() - started) // 1000
        if problem:
            return Judgement(schema=problem, schema_us=schema_us, mendable=mendable)
        guards = self._of_declared if answer.model in self._declared else self._guards
        verdicts = run_guards(guards, call, answer.output, "output")
        return Judgement(verdicts=verdicts, schema_us=schema_us)

    def _keeps_schema(self, answer: Answer) -> tuple[str, str]:
        """Return why an answer breaks the schema, and what its model may be told of that."""
        if self.check is None:
            return "", ""
        text = self._text_of(answer)
        if text is None:
            return self.check.first_problem(answer.output), ""
        try:
            answer.output, answer.mended = _value_of(text, is_cut_off=answer.is_cut_off)
        except NotJson as error:
            answer.content = text
            got = f"text that was cut off, {error}" if answer.is_cut_off else str(error)
            can_be_written = answer.finish_reason == "stop"
            told = f"- it is {error}, and not JSON" if can_be_written else ""
            return f"output: expected JSON, got {got}", told
        answer.content = _encode(answer.output).decode() if answer.mended else text
        if problem := self.check.first_problem(answer.output):
            answer.mended = ""
            return problem, told_problems(self.check, answer.output)
        if answer.mended and answer.completion is not None:
            answer.completion = with_content(answer.completion, answer.content)
        return "", ""

    def _text_of(self, answer: Answer) -> str | None:
        """Return the text in which a model wrote its JSON; None where it gave a value."""
        output: Any = answer.output
        if not self._reads_json or answer.model in self._declared:
            return None
        is_text = isinstance(output, dict) and output.keys() == {"text"}
        return output["text"] if is_text and isinstance(output["text"], str) else None


def _value_of(text: str, *, is_cut_off: bool) -> tuple[Any, str]:
    """Return the value of a JSON text, and `repair` where it had to be mended.

    Raises:
        NotJson: It is none, and cannot be mended or may not be.
    """
    try:
        value = read_json(text)
    except RefusedJson:
        raise
    except NotJson:
        if is_cut_off:
            raise
    else:
        if is_cut_off and not isinstance(value, dict | list):
            raise NotJson("a number or word that may go on")
        return value, ""
    return mend_json(text), "repair"
