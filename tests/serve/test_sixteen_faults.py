"""Each of the 16 faults, against a gateway that serves a chain of two models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sixteen_faults import FAULTS, Stage, staged

pytestmark = pytest.mark.slow


def test_there_are_sixteen() -> None:
    assert len({fault.__name__ for fault in FAULTS}) == 16


@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_each_fault_ends_in_the_right_answer_or_error_and_record(
    fault: Callable[[Stage], None], kind: str, tmp_path: Path
) -> None:
    with staged(tmp_path, kind) as stage:
        fault(stage)
