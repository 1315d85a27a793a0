"""An entry of a scorer holds what it needs and nothing that it would ignore."""

from __future__ import annotations

from roadworthy.declare.check_scorers import _NEEDS, _OPTIONS, _READ_BY
from roadworthy.declare.evaluation import SCORERS, ScorerEntry


def test_every_key_of_a_scorer_is_read_by_some() -> None:
    fields = {
        field.alias or name
        for name, field in ScorerEntry.model_fields.items()
        if name not in ("use", "name", "options")
    }
    assert set(_READ_BY) == fields


def test_only_scorers_that_there_are_read_keys() -> None:
    readers = {name for names in _READ_BY.values() for name in names}
    assert readers | set(_OPTIONS) | set(_NEEDS) <= set(SCORERS)
