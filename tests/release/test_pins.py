from __future__ import annotations

import json
from pathlib import Path

import pytest

from roadworthy.release.pins import is_pinned

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "cases/release/aliases.jsonl").read_text().splitlines()
]


@pytest.mark.parametrize("case", CASES, ids=[case["model"] for case in CASES])
def test_a_name_is_pinned_if_it_says_its_version(case: dict[str, object]) -> None:
    assert is_pinned(str(case["model"])) is case["pinned"]
