"""States that are stored and read again."""

from __future__ import annotations

import json

import numpy as np
import pytest

from roadworthy.risk import audit, walk
from roadworthy.risk.plain import from_plain, to_plain


def test_a_detector_that_was_stored_alarms_when_the_other_does() -> None:
    kept = audit.begin()
    stored = audit.begin()
    for k in range(60):
        kept = audit.see(kept, k % 3 == 0, 0.02)
        stored = from_plain(audit.Detector, json.loads(json.dumps(to_plain(stored))))
        stored = audit.see(stored, k % 3 == 0, 0.02)
    assert np.array_equal(kept.logs, stored.logs)
    assert (kept.n, kept.wrong) == (stored.n, stored.wrong) == (60, 20)


def test_an_unknown_value_is_refused() -> None:
    with pytest.raises(TypeError):
        from_plain(walk.Walk, {"n": [1], "colour": "red"})
