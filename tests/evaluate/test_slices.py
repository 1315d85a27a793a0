"""Parts of the cases told apart."""

import numpy as np
import pytest
from judged import cases, declared, one

from roadworthy.evaluate.slices import cases_of_slices
from roadworthy.evaluate.verdicts import conclude


def test_a_case_is_in_the_slices_of_all_its_tags_and_values() -> None:
    some = [
        one(0, [True], tags=("refund", "refund", "angry"), input={"carrier": "UA", "delay": 2.0}),
        one(1, [True], tags=(), input={"carrier": "DL"}),
    ]
    found, notes = cases_of_slices(some, ["carrier", "delay"])
    assert {name: [runs.case.id for runs in part] for name, part in found.items()} == {
        "tag:refund": ["c0"],
        "tag:angry": ["c0"],
        "carrier=UA": ["c0"],
        "carrier=DL": ["c1"],
        "delay=2": ["c0"],
    }
    assert notes == []


def test_an_empty_slice_is_said_and_breaks_nothing() -> None:
    found = conclude(declared(slices=["airport"]), cases([True] * 60), cases([True] * 60))
    (empty,) = found.slices
    assert (empty.name, empty.cases, empty.metrics, empty.paired) == ("airport", 0, (), ())
    (note,) = found.notes
    assert note == "no case has the field `airport`, so that nothing is known of its slices"


def test_a_field_of_which_each_case_has_another_value_makes_no_slices() -> None:
    some = [one(k, [True], input={"id": k}) for k in range(101)]
    found, notes = cases_of_slices(some, ["id"])
    assert found == {}
    assert notes == ["`id` has 101 values, more than 100: no slices"]


def test_each_slice_has_its_own_numbers() -> None:
    some = [one(k, [k % 4 != 0], tags=("even" if k % 2 == 0 else "odd",)) for k in range(40)]
    by_name = {one.name: one for one in conclude(declared(), some).slices}
    even, odd = by_name["tag:even"], by_name["tag:odd"]
    assert (even.cases, even.metrics[0].value) == (20, 0.5)
    assert (odd.cases, odd.metrics[0].value) == (20, 1.0)
    assert even.metrics[0].verdict is None


def test_a_slice_that_became_much_worse_fails_the_whole() -> None:
    before = [one(k, [True], tags=(f"t{k % 10}",)) for k in range(2000)]
    after = [one(k, [not (k % 10 == 3 and k < 200)], tags=(f"t{k % 10}",)) for k in range(2000)]
    found = conclude(declared(0.5), after, before)
    assert found.paired[0].verdict == "pass"
    assert found.verdict == "fail"
    assert found.sentence.startswith("in the slice `tag:t3` exact is -10.0 points beside")
    by_name = {one.name: one.paired[0] for one in found.slices}
    worst = by_name["tag:t3"]
    assert worst.p is not None
    assert worst.adjusted == pytest.approx(10 * worst.p)
    assert by_name["tag:t4"].adjusted == 1.0
    assert by_name["tag:t4"].verdict is None


@pytest.mark.slow
def test_of_many_slices_that_did_not_change_hardly_any_is_ever_said_to_be_worse() -> None:
    rng, failed, uncorrected = np.random.default_rng(1), 0, 0
    for _ in range(40):
        rights = rng.random((2, 800)) < 0.8
        before, after = (
            [one(k, [bool(row[k])], tags=(f"t{k % 40}",)) for k in range(800)] for row in rights
        )
        found = conclude(declared(0.1, max_regression=0.1), after, before)
        paired = [each.paired[0] for each in found.slices]
        failed += any(each.verdict == "fail" for each in paired)
        uncorrected += any(
            each.p is not None and each.p <= 0.05 and (each.difference or 0) < 0 for each in paired
        )
    assert failed / 40 <= 0.05
    assert uncorrected / 40 > 0.2
