from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from roadworthy.declare.expressions import (
    FUNCTIONS,
    MACROS,
    MOST_CHARACTERS,
    PLACES,
    ExpressionError,
    Place,
    compile_expression,
)

NAMES: dict[str, Any] = {
    "input": {"amount": 3, "text": "abc", "items": [1, 2, 3], "when": "2013-04-05T06:07:08Z"},
    "user": "u1",
    "role": "agent",
    "team": "t1",
    "tags": ["a", "b"],
    "output": {"refund_usd": 1.5},
}


def value(source: str, place: Place = "guard_output") -> Any:
    return compile_expression(source, place).evaluate(NAMES)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("input.amount <= 500", True),
        ("output.refund_usd <= 500", True),
        ('role == "agent" && user in ["u1", "u2"]', True),
        ("team == 't2' ? 'x' : 'y'", "y"),
        ("'a' in tags", True),
        ("has(input.nothing)", False),
        ("input.items.all(x, x > 0)", True),
        ("input.items.exists(x, x > 2 && input.items.exists(y, y == x))", True),
        ("input.items.exists_one(x, x == 2)", True),
        ("input.items.map(x, x * 2)", [2, 4, 6]),
        ("input.items.filter(x, x > 1)", [2, 3]),
        ("size(input.text) == 3 && input.text.size() == 3", True),
        ("input.text.contains('b') && input.text.startsWith('a')", True),
        ("input.text.endsWith('c') && input.text.matches('^a.c$')", True),
        ("int('3') + int(1.9)", 4),
        ("double(input.amount) * 0.5", 1.5),
        ("string(input.amount)", "3"),
        ("timestamp(input.when).getFullYear()", 2013),
        ("timestamp(input.when).getMonth()", 3),
        ("timestamp(input.when).getDate()", 5),
        ("timestamp(input.when).getDayOfWeek()", 5),
        ("timestamp(input.when).getHours() + timestamp(input.when).getMinutes()", 13),
        ("duration('90m') > duration('1h')", True),
        ("{'text': 'x'}", {"text": "x"}),
        ("'known: inptu' == \"it's // no comment: foo(\"", False),
        ("true // a comment that names nothing", True),
    ],
)
def test_expressions_have_values(source: str, expected: Any) -> None:
    assert value(source) == expected


def test_every_documented_function_is_tried_above() -> None:
    tried = " ".join(
        mark.args[1][index][0]
        for mark in test_expressions_have_values.pytestmark
        for index in range(len(mark.args[1]))
    )
    assert [name for name in (*FUNCTIONS, *MACROS) if f"{name}(" not in tried] == []


@pytest.mark.parametrize("place", PLACES)
def test_a_place_has_its_names_and_no_others(place: Place) -> None:
    for name in NAMES:
        if name in PLACES[place]:
            assert compile_expression(f"{name} == {name}", place).names == (name,)
        else:
            with pytest.raises(ExpressionError, match=f"unknown name `{name}`"):
                compile_expression(f"{name} == {name}", place)


@pytest.mark.parametrize(
    "source",
    [
        "inptu.amount > 3",
        "input.items.all(x, x > 0) && x > 0",
        "x > 0 && input.items.all(x, x > 0)",
        "input.items.all(x, input.items.all(y, y > 0) && y > 0)",
        "{amount: 1}",
        "size(amount)",
        "optional.of(1)",
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(source: str) -> None:
    with pytest.raises(ExpressionError, match="known here: input, user, role, team, tags"):
        compile_expression(source, "guard_input")


def test_a_typing_error_gets_the_nearest_name() -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression("inptu.amount > 3", "guard_input")
    assert caught.value.got == "`inptu.amount > 3` with the unknown name `inptu`"
    assert caught.value.advice.startswith("did you mean `input`?")
    with pytest.raises(ExpressionError, match="did you mean `size`"):
        compile_expression("sise(input) > 3", "guard_input")


@pytest.mark.parametrize("source", ["", "input.", "1 = 1", "input.?a", "(" * 3000 + ")" * 3000])
def test_what_is_no_expression_is_refused(source: str) -> None:
    with pytest.raises(ExpressionError):
        compile_expression(source, "guard_input")


def test_a_long_expression_is_refused() -> None:
    with pytest.raises(ExpressionError, match="use at most"):
        compile_expression("1 + " * MOST_CHARACTERS + "1", "guard_input")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("input.nothing > 3", "a field is missing"),
        ("input.text > 3", "types do not fit"),
        ("input.amount + 1.0 > 3.0", "types do not fit"),
        ("int(input.text)", "cannot be converted"),
        ("input.items[7]", "index is out of range"),
        ("input.amount / 0", "division by zero"),
        ("9223372036854775807 + input.amount", "too large"),
        ("input.text.matches(role + '(')", "cannot be converted"),
    ],
)
def test_a_failure_names_the_expression_and_never_the_input(source: str, why: str) -> None:
    expression = compile_expression(source, "guard_input")
    names = NAMES | {"input": NAMES["input"] | {"text": "hush-hush"}}
    with pytest.raises(ExpressionError, match=why) as caught:
        expression.evaluate(names)
    assert f"`{source}`" in str(caught.value)
    assert "hush-hush" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("pattern", ["'('", "r'[a-'", "'a' + '('", "'*'"])
def test_a_pattern_that_is_none_is_refused_before_anything_is_asked(pattern: str) -> None:
    source = f"role != '' || input.text.matches({pattern})"
    with pytest.raises(ExpressionError, match="is no regular expression"):
        compile_expression(source, "guard_input")


@pytest.mark.parametrize(
    "source",
    [
        "input.text.matches('^(a|b)+$')",
        "input.text.matches('(' + role)",
        "tags.exists(tag, input.text.matches(tag))",
        "input.text != \".matches('(')\"",
    ],
)
def test_a_pattern_that_may_be_one_compiles(source: str) -> None:
    assert compile_expression(source, "guard_input").source == source


def test_only_what_is_read_is_handed_over() -> None:
    unreadable = NAMES | {"input": object()}
    assert compile_expression("role == 'agent'", "guard_input").evaluate(unreadable) is True
    with pytest.raises(ExpressionError):
        compile_expression("input == 1", "guard_input").evaluate(unreadable)


def test_the_package_around_the_engine_is_not_imported() -> None:
    code = (
        "import sys, roadworthy.declare.expressions; print('cel.cli' in sys.modules); "
        "import cel; print(cel.compile('1 + 1').execute())"
    )
    words = [sys.executable, "-W", "error", "-c", code]
    assert subprocess.check_output(words, text=True, timeout=20).split() == ["False", "2"]


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("input.a > 1 && input.b.c == 'x'", True),
        ("size(input) == 3", True),
        ("input['a'] == 2 && input.a == 2", True),
        ("has(input.missing) || input.a == 2", True),
        ("input.list.all(item, item in [1, 2])", True),
        ("'input.nothing' != input.b.c", True),
        ("input.b.c.startsWith('x')", True),
        ("has(input.b) && input.list.exists(input, input > 1)", True),
    ],
)
def test_only_the_fields_that_are_read_are_handed_over(source: str, value: object) -> None:
    names = {"input": {"a": 2, "b": {"c": "x"}, "list": [1, 2]}}
    assert compile_expression(source, "model_rule").evaluate(names) is value
