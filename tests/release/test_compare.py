"""Two releases side by side."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from roadworthy.evaluate.report import CaseResult, Report, Slice, SuiteUsed
from roadworthy.release.compare import Comparison, Quality, Side, compare, flat
from roadworthy.release.environment import Commit, Environment
from roadworthy.release.registry import Manifest, PinnedContract, PinnedModel, Release
from roadworthy.store.rollups import Summary
from roadworthy.types import DAY_US


def a_release(name: str = "late", **fields: Any) -> Release:
    known: dict[str, Any] = {
        "service": name,
        "declaration_hash": "h",
        "files": {"service.toml": "1", "prompt.md": "2", "model.onnx": "3"},
        "models": (PinnedModel("own", "onnx", "onnx", "model.onnx", "digest", "abc"),),
        "providers": {},
        "packages": {"numpy": "2.0"},
        "environment": Environment("3.11", "linux", {}),
        "commit": Commit("c0ffee", is_dirty=False),
    }
    manifest = Manifest(**{**known, **fields})
    return Release(manifest.release_id, name, manifest, 1, "me")


def a_report(release: str, scores: dict[str, float], **fields: Any) -> Report:
    results = tuple(
        CaseResult(
            id=id,
            suite="golden.jsonl",
            tags=("night",) if id.startswith("n") else (),
            input={"carrier": id[0], "id": id},
            scores={"exact": score},
        )
        for id, score in scores.items()
    )
    suites = (SuiteUsed(name="golden.jsonl", digest="d", cases=len(scores)),)
    known: dict[str, Any] = {"suites": suites, "results": results}
    return Report(id="ev_1", service="late", release=release, at_us=1, **{**known, **fields})


def quality(found: Comparison) -> dict[str, Quality]:
    return {one.slice: one for one in found.quality}


def test_a_release_does_not_differ_from_itself() -> None:
    one = Side(release=a_release(), declared={"cost.per_day_usd": "5"}, texts={"prompt.md": "x"})
    found = compare(one, one)
    assert (found.declared, found.parts, found.texts) == ((), (), ())


def test_the_same_release_twice_is_said_once() -> None:
    one = Side(release=a_release())
    first, *others = compare(one, one).notes
    assert first == f"both are `{one.release.id}`: there is nothing to compare"
    assert len(others) == len(set(others)) == 2


def test_what_is_not_known_of_a_file_that_is_gone_is_no_difference() -> None:
    files = {"service.toml": "9", "prompt.md": "2", "model.onnx": "3"}
    whole = Side(
        release=a_release(),
        declared={"cost.per_day_usd": "5"},
        texts={"service.toml": "name = 1", "prompt.md": "x"},
    )
    damaged = Side(
        release=a_release(files=files, declaration_hash="other"),
        texts={"prompt.md": "x"},
        gone=("service.toml",),
    )
    found = compare(whole, damaged)
    assert (found.declared, found.texts) == ((), ())
    (file,) = [one for one in found.parts if one.kind == "file"]
    assert (file.name, file.a, file.b) == ("service.toml", "1", "9")
    assert f"`{damaged.release.id}`: `service.toml` gone or damaged" in " ".join(found.notes)


def test_what_differs_is_named_with_both_values() -> None:
    contract = PinnedContract("flights", "1.0.0", "f00", "flights", ())
    a = Side(
        release=a_release(contracts={"flights": contract}),
        declared={"objectives.deadline_ms": 100, "cost.per_day_usd": "5"},
    )
    changed = a_release(
        files={"service.toml": "1", "prompt.md": "2", "model.onnx": "4"},
        models=(PinnedModel("own", "onnx", "onnx", "model.onnx", "digest", "def"),),
        packages={"numpy": "2.1"},
        environment=Environment("3.12", "linux", {}),
        contracts={"flights": msgspec.structs.replace(contract, version="1.1.0")},
    )
    b = Side(release=changed, declared={"objectives.deadline_ms": 200, "cost.per_day_usd": "5"})
    found = compare(a, b)
    (key,) = found.declared
    assert (key.name, key.a, key.b) == ("objectives.deadline_ms", 100, 200)
    parts = {(one.kind, one.name): (one.a, one.b) for one in found.parts}
    assert parts == {
        ("model", "own"): ("onnx: model.onnx (abc)", "onnx: model.onnx (def)"),
        ("environment", "python"): ("3.11", "3.12"),
        ("package", "numpy"): ("2.0", "2.1"),
        ("contract", "flights"): ("flights@1.0.0 f00", "flights@1.1.0 f00"),
        ("file", "model.onnx"): ("3", "4"),
    }


def test_prompts_are_compared_line_by_line() -> None:
    a = Side(release=a_release(), texts={"prompt.md": "be kind\nbe short\n"})
    b = Side(release=a_release(), texts={"prompt.md": "be kind\nbe exact\n"})
    (text,) = compare(a, b).texts
    assert (text.file, text.change) == ("prompt.md", "changed")
    assert text.diff.splitlines()[3:] == [" be kind", "-be short", "+be exact"]


def test_quality_is_of_common_cases_by_slice() -> None:
    a = Side(release=a_release(), report=a_report("a", {"n1": 1, "n2": 1, "d1": 0, "gone": 1}))
    b = Side(release=a_release(), report=a_report("b", {"n1": 0, "n2": 1, "d1": 1, "new": 0}))
    found = quality(compare(a, b))
    assert (found["all"].n, found["all"].a, found["all"].b) == (3, 2 / 3, 2 / 3)
    assert (found["tag:night"].n, found["tag:night"].difference) == (2, -0.5)


def test_a_case_whose_expectation_changed_is_not_common() -> None:
    ours = a_report("a", {"n1": 1, "n2": 1})
    other = [msgspec.structs.replace(ours.results[0], expect="else"), *ours.results[1:]]
    theirs = a_report(
        "b", {}, results=tuple(other), suites=(SuiteUsed(name="golden.jsonl", digest="e", cases=2),)
    )
    found = compare(
        Side(release=a_release(), report=ours), Side(release=a_release(), report=theirs)
    )
    assert quality(found)["all"].n == 1
    assert any("golden.jsonl" in note and "1 common" in note for note in found.notes)


def test_fields_that_evaluations_told_apart_are_slices() -> None:
    slices = (Slice(name="carrier=n", cases=2),)
    a, b = (a_report(name, {"n1": 1, "n2": 0}, slices=slices) for name in "ab")
    found = quality(
        compare(Side(release=a_release(), report=a), Side(release=a_release(), report=b))
    )
    assert found["carrier=n"].n == 2


def test_figures_are_of_one_request_and_of_a_day() -> None:
    live = Summary(requests=4, answered=3, failed=1, cost_micro=2_000_000, input_tokens=40)
    a = Side(release=a_release(), live=live, span_us=DAY_US // 2)
    figures = {one.name: one for one in compare(a, Side(release=a_release())).figures}
    assert (figures["cost_per_request"].a, figures["cost_per_day"].a) == (0.5, 4.0)
    assert (figures["answered"].a, figures["failed"].a, figures["input_tokens"].a) == (
        0.75,
        0.25,
        10,
    )
    assert figures["cost_per_request"].b is None


def test_outcomes_of_both_are_compared_with_an_interval() -> None:
    a = Side(release=a_release(), right=80, judged=100)
    b = Side(release=a_release(), right=90, judged=100)
    (found,) = compare(a, b).quality
    assert found.source == "outcomes"
    assert found.difference == pytest.approx(0.1)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.1 < found.high


def test_two_tables_of_one_name_are_told_apart() -> None:
    found = dict(flat({"fallback": [{"use": "static", "output": {"a": 1}}, {"use": "static"}]}))
    assert found["fallback[static].output.a"] == 1
    assert found["fallback[static:2].use"] == "static"


def test_a_comparison_is_json_and_back() -> None:
    side = Side(release=a_release(), report=a_report("a", {"n1": 1}))
    found = compare(side, side)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Comparison) == found
