"""However often the job runs in between, and in whatever order, it ends with the same examples."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from decided import START_US, Past
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.improve import examples
from roadworthy.improve.contracts import Contract
from roadworthy.store.examples import Example
from roadworthy.types import HOUR_US


class Step(NamedTuple):
    """One request and what was said of it."""

    input: int
    by: str
    label: bool
    how: str
    share: float


STEPS = st.lists(
    st.builds(
        Step,
        st.integers(0, 3),
        st.sampled_from(["key:a", "key:b"]),
        st.booleans(),
        st.sampled_from(["correct", "approve", "reject", "label", "second"]),
        st.sampled_from([1.0, 0.25, 0.05]),
    ),
    min_size=1,
    max_size=10,
)


def take(past: Past, at: int, step: Step) -> None:
    """Leave one request and its decision."""
    input, at_us = {"n": step.input}, START_US + at * HOUR_US
    request = past.request(input, share=step.share)
    right = {"label": step.label, "probability": 0.5}
    if step.how == "label":
        past.report(request, "label", step.label, by=step.by, at_us=at_us)
    elif step.how == "correct":
        past.rule(request, input, output=right, by=step.by, at_us=at_us)
    elif step.how == "second":
        past.rule(request, input, output=right, by=step.by, at_us=at_us)
        past.rule(request, input, kind="second", state="open", at_us=at_us)
    else:
        past.rule(request, input, decision=step.how, draft=right, by=step.by, at_us=at_us)


def learned(steps: list[Step], stops: set[int]) -> list[Example]:
    """Return the examples of these decisions, with runs of the job after some of them."""
    with tempfile.TemporaryDirectory() as folder:
        past = Past(Path(folder))
        past.clock.set(START_US + len(steps) * HOUR_US)
        for at, step in enumerate(steps):
            take(past, at, step)
            if at in stops:
                past.gather()
        past.gather()
        found = past.examples()
        assert "0 examples made or changed" in past.gather()
        past.state.dispose()
    return sorted(found, key=lambda one: one.id)


@settings(max_examples=30, deadline=None)
@given(STEPS, st.sets(st.integers(0, 9)))
def test_step_by_step_it_comes_to_what_it_comes_to_at_once(
    steps: list[Step], stops: set[int]
) -> None:
    by_steps, at_once = learned(steps, stops), learned(steps, set())
    assert by_steps == at_once
    assert len({one.input_digest for one in at_once}) == len(at_once)
    for one in at_once:
        assert (one.state == "accepted") == (not one.why)
        assert one.weight in (1.0, 4.0, 20.0)
        assert msgspec.json.decode(one.output) is not None


def test_a_run_that_was_cut_off_is_simply_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "CHUNK", 2)
    past = Past(tmp_path)
    steps = [Step(n, "key:a", n % 2 == 0, "correct", 1.0) for n in range(7)]
    for at, step in enumerate(steps):
        take(past, at, step)
    past.clock.set(START_US + 7 * HOUR_US)
    contract = past.contracts.of
    opened: list[str] = []

    def of(release: str) -> Contract:
        opened.append(release)
        if len(opened) == 4:
            raise OSError("the disk is gone")
        return contract(release)

    monkeypatch.setattr(past.contracts, "of", of)
    with pytest.raises(OSError, match="the disk is gone"):
        past.gather()
    assert len(past.examples()) == 2, "what was committed stays, half a chunk does not"
    past.gather()
    assert sorted(past.examples(), key=lambda one: one.id) == learned(steps, set())
    past.state.dispose()
