"""A guard that holds while an expression is true."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..declare.expressions import ExpressionError, compile_expression, kind_of
from ..declare.service import GuardEntry
from ..errors import DeclarationError
from ..types import Call, VerdictName

_READ: dict[str, Callable[[Call, Any], Any]] = {
    "input": lambda call, output: call.input,
    "output": lambda call, output: output,
    "user": lambda call, output: call.caller.user,
    "role": lambda call, output: call.caller.role,
    "team": lambda call, output: call.caller.key.team,
    "tags": lambda call, output: list(call.caller.tags),
}
"""Name in an expression → where it is; only those that are read are looked up."""


class RuleGuard:
    """Allows what its expression (CEL) is true for.

    Args:
        entry: Its declaration, with an `expression`.
        folder: Not used: a rule names no files.

    Attributes:
        reads: The names that its expression reads: a chat that no guard reads is not decoded.

    Raises:
        DeclarationError: The expression is missing or wrong.
    """

    def __init__(self, entry: GuardEntry, folder: Path) -> None:
        self.name = entry.name
        self.on = entry.on
        self.fail = entry.fail
        self._verdict: VerdictName = entry.verdict
        try:
            self._expression = compile_expression(
                entry.expression or "", "guard_input" if entry.on == "input" else "guard_output"
            )
        except ExpressionError as error:
            raise DeclarationError(f"expression of guard `{entry.name}`: {error}") from error
        self.reads = self._expression.names
        self._read = tuple((name, _READ[name]) for name in self.reads)

    def check(self, call: Call, output: Any) -> tuple[VerdictName, str]:
        """Allow what the rule holds for.

        Raises:
            ExpressionError: The expression has no value for this call, or one that is no truth.
        """
        holds = self._expression.evaluate({name: read(call, output) for name, read in self._read})
        if holds is True:
            return "allow", ""
        if holds is False:
            return self._verdict, f"`{self._expression.source}` does not hold"
        raise ExpressionError(
            f"`{self._expression.source}`: expected true or false, got {kind_of(holds)}"
        )
