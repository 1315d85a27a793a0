from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.signals.confident import raw_score

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
KEYS = st.sampled_from(["confidence", "probabilities", "probability", "interval", "label", "value"])


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({"label": "refund", "probability": 0.7}, 0.7),
        ({"label": "refund", "probability": 0.2}, 0.2),
        ({"label": True, "probability": 0.7}, 0.7),
        ({"label": False, "probability": 0.3}, 0.7),
        ({"label": True, "probability": 0.3}, 0.3),
        ({"probability": 0.3}, 0.7),
        ({"probability": 1}, 1.0),
        ({"probability": 1.0000001}, 1.0),
        ({"label": True, "probabilities": {"false": 0.4, "true": 0.6}, "probability": 0.6}, 0.6),
        ({"label": False, "probabilities": {"false": 0.4, "true": 0.6}, "probability": 0.6}, 0.4),
        ({"label": 7, "probabilities": {"7": 0.9, "8": 0.1}}, 0.9),
        ({"label": 7, "probabilities": {7: 0.9, 8: 0.1}}, 0.9),
        ({"probabilities": {"a": 0.5, "b": 0.3, "c": 0.2}}, 0.5),
        ({"probabilities": [0.5, 0.3, 0.2]}, 0.5),
        ({"label": 1, "probabilities": [0.5, 0.3, 0.2]}, 0.3),
        ({"label": True, "probabilities": [0.8, 0.2]}, 0.2),
        ({"label": "b", "probabilities": [0.5, 0.3, 0.2]}, 0.5),
        ({"confidence": 0.4, "probability": 0.9}, 0.4),
        ({"value": 3, "interval": [2, 5]}, 0.25),
        ({"interval": [2.0, 2.0]}, 1.0),
        (0.1, 0.9),
        (0.6, 0.6),
    ],
)
def test_conventional_outputs_say_how_sure_they_are(output: Any, expected: float) -> None:
    assert raw_score(output) == pytest.approx(expected)


@pytest.mark.parametrize(
    "output",
    [
        None,
        1,
        True,
        "0.9",
        1.5,
        math.nan,
        [0.9],
        {},
        {"value": 0.9},
        {"text": "Yes."},
        {"probability": math.nan},
        {"probability": math.inf},
        {"probability": -0.1},
        {"probability": 10**400},
        {"probability": True},
        {"probability": "0.9"},
        {"probability": None},
        {"probabilities": {}},
        {"probabilities": []},
        {"probabilities": 0.9},
        {"probabilities": "high"},
        {"probabilities": {"a": math.nan, "b": 0.5}},
        {"probabilities": [0.5, math.nan]},
        {"probabilities": [0.5, 1.5]},
        {"probabilities": [0.5, -0.5]},
        {"probabilities": [0.5, None]},
        {"probabilities": [True, False]},
        {"label": "c", "probabilities": {"a": 0.5, "b": 0.5}},
        {"label": [], "probabilities": {"a": 0.5, "b": 0.5}},
        {"label": 3, "probabilities": [0.5, 0.5]},
        {"label": -1, "probabilities": [0.5, 0.5]},
        {"confidence": 1.2, "probability": 0.9},
        {"interval": [5, 2]},
        {"interval": [2]},
        {"interval": [0, math.inf]},
        {"interval": [math.nan, 1]},
        {"interval": [10**400, 1]},
        {"interval": [None, 1]},
    ],
)
def test_what_does_not_say_it_has_no_score(output: Any) -> None:
    assert raw_score(output) is None


@given(JSON | st.dictionaries(KEYS, JSON | st.floats(0, 1)))
def test_whatever_comes_is_a_share_or_unknown(output: Any) -> None:
    score = raw_score(output)
    assert score is None or 0 <= score <= 1


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_the_narrower_interval_is_the_surer(first: float, second: float) -> None:
    narrow, wide = sorted((first, second))
    surer, less = raw_score({"interval": [0, narrow]}), raw_score({"interval": [0, wide]})
    assert surer is not None
    assert less is not None
    assert surer >= less
