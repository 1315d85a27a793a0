from __future__ import annotations

from typing import Any

import msgspec
import pytest

from roadworthy.errors import DeclarationError
from roadworthy.evaluate.cases import Case
from roadworthy.evaluate.templates import expand


def cases_of(**line: Any) -> list[Case]:
    return expand("s.templates.jsonl", [msgspec.json.encode(line)])


def test_every_combination_is_a_case_with_what_is_right_of_it() -> None:
    found = cases_of(
        id="late",
        template={"question": "Is {what} from {city} late?", "count": "{n}"},
        fill={"what": ["it", "the train"], "city": ["Rome", "Oslo"], "n": [1]},
        expect={"city": "{city}"},
        tags=["mft", "city:{city}"],
        severity="high",
    )
    assert len(found) == 4
    assert found[1] == Case(
        "late-2",
        {"question": "Is it from Oslo late?", "count": 1},
        expect={"city": "Oslo"},
        tags=("mft", "city:Oslo"),
        severity="high",
    )
    assert len({case.id for case in found}) == len({case.asked for case in found}) == 4


def test_a_text_goes_to_its_field_and_braces_of_json_stay() -> None:
    (one,) = cases_of(template='Read {x}: {"a": 1}', fill={"x": ["this"]}, field="question")
    assert one.input == {"question": 'Read this: {"a": 1}'}
    assert one.id == cases_of(template='Read {x}: {"a": 1}', fill={"x": ["that"]})[0].id


def test_some_of_very_many_are_drawn_and_always_the_same() -> None:
    many = {name: list(range(100)) for name in "abc"}
    line = {"id": "x", "template": "{a} {b} {c}", "fill": many, "cases": 50}
    found = cases_of(**line)
    assert found == cases_of(**line)
    assert len({case.input["text"] for case in found}) == 50
    with pytest.raises(DeclarationError, match="expected at most 10000 combinations, got 1000000"):
        cases_of(**{**line, "cases": None})


def test_all_that_is_wrong_is_told_with_its_line() -> None:
    lines = [
        '{"template": "a {x}", "fill": {"y": [1]}}',
        "",
        "no json",
        '{"template": "a {x}", "fill": {"x": []}, "severity": "huge"}',
    ]
    with pytest.raises(DeclarationError) as error:
        expand("s.templates.jsonl", lines)
    told = str(error.value)
    assert "line 1: template: expected a name of `fill` (`y`), got `x`" in told
    assert "line 1: fill.y: expected values, and a place in the template" in told
    assert "line 3: expected" in told
    assert "line 4: fill.x" in told
    assert "line 4: severity" in told
