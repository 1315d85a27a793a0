"""Suites of minimum functionality: one template, many cases.

A line of a `.templates.jsonl` is `{"template", "fill", …}`: each `{name}` in the template stands
for every value of `fill` in turn, and every combination of them is a case.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import Any

import msgspec

from ..errors import DeclarationError
from ..types import Problem
from .cases import SEVERITIES, UNREADABLE, Case

SUFFIX = ".templates.jsonl"
MOST_CASES = 10_000
"""Of one line: more combinations are a mistake, unless `cases` says how many are drawn."""

_NAME = re.compile(r"\{(\w+)\}")
_encode = msgspec.json.Encoder(order="deterministic").encode


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line.

    Attributes:
        template: A text for the field `field`, or the whole input with texts to fill in.
        fill: Name → what is put in its place, one case each; values that are no texts keep their
            type where nothing else stands beside them.
        id: What the cases' ids begin with; by default it is made from the template.
        field: Which field of the input a template that is a text goes to.
        expect: The right answer, which may hold names too.
        cases: How many of the combinations are drawn, always the same; None takes all.
    """

    template: str | dict[str, Any]
    fill: dict[str, list[Any]]
    id: str = ""
    field: str = "text"
    expect: Any = None
    tags: tuple[str, ...] = ()
    severity: str = "normal"
    scorer: tuple[str, ...] | str = ()
    cases: int | None = None


_decoder = msgspec.json.Decoder(Template)


def expand(name: str, lines: Iterable[bytes | str]) -> list[Case]:
    """Return the cases of all templates of a file, in order.

    >>> line = '{"id": "hi", "template": "Say {what}", "fill": {"what": ["yes", "no"]}}'
    >>> [(case.id, case.input) for case in expand("s.templates.jsonl", [line])]
    [('hi-1', {'text': 'Say yes'}), ('hi-2', {'text': 'Say no'})]

    Raises:
        DeclarationError: With every line that is no template, or that names what is not filled in.
    """
    problems: list[Problem] = []
    cases: list[Case] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"line {number}"
        try:
            template = _decoder.decode(line)
        except UNREADABLE as error:
            expected = '`{"template", "fill", "expect", "tags"}` as JSON'
            problems.append(Problem(where, expected, str(error), name, "mend the line"))
            continue
        found = list(_problems(template, where, name))
        problems += found
        cases += [] if found else _cases(template)
    if problems:
        raise DeclarationError("\n".join(map(str, problems)), problems)
    return cases


def _problems(template: Template, where: str, file: str) -> Iterator[Problem]:
    named = set(_names([template.template, template.expect, list(template.tags)]))
    known = ", ".join(f"`{name}`" for name in template.fill) or "none"
    for name in sorted(named - template.fill.keys()):
        expected = f"a name of `fill` ({known})"
        yield Problem(f"{where}: template", expected, f"`{name:.40}`", file, "add its values")
    for name, values in template.fill.items():
        if not values or name not in named:
            expected = "values, and a place in the template"
            got = "no place for it" if values else "no value"
            yield Problem(f"{where}: fill.{name:.40}", expected, got, file, "add one, or remove it")
    if template.severity not in SEVERITIES:
        expected = ", ".join(f"`{word}`" for word in SEVERITIES)
        got = f"`{template.severity:.40}`"
        yield Problem(f"{where}: severity", expected, got, file, "use one of these")
    if template.cases is None and _combinations(template.fill) > MOST_CASES:
        got = f"{_combinations(template.fill)}"
        expected = f"at most {MOST_CASES} combinations"
        yield Problem(f"{where}: fill", expected, got, file, "say by `cases` how many are drawn")


def _combinations(fill: Mapping[str, list[Any]]) -> int:
    count = 1
    for values in fill.values():
        count *= len(values)
    return count


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from _NAME.findall(value)
    elif isinstance(value, dict):
        yield from _names(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _names(item)


def _cases(template: Template) -> list[Case]:
    values = template.template
    whole = {template.field: values} if isinstance(values, str) else values
    start = template.id or f"t{hashlib.sha256(_encode(values)).hexdigest()[:8]}"
    return [
        Case(
            f"{start}-{place + 1}",
            _filled(whole, chosen),
            expect=_filled(template.expect, chosen),
            tags=tuple(str(_filled(tag, chosen)) for tag in template.tags),
            severity=template.severity,
            scorer=template.scorer,
        )
        for place, chosen in _chosen(template, start)
    ]


def _chosen(template: Template, start: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each combination with its place among all, whether or not others are drawn too."""
    total = _combinations(template.fill)
    places: Iterable[int] = range(total)
    if template.cases is not None and template.cases < total:
        places = sorted(Random(start).sample(range(total), template.cases))  # noqa: S311 - repeatable on purpose
    for place in places:
        yield place, _at(place, template.fill)


def _at(place: int, fill: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Return one combination by its place, the last name turning fastest."""
    chosen: dict[str, Any] = {}
    for name, values in reversed(list(fill.items())):
        place, at = divmod(place, len(values))
        chosen[name] = values[at]
    return chosen


def _filled(value: Any, chosen: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        alone = _NAME.fullmatch(value)
        if alone:
            return chosen[alone[1]]
        return _NAME.sub(lambda found: str(chosen[found[1]]), value)
    if isinstance(value, dict):
        return {key: _filled(item, chosen) for key, item in value.items()}
    return [_filled(item, chosen) for item in value] if isinstance(value, list) else value
