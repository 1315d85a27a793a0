"""Rules by which a person always decides, however sure the model is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..declare.expressions import ExpressionError, compile_expression


class Triggers:
    """The expressions of `review.when`.

    Args:
        sources: Their texts; loading has checked that each is one.
    """

    def __init__(self, sources: Sequence[str]) -> None:
        self._rules = tuple(compile_expression(source, "review") for source in sources)

    def first(self, names: Mapping[str, Any]) -> str:
        """Return why a person decides, or an empty string.

        A rule that has no value, or none that is true or false, asks as well: it fails closed.
        """
        for rule in self._rules:
            try:
                value = rule.evaluate({**names})
            except ExpressionError as error:
                return f"rule `{rule.source}` could not be computed: {error.got}"
            if value is not False:
                return f"rule `{rule.source}` asks a person"
        return ""
