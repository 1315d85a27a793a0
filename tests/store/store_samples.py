"""Records to store: one that is easy to vary, a run of them, and every one that can be."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from roadworthy.types import (
    MICRO,
    Attempt,
    Hold,
    Ids,
    Outcome,
    PassageFound,
    Record,
    SettableClock,
    Usage,
    Verdict,
)

HOUR_US = 3_600 * MICRO
START_US = 472_222 * HOUR_US
"""A whole hour in November 2023."""

CLOCK = SettableClock()
_IDS = Ids(CLOCK)


def a_record(at_us: int = START_US, **fields: Any) -> Record:
    """Return a record of `at_us` with an id of that time."""
    known = {
        "id": _IDS.new("rq", at_us),
        "at_us": at_us,
        "service": "delay",
        "kind": "predict",
        "disposition": "answered",
        "release": "rl_1",
        "key": "k1",
        "user": "key:k1",
        "model": "onnx",
        "latency_us": 800,
    }
    return Record(**{**known, **fields})


def some_records(count: int, step_us: int = 1000, **fields: Any) -> list[Record]:
    """Return `count` records, `step_us` apart."""
    return [a_record(START_US + k * step_us, **fields) for k in range(count)]


def a_hold(id: str, micro: int = 500, at_us: int = START_US, lease_s: int = 60) -> Hold:
    """Return a hold of the request `id` whose lease ends `lease_s` after `at_us`."""
    return Hold(id, at_us, ("service:delay",), micro, at_us + lease_s * MICRO, "delay", "k1")


def an_outcome(request_id: str, value: Any = 1, **fields: Any) -> Outcome:
    """Return an outcome of the request `request_id`."""
    known = {
        "id": _IDS.new("oc"),
        "request_id": request_id,
        "kind": "label",
        "value": value,
        "source": "tower",
        "at_us": START_US,
        "known_at_us": START_US + HOUR_US,
        "by": "key:k1",
    }
    return Outcome(**{**known, **fields})


def settled(record: Record, micro: int, **fields: Any) -> Record:
    """Return `record` as one that cost `micro` and settles a hold of 500."""
    scopes = ("service:delay",)
    paid = {"cost_micro": micro, "reserved_micro": 500, "scopes": scopes}
    return msgspec.structs.replace(record, **{**paid, **fields})


_names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
_counts = st.integers(0, 2**40)
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=6,
)
_tuples = st.lists(_names, max_size=3).map(tuple)
_usages = st.none() | st.builds(Usage, _counts, _counts, _counts, _counts)
_attempts = st.builds(Attempt, _names, _names, _counts, _usages, _counts, _names, _names)
_verdicts = st.builds(
    Verdict,
    _names,
    st.sampled_from(["input", "output"]),
    st.sampled_from(["allow", "ask", "deny", "redact", "not_run"]),
    _names,
    _counts,
    st.booleans(),
)
_passages = st.builds(PassageFound, _names, _names, st.floats(0, 1))
_bodies = st.none() | st.binary(max_size=40)

records = st.builds(
    a_record,
    at_us=st.integers(START_US, START_US + 5 * HOUR_US),
    service=st.sampled_from(["delay", "reply"]),
    kind=st.sampled_from(["predict", "generate"]),
    disposition=st.sampled_from(["answered", "cached", "fallback", "review", "refused", "failed"]),
    release=_names,
    arm=st.sampled_from(["champion", "candidate", "shadow", "audit"]),
    canary=_names,
    propensity=st.floats(0, 1),
    key=_names,
    team=_names,
    user=_names,
    entity=_names,
    conversation=_names,
    role=_names,
    parent=_names,
    tags=_tuples,
    reasons=_tuples,
    error_code=_names,
    model=_names,
    attempts=st.lists(_attempts, max_size=2).map(tuple),
    input_tokens=_counts,
    output_tokens=_counts,
    cached_tokens=_counts,
    reasoning_tokens=_counts,
    cost_micro=_counts,
    reserved_micro=_counts,
    price_source=_names,
    scopes=_tuples,
    confidence=st.none() | st.floats(0, 1),
    certificates=_tuples,
    verdicts=st.lists(_verdicts, max_size=2).map(tuple),
    features=st.none() | st.dictionaries(_names, _json, max_size=3),
    contracts=st.none() | st.dictionaries(_names, _names, max_size=2),
    cache=st.none() | st.dictionaries(_names, _json, max_size=2),
    timings=st.dictionaries(_names, _counts, max_size=3),
    latency_us=st.integers(0, 60 * MICRO),
    first_token_us=_counts,
    is_late=st.booleans(),
    is_stream=st.booleans(),
    protocol=_names,
    declaration_hash=_names,
    environment_hash=_names,
    input=_bodies,
    output=_bodies,
    passages=st.none() | st.lists(_passages, max_size=2).map(tuple),
)
"""Every record there can be, as far as JSON can say it."""
