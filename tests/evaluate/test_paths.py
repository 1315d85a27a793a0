"""Paths into JSON values."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.errors import DeclarationError
from roadworthy.evaluate.paths import compile_path

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)
VALUE = {"a": {"b": [1, 2, {"c": None}]}, "x y": 7, "it's": 8, "": 9, "é": 10}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", [VALUE]),
        ("$.a.b[0]", [1]),
        ("$.a.b[-1].c", [None]),
        ("$['x y']", [7]),
        ('$["x y"]', [7]),
        (r"$['it\'s']", [8]),
        ("$['']", [9]),
        ("$.é", [10]),
        (r"$['\u00e9']", [10]),
        ("$.a.b[*]", [1, 2, {"c": None}]),
        ("$.a.*[1]", [2]),
        ("$.a.b[3]", []),
        ("$.a.b[-4]", []),
        ("$.a.b.c", []),
        ("$.nothing.at[0].all", []),
        ("$[0]", []),
    ],
)
def test_a_path_finds_what_it_leads_to(path: str, found: list[Any]) -> None:
    assert compile_path(path).find(VALUE) == found


@pytest.mark.parametrize(
    "path",
    ["", "a.b", "$.", "$..a", "$.a[", "$[?@.a]", "$[1:2]", "$.a b", "$[01]", "$['a]", "$" * 2000],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(DeclarationError, match=r"expected one like `\$\.items"):
        compile_path(path)


def test_the_first_part_is_none_where_nothing_is_found() -> None:
    assert compile_path("$.a.b[*]").first(VALUE) == 1
    assert compile_path("$.b").first(VALUE) is None
    assert compile_path("$.a").is_single
    assert not compile_path("$.a[*]").is_single


def test_many_wildcards_stop_before_they_fill_the_memory() -> None:
    wide: Any = 1
    for _ in range(6):
        wide = [wide] * 100
    assert len(compile_path("$" + "[*]" * 6).find(wide)) == 10_000


@given(st.text(max_size=6), JSON)
def test_any_name_is_found_by_its_quoted_form(name: str, value: Any) -> None:
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    assert compile_path(f"$['{quoted}']").find({name: value}) == [value]
