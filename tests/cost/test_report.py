"""What was spent, by any dimension; what an accepted answer costs and is worth."""

from __future__ import annotations

from decimal import Decimal

import pytest

from roadworthy.cost.extras import Extras
from roadworthy.cost.report import (
    NOBODY,
    Bill,
    Known,
    breakdown,
    parse_dimensions,
    yield_of,
)
from roadworthy.store.costs import Spent

CELL = Spent(("reply",), 100, 90, 50_000, 10_000, 3_000, 500)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected at least one dimension"),
        ("colour", "got `colour`"),
        ("service/service", "each dimension once"),
        ("user/team", "expected at most one of"),
        ("provider/user", "only tries of models know their provider"),
    ],
)
def test_dimensions_that_do_not_go_together_are_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_dimensions(text)


def test_a_list_gives_a_breakdown_each() -> None:
    text = "service,user,team,tag,release,model"
    assert parse_dimensions(text) == tuple((name,) for name in text.split(","))


def test_a_service_pays_for_models_people_egress_and_training() -> None:
    extras = Extras(Decimal(1_000), Decimal("0.5"), Decimal(3), 0.0)
    known = {"reply": Known(extras=extras, decided=4, trained=1, bytes_per_token=4.0)}
    (row,) = breakdown(("service",), [CELL], known).rows
    assert row.bill == Bill(
        models_micro=2_500,
        unseen_micro=500,
        egress_micro=240_000,  # 60,000 tokens of four bytes at $1,000 a GB
        review_micro=2_000_000,
        retraining_micro=3_000_000,
    )
    assert row.bill.total_micro == 5_243_000


def test_a_user_pays_for_models_alone() -> None:
    found = breakdown(("user",), [CELL._replace(values=("",))], {})
    assert found.is_partial
    assert found.rows[0].values == {"user": NOBODY}
    assert found.rows[0].bill.total_micro == 3_000


def test_tries_are_counted_as_tries() -> None:
    assert breakdown(("provider", "day"), [], {}).counts == "tries"
    assert breakdown(("model", "user"), [], {}).counts == "requests"


def test_what_is_known_to_be_wrong_was_not_accepted() -> None:
    known = Known(wrong=40, value_micro=100)
    (row,) = breakdown(("service",), [CELL], {"reply": known}).rows
    found = yield_of("reply", row, known)
    assert (found.accepted, found.per_accepted_micro, found.is_lost) == (50, 60, False)
    assert found.returned == pytest.approx(50 * 100 / 3_000)
    assert yield_of("reply", row, known._replace(value_micro=59)).is_lost


def test_without_accepted_answers_nothing_is_said_of_their_cost() -> None:
    known = Known(wrong=200, value_micro=100)
    (row,) = breakdown(("service",), [CELL], {"reply": known}).rows
    found = yield_of("reply", row, known)
    assert (found.accepted, found.per_accepted_micro, found.is_lost) == (0, None, False)
