"""A rule as a model: one CEL expression over the input."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from ..declare.expressions import Expression, ExpressionError, compile_expression
from ..errors import DeclarationError, ModelRejected
from ..types import Answer, Call, Clock
from .spec import ModelSpec, Try, stream_whole


def open_model(spec: ModelSpec) -> RuleModel:
    """Compile the expression that `spec.upstream` is.

    Raises:
        DeclarationError: It does not compile, or names something a rule does not know.
    """
    try:
        expression = compile_expression(spec.upstream, "model_rule")
    except ExpressionError as error:
        raise DeclarationError(f"model `{spec.name}`: {error}") from error
    return RuleModel(spec.name, expression, spec.clock)


class RuleModel:
    """Answers by an expression over `input`, `user`, `role`, `team` and `tags`.

    A mapping is the output as it stands; any other result becomes `{"value": result}`. It waits for
    nothing, so that it also answers when the deadline has passed: a ladder ends with it.
    """

    def __init__(self, name: str, expression: Expression, clock: Clock) -> None:
        self.name = name
        self._expression = expression
        self._clock = clock

    async def answer(self, call: Call) -> Answer:
        """Evaluate the rule.

        Raises:
            ModelRejected: The rule cannot be evaluated on this input.
        """
        this_try = Try(self.name, self._clock)
        caller = call.caller
        names = {
            "input": call.input,
            "user": caller.user,
            "role": caller.role,
            "team": caller.key.team,
            "tags": list(caller.tags),
        }
        try:
            result = self._expression.evaluate(names)
        except ExpressionError as error:
            # Which rule it is stays inside: a caller sees that it has no value for this input.
            why = str(error).removeprefix(f"`{self._expression.source}` ")
            raise this_try.failed(ModelRejected(f"model `{self.name}`: {why}")) from error
        output = dict(result) if isinstance(result, Mapping) else {"value": result}
        return Answer(model=self.name, output=output, attempts=(this_try.ended(),))

    def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        """Yield the answer, whole."""
        return stream_whole(self, call)

    async def close(self) -> None:
        """Nothing is held."""
