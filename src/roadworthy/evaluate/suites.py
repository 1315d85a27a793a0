"""The suites of one evaluation, checked against what scores them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..declare.evaluation import ScorerEntry
from ..declare.service import ServiceDeclaration
from ..errors import DeclarationError
from ..plugins import installed
from ..types import Problem
from .cases import Suite

BUILTIN = "builtin:"
"""How the names of suites begin that come with the package."""
MEASURES = ("latency", "cost")
"""Scorers of what an answer took: what failed took something too."""


class ScorersUsed:
    """The scorers of one evaluation.

    Args:
        service: Declares them; without any, `exact` scores.
        suites: Whose cases may name further ones, that are installed.

    Attributes:
        entries: All of them, as they are opened.
        measures: Names of those that measure what an answer took.
        only_named: Names of those that score only the cases that name them.

    Raises:
        DeclarationError: A case names a scorer that there is not; all such cases are told.
    """

    def __init__(self, service: ServiceDeclaration, suites: Sequence[Suite]) -> None:
        declared = service.evaluation.scorers or (ScorerEntry(use="exact"),)
        named = _named(suites, {entry.name for entry in declared})
        self.entries = (*declared, *(ScorerEntry(use=use) for use in named))
        self.measures = frozenset(entry.name for entry in self.entries if entry.use in MEASURES)
        self.only_named = frozenset(named)


def _named(suites: Sequence[Suite], known: Collection[str]) -> tuple[str, ...]:
    """Return the scorers that cases name beside those that are declared."""
    found: dict[str, None] = {}
    problems: list[Problem] = []
    others = installed("scorers")
    for suite in suites:
        for case in suite.cases:
            for name in case.scorers:
                if name in others and name not in known:
                    found[name] = None
                elif name not in known:
                    problems.append(_unknown(suite, case.id, name, sorted(known)))
    if problems:
        raise DeclarationError("\n".join(map(str, problems)), problems)
    return tuple(found)


def _unknown(suite: Suite, case: str, name: str, known: Sequence[str]) -> Problem:
    names = ", ".join(f"`{each}`" for each in known)
    advice = "declare it as one of `[[evaluation.scorers]]`, or name another"
    expected = f"a scorer of this service ({names})"
    return Problem(f"case `{case:.80}`: scorer", expected, f"`{name:.80}`", suite.name, advice)
