"""A shadow is given the features that the shown answer was given, of the views both have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from roadworthy.serve.request import Request
from roadworthy.serve.unseen import Asked, SharedFeatures, _now

CHAMPION: dict[str, Any] = {
    "values": {"wind": 1.0, "temp": 2.0, "old": 9.0},
    "views": {"weather@1": {"state": "fresh", "age_s": 1.0}, "route@1": {"state": "stale"}},
}


class Vector(msgspec.Struct, frozen=True):
    values: dict[str, Any]
    views: dict[str, Any]

    def as_record(self) -> dict[str, Any]:
        return {"values": self.values, "views": self.views}


class Source:
    """Gives every feature of its views the value 0, and counts how often it was asked."""

    def __init__(self, **views: tuple[str, ...]) -> None:
        self.views: Mapping[str, tuple[str, ...]] = {
            name.replace("_", "@"): names for name, names in views.items()
        }
        self.contracts = {"weather": "weather@1.0.0"}
        self.reads = 0

    def vector(self, input: Mapping[str, Any]) -> Vector:
        self.reads += 1
        values = {name: 0.0 for names in self.views.values() for name in names}
        return Vector(values, {view: {"state": "fresh", "age_s": 0.0} for view in self.views})


def given(features: Mapping[str, Any] | None, source: Source) -> dict[str, Any]:
    asked = Asked(Request(service="late"), "rq_1", "shadow", "ro_1", 1.0, "", features)
    token = _now.set(asked)
    try:
        return SharedFeatures(source).vector({}).as_record()
    finally:
        _now.reset(token)


def test_the_same_views_are_not_read_again() -> None:
    source = Source(weather_1=("wind", "temp"))
    found = given(CHAMPION, source)
    assert found == {
        "values": {"wind": 1.0, "temp": 2.0},
        "views": {"weather@1": CHAMPION["views"]["weather@1"]},
    }
    assert source.reads == 0


def test_what_only_the_candidate_reads_is_read_now() -> None:
    source = Source(weather_1=("wind", "temp"), load_1=("seats",))
    found = given(CHAMPION, source)
    assert found["values"] == {"wind": 1.0, "temp": 2.0, "seats": 0.0}
    assert found["views"]["load@1"] == {"state": "fresh", "age_s": 0.0}
    assert source.reads == 1


def test_another_version_of_a_view_is_another_view() -> None:
    source = Source(weather_2=("wind", "temp"))
    assert given(CHAMPION, source)["values"] == {"wind": 0.0, "temp": 0.0}


@pytest.mark.parametrize("features", [None, {"values": {}, "views": {}}])
def test_where_the_shown_answer_had_none_they_are_read(features: dict[str, Any] | None) -> None:
    assert given(features, Source(weather_1=("wind",)))["values"] == {"wind": 0.0}
