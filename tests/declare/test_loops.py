from __future__ import annotations

import time
from typing import Any

import pytest

from roadworthy.declare.expressions import ExpressionError, compile_expression
from roadworthy.declare.loops import MOST_STEPS, Loops

MANY = list(range(4000))


@pytest.mark.parametrize(
    ("source", "depth"),
    [
        ("input.a > 1", 0),
        ("has(input.a) && size(input.all) > 0", 0),
        ("input.a.all(x, x > 0)", 1),
        ("input.a.filter(x, x > 0).all(x, x > 0)", 1),
        ("input.a.all(x, x > 0) && input.b.exists(x, x > 0)", 1),
        ("input.a . map ( x , input.b.exists_one(y, y == (x + 1)))", 2),
        ("input.a.all(x, x.b.all(y, y.c.existsOne(z, z > 0) && x.d.all(z, z > 0)))", 3),
        ("input.a == '.all(x, .all(y, ' + \".map(\" // .all(", 0),
        (r"input.a == r'\' || input.b.all(x, x == '\'.all(')", 1),
        ('input.a == """it\'s "so" .all(""" || input.b.all(x, true)', 1),
    ],
)
def test_loops_are_counted_as_deep_as_they_nest(source: str, depth: int) -> None:
    assert Loops(source).depth == depth


@pytest.mark.parametrize(
    ("source", "values"),
    [
        ("input.items.all(x, input.items.exists(y, y == x))", {"items": MANY}),
        ("input.rows.all(r, r.cells.all(c, c == 0))", {"rows": [{"cells": MANY}] * 20}),
        ("input.map.all(k, input.map.exists(m, m == k))", {"map": {str(n): n for n in MANY}}),
        ("input.items.map(x, x + 1) != []", {"items": MANY}),
        ("input.items.map(x, input.items) != []", {"items": MANY[:200]}),
        ("input.items.filter(x, x > 1) != []", {"items": MANY}),
        ("input.items.all(x, x in input.items)", {"items": MANY}),
        ("input.items.all(x, input.text.contains(x))", {"items": ["b"] * 99, "text": "a" * 8**7}),
        ("input.items.all(x, x.matches('^a+$'))", {"items": ["a"] * 4000}),
        ("['b', 'c'].all(x, ['d'].all(y, input.text.contains(x + y)))", {"text": "a" * 8**8}),
        ("input.items.all(x, x > 0)", {"items": range(MOST_STEPS + 1)}),
    ],
)
def test_what_would_hold_everything_up_is_refused_before_it_begins(
    source: str, values: dict[str, Any]
) -> None:
    expression = compile_expression(source, "guard_input")
    values = {name: list(v) if isinstance(v, range) else v for name, v in values.items()}
    started = time.thread_time()  # its own work, however busy the machine is
    with pytest.raises(ExpressionError, match="expected loops of at most 100000 steps") as caught:
        expression.evaluate({"input": values})
    assert time.thread_time() - started < 0.1
    assert "maxItems" in caught.value.advice


@pytest.mark.parametrize(
    ("source", "values"),
    [
        ("input.items.all(x, x >= 0)", {"items": MANY * 2}),
        ("input.items.all(x, x.contains('@'))", {"items": ["ada@example.com"] * 4000}),
        ("input.items.all(x, x in [0, 1])", {"items": [0, 1] * 2000}),
        ("input.items.all(x, x in input.known)", {"items": [1] * 300, "known": [1] * 300}),
        ("input.rows.all(r, r.cells.all(c, c == 0))", {"rows": [{"cells": [0] * 20}] * 200}),
        ("input.items.map(x, x + 1) != []", {"items": MANY[:500]}),
        ("input.items.map(x, x * input.rate) != []", {"items": MANY[:80], "rate": 2}),
        ("input.items.all(x, x.matches('^a+$'))", {"items": ["a"] * 1000}),
        ("size(input.items) == 4000", {"items": MANY}),
        ("['a', 'b'].all(x, input.text.contains(x))", {"text": "ab" * 50_000}),
    ],
)
def test_what_is_soon_done_is_done(source: str, values: dict[str, Any]) -> None:
    assert compile_expression(source, "guard_input").evaluate({"input": values}) is True


def test_what_the_expression_does_not_read_does_not_count() -> None:
    expression = compile_expression(
        "input.few.all(x, input.few.all(y, x == y || true))", "guard_input"
    )
    assert expression.evaluate({"input": {"few": [1, 2], "many": MANY}}) is True


def test_an_expression_without_loops_is_not_measured() -> None:
    assert not Loops("input.a > 1")
    assert Loops("input.a.all(x, x > 1)")


def test_the_refusal_tells_sizes_and_never_the_input() -> None:
    expression = compile_expression("input.all(x, input.all(y, x == y))", "guard_input")
    with pytest.raises(ExpressionError) as caught:
        expression.evaluate({"input": {f"hush{n}": "hush-hush" for n in range(400)}})
    assert "got a list or map of 400 items" in caught.value.got
    assert "hush" not in str(caught.value)
