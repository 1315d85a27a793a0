"""Opens the suites of a service: files of cases, and files of templates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import DeclarationError
from ..types import Problem
from .cases import Suite, lines_of, load_suites, suite_of
from .templates import SUFFIX, expand


def load_cases(folder: Path, names: Sequence[str]) -> tuple[Suite, ...]:
    """Return the suites that lie in a service's folder, in the order of their names.

    A file that ends in `.templates.jsonl` holds templates, any other holds cases.

    Raises:
        DeclarationError: With every line that is no case or template, or every id that stands
            twice.
    """
    plain = [name for name in names if not name.endswith(SUFFIX)]
    loaded = {suite.name: suite for suite in load_suites(folder, plain)}
    for name in names:
        if name.endswith(SUFFIX):
            loaded[name] = _expanded(folder, name)
    suites = tuple(loaded[name] for name in dict.fromkeys(names))
    problems = list(_twice(suites))
    if problems:
        raise DeclarationError("\n".join(map(str, problems)), problems)
    return suites


def _expanded(folder: Path, name: str) -> Suite:
    try:
        lines = lines_of(folder / name)
    except OSError as error:
        got = error.strerror or type(error).__name__
        problem = Problem(name, "a file of templates", got, name, "create it")
        raise DeclarationError(str(problem), [problem]) from error
    return suite_of(name, expand(name, lines))


def _twice(suites: Sequence[Suite]) -> list[Problem]:
    seen: dict[str, str] = {}
    problems = []
    for suite in suites:
        for case in suite.cases:
            if case.id in seen:
                got = f"`{case.id:.80}`, which is in {seen[case.id]} already"
                advice = "give the templates an `id` of their own"
                problems.append(Problem("id", "an id of its own", got, suite.name, advice))
            seen.setdefault(case.id, suite.name)
    return problems
