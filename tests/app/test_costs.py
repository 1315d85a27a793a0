"""Costs of a served project: reports, estimates, the gate and the alarm of worth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from control_plane import Plane, served
from roadworthy.app import read_project
from roadworthy.app.costs import estimate_cost, report_costs
from roadworthy.cost.report import parse_dimensions
from roadworthy.errors import NotFound, NotReady, RequestError
from roadworthy.store.actions import list_actions
from roadworthy.types import DAY_US, MICRO

NOON = 1_385_208_000 * MICRO
"""2013-11-23 12:00 UTC."""
EACH_MICRO = 200
"""Of one answer: 100 tokens in and 10 out at $1 and $10 a million."""


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    with served(tmp_path) as plane:
        plane.project.clock.set(NOON)  # type: ignore[attr-defined]
        yield plane


def declare(plane: Plane, extra: str) -> None:
    """Add keys to the `[cost]` of `reply`."""
    path = plane.project.folder / "services" / "reply" / "service.toml"
    path.write_text(path.read_text().replace("[cost]\n", f"[cost]\n{extra}\n", 1))


def serve_anew(plane: Plane) -> None:
    built = plane.project.build_release("reply", by="test")
    plane.project.promote(built.id, by="test")
    plane.follow()


def ask(plane: Plane, n: int, users: int = 10) -> None:
    for k in range(n):
        assert plane.answer("reply", {"text": "when?"}, user=f"u{k % users}").output


def report(plane: Plane, by: str) -> Any:
    now_us = plane.project.clock.now_us()
    return report_costs(plane.project, parse_dimensions(by), now_us - DAY_US, now_us + DAY_US)


def test_every_dimension_adds_up_to_what_was_spent(plane: Plane) -> None:
    ask(plane, 20, users=4)
    found = report(plane, "service,release,user,key,day,service/day,arm")
    for one in found.breakdowns:
        total = sum(row.bill.models_micro + row.bill.unseen_micro for row in one.rows)
        assert total == 20 * EACH_MICRO, one.by
    users = next(one for one in found.breakdowns if one.by == ("user",))
    assert {row.values["user"]: row.requests for row in users.rows} == {
        f"u{k}": 5 for k in range(4)
    }


def test_a_service_that_is_not_there_is_said_so(plane: Plane) -> None:
    now_us = plane.project.clock.now_us()
    with pytest.raises(NotFound, match="no service `nobody`"):
        report_costs(plane.project, (("service",),), 0, now_us, ("nobody",))
    with pytest.raises(NotFound):
        estimate_cost(plane.project, "nobody", 10.0)


def test_history_is_estimated_at_the_prices_of_today(plane: Plane) -> None:
    ask(plane, 40)
    found = estimate_cost(plane.project, "reply", 1_000.0)
    assert found.source == "history"
    assert found.per_request_micro == pytest.approx(EACH_MICRO)
    toml = plane.project.folder / "roadworthy.toml"
    dearer = toml.read_text().replace(
        "output_usd_per_million = 10.0", "output_usd_per_million = 30.0"
    )
    toml.write_text(dearer)
    with read_project(plane.project.folder) as project:
        assert estimate_cost(project, "reply", 1_000.0).per_request_micro == pytest.approx(400)


def test_without_history_sizes_and_limits_tell(plane: Plane) -> None:
    found = estimate_cost(plane.project, "reply", 1_000.0)
    assert (found.source, found.sample) == ("sizes", 0)
    assert found.per_month.low < found.per_month.expected < found.per_month.high
    given = estimate_cost(plane.project, "reply", 1_000.0, input_tokens=100, output_tokens=10)
    assert given.per_request_micro == pytest.approx(EACH_MICRO)
    with pytest.raises(RequestError, match="input_tokens: expected a number >= 0, got -1"):
        estimate_cost(plane.project, "reply", 1_000.0, input_tokens=-1)


def test_a_free_service_costs_nothing(plane: Plane) -> None:
    found = estimate_cost(plane.project, "risk", 1e6)
    assert (found.per_month.expected, found.drivers) == (0, ())


def test_a_ceiling_that_the_volume_would_pass_is_said(plane: Plane) -> None:
    ask(plane, 40)
    found = estimate_cost(plane.project, "reply", 100_000.0)
    assert any("`cost.per_day_usd` ($5.00) would be spent after 25%" in n for n in found.notes)


def mark_wrong(plane: Plane, n: int) -> None:
    page = plane.get("/api/requests?service=reply&limit=100")
    for row in page["requests"][:n]:
        answer = plane.ask(
            "POST", f"/v1/requests/{row['id']}/outcome", {"correct": False, "source": "desk"}
        )
        assert answer.status in (200, 201, 202), answer.body
    plane.serving.writer.drain()


def test_an_answer_that_is_known_to_be_wrong_was_not_accepted(plane: Plane) -> None:
    declare(plane, "value_per_answer_usd = 0.0005")
    ask(plane, 20)
    mark_wrong(plane, 15)
    (found,) = (one for one in report(plane, "service").yields if one.service == "reply")
    assert (found.accepted, found.wrong, found.per_accepted_micro) == (5, 15, 800)
    assert found.is_lost


def test_what_costs_more_than_it_is_worth_is_told_once_a_day(plane: Plane) -> None:
    declare(plane, "value_per_answer_usd = 0.0001")
    serve_anew(plane)
    ask(plane, 60)
    for _ in range(2):
        plane.serving.jobs.run_now("worth")
    told = list_actions(plane.project.state, action="value.lost")
    assert [(act.subject, act.detail["per_accepted_micro"]) for act in told] == [("reply", 200)]
    plane.project.clock.set(NOON + DAY_US + 60 * MICRO)  # type: ignore[attr-defined]
    plane.serving.jobs.run_now("worth")
    assert len(list_actions(plane.project.state, action="value.lost")) == 2


def test_few_answers_raise_no_alarm(plane: Plane) -> None:
    declare(plane, "value_per_answer_usd = 0.0001")
    serve_anew(plane)
    ask(plane, 49)
    plane.serving.jobs.run_now("worth")
    assert list_actions(plane.project.state, action="value.lost") == []


@pytest.mark.parametrize(("on_loss", "ships"), [("refuse", False), ("alert", True)])
def test_a_service_at_a_loss_ships_only_where_that_is_declared(
    plane: Plane, on_loss: str, ships: bool
) -> None:
    ask(plane, 60)
    declare(plane, f'value_per_answer_usd = 0.0001\non_loss = "{on_loss}"')
    built = plane.project.build_release("reply", by="test")
    if ships:
        assert plane.project.promote(built.id, by="test").id == built.id
        return
    with pytest.raises(NotReady) as caught:
        plane.project.promote(built.id, by="test")
    (problem,) = caught.value.problems
    assert problem.path == "gates.worth"
    assert "an accepted answer cost $0.0002" in problem.advice


def test_a_service_that_pays_ships(plane: Plane) -> None:
    ask(plane, 60)
    declare(plane, 'value_per_answer_usd = 0.01\non_loss = "refuse"')
    built = plane.project.build_release("reply", by="test")
    assert plane.project.promote(built.id, by="test").id == built.id
    gates = {gate.name: gate for gate in plane.project.gates_of(built.id)}
    assert (gates["worth"].state, gates["worth"].is_declared) == ("holds", True)


def test_the_page_says_what_today_and_the_month_cost(plane: Plane) -> None:
    ask(plane, 20, users=4)
    page = plane.get("/api/costs?by=user")
    assert page["month"] == "2013-11"
    assert page["total_usd"] == pytest.approx(20 * EACH_MICRO / MICRO)
    assert {part["name"] for part in page["parts"]} == {f"u{k}" for k in range(4)}
    assert page["today"][0]["service"] == "reply"
    assert len(page["days"]) == 23
    assert page["parts"][0]["days"][-1] == pytest.approx(5 * EACH_MICRO / MICRO)
    assert page["bills"][0]["per_accepted_usd"] == pytest.approx(EACH_MICRO / MICRO)


def test_another_month_is_shown_as_it_was(plane: Plane) -> None:
    ask(plane, 5)
    page = plane.get("/api/costs?month=2013-10")
    assert (page["total_usd"], len(page["days"]), page["next"]) == (0.0, 31, "2013-11")
    assert plane.get("/api/costs?month=2020-01")["days"] == []
    refused = plane.ask("GET", "/api/costs?month=2013-13")
    assert refused.status == 400


def test_a_key_of_some_services_sees_their_costs_alone(plane: Plane) -> None:
    ask(plane, 5)
    _, secret = plane.make_key("read", services=("risk",))
    page = plane.get("/api/costs", key=secret)
    assert (page["total_usd"], page["bills"], page["today"]) == (0.0, [], [])
