"""Dates, times and timestamps told apart by their text."""

from __future__ import annotations

from datetime import date, time

import pytest

from roadworthy.declare.moments import moment_of


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2013-01-01", date(2013, 1, 1)),
        ("08:00:00", time(8)),
        ("08:00:00.5", time(8, microsecond=500_000)),
        ("1970-01-01T00:00:01Z", 1_000_000),
    ],
)
def test_what_a_text_says_does_not_hang_on_its_length(text: str, found: object) -> None:
    assert moment_of(text) == found
