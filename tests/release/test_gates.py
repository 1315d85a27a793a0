"""A release ships when every gate holds, is waived, or is one that nobody declared."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conftest import MakeProject
from roadworthy.app import Project
from roadworthy.declare.service import ServiceDeclaration
from roadworthy.errors import Conflict, DeclarationError, NotReady, RequestError, StoreError
from roadworthy.evaluate.report import (
    BehaviourResult,
    FairnessResult,
    Metric,
    Paired,
    Report,
    Slice,
    Stability,
    SuiteUsed,
)
from roadworthy.release import gates
from roadworthy.release.gates import GATES, Gate, held_up_by, standing_of
from roadworthy.release.measures import MEASURES, Evidence, cost_per_day
from roadworthy.release.measures import skew as skew_gate
from roadworthy.release.registry import Release, champion_id_of
from roadworthy.store.actions import list_actions, verify_chain
from roadworthy.store.approvals import list_waivers, revoke_waiver
from roadworthy.store.evaluations import EvaluationHead, put_evaluation
from roadworthy.store.rollups import add_cells, tally
from roadworthy.types import DAY_US, HOUR_US, Ids, Record

SERVICE = """
name = "refund"
kind = "predict"
risk = "{risk}"
owners = {{ product = "Ada", model = "Bob", platform = "Eve" }}
objectives = {{ deadline_ms = 1000, latency_p95_ms = {late} }}
cost = {{ per_day_usd = 5, per_request_usd = 0.01 }}
{more}
[[models]]
name = "generous"
provider = "rule"
model = "{{'usd': input.usd * 2.0}}"
"""
SUITES = '[evaluation]\nsuites = ["golden.jsonl"]\nrepeats = 2'


def service(risk: str = "limited", late: int = 500, more: str = "") -> str:
    return SERVICE.format(risk=risk, late=late, more=more)


@pytest.fixture
def shop(make_project: MakeProject) -> Project:
    """Return a project whose service serves, without anything to evaluate it by."""
    project = make_project({"refund": service()}, {"services/refund/golden.jsonl": CASES})
    project.promote(project.build_release("refund", by="ada").id, by="ada")
    return project


CASES = '{"id": "a", "input": {"usd": 1.0}, "expect": {"usd": 2.0}}\n'


def candidate(project: Project, text: str) -> Release:
    (project.folder / "services/refund/service.toml").write_text(text)
    return project.build_release("refund", by="ada")


def evaluated(project: Project, release: Release, **fields: Any) -> Report:
    """Store an evaluation in which all is as promised, but for `fields`."""
    known = {
        "id": Ids(project.clock).new("ev"),
        "service": release.service,
        "release": release.id,
        "at_us": project.clock.now_us(),
        "verdict": "pass",
        "sentence": "all 1 cases are right",
        "suites": (SuiteUsed(name="golden.jsonl", digest="d", cases=1),),
        "metrics": {
            "exact": a_metric("exact", 1.0, 0.9, "pass"),
            "latency_p95_ms": a_metric("latency_p95_ms", 9.0, 500.0, "pass", unit="ms"),
            "cost_usd": a_metric("cost_usd", 0.001, 0.01, "pass", unit="usd", high=0.002),
        },
        "stability": Stability(flaky=a_metric("flaky", 0.0, 0.1, "pass")),
    }
    report = Report(**{**known, **fields})
    head = EvaluationHead(
        id=report.id,
        service=report.service,
        release=report.release,
        baseline="",
        kind="suite",
        at_us=report.at_us,
        by="ada",
        verdict=report.verdict,
    )
    with project.state.begin() as connection:
        put_evaluation(connection, project.clock, head, msgspec.json.encode(report))
    return report


def a_metric(name: str, value: float, bar: float, verdict: Any, **fields: Any) -> Metric:
    return Metric(name=name, value=value, bar=bar, verdict=verdict, **fields)


def by_name(project: Project, release: Release) -> dict[str, Gate]:
    return {gate.name: gate for gate in project.gates_of(release.id)}


def test_every_gate_has_a_measure_of_its_name(shop: Project) -> None:
    found = shop.gates_of(champion_id_of(shop.state, "refund"))
    assert tuple(gate.name for gate in found) == GATES
    assert len(MEASURES) == len(GATES)


def test_without_anything_declared_a_release_ships_and_says_what_was_not_measured(
    shop: Project,
) -> None:
    new = candidate(shop, service(late=400))
    found = by_name(shop, new)
    open_ = {name for name, gate in found.items() if gate.state == "not_measured"}
    assert {"suites", "throughput", "guards", "drills", "load"} <= open_
    assert not {gate.state for gate in found.values()} - {"not_measured", "holds"}
    assert shop.promote(new.id, by="ada") == new


def test_what_is_declared_and_was_not_measured_refuses_and_says_the_command(
    shop: Project,
) -> None:
    new = candidate(shop, service(more=SUITES))
    with pytest.raises(NotReady) as caught:
        shop.promote(new.id, by="ada")
    problems = {problem.path: problem for problem in caught.value.problems}
    assert set(problems) == {
        "gates.suites",
        "gates.stability",
        "gates.latency",
        "gates.cost_per_request",
        "gates.cost_per_day",
    }
    assert f"roadworthy evaluate refund --release {new.id}" in problems["gates.suites"].advice
    assert champion_id_of(shop.state, "refund") != new.id


def test_what_was_evaluated_as_promised_ships_with_its_evidence(shop: Project) -> None:
    new = candidate(shop, service(more=SUITES))
    report = evaluated(shop, new)
    found = by_name(shop, new)
    suites = found["suites"]
    assert (suites.state, suites.evidence, suites.at_us) == ("holds", report.id, report.at_us)
    assert len(suites.digest) == 64
    assert (found["latency"].value, found["latency"].bar) == (9.0, 500.0)
    assert (found["cost_per_day"].state, found["cost_per_day"].value) == ("holds", 0.0)
    assert shop.promote(new.id, by="ada") == new


def test_the_evaluation_of_another_release_is_no_evidence(shop: Project) -> None:
    evaluated(shop, candidate(shop, service(more=SUITES)))
    other = candidate(shop, service(late=300, more=SUITES))
    assert by_name(shop, other)["suites"].state == "not_measured"


WORSE = Paired(name="exact", difference=-0.2, verdict="fail")


@pytest.mark.parametrize(
    ("gate", "state", "fields"),
    [
        ("suites", "fails", {"metrics": {"exact": a_metric("exact", 0.5, 0.9, "fail")}}),
        ("suites", "fails", {"paired": (WORSE,)}),
        ("suites", "fails", {"slices": (Slice(name="tag:x", cases=9, paired=(WORSE,)),)}),
        ("suites", "fails", {"verdict": "fail", "sentence": "critical case `a` is wrong"}),
        ("suites", "inconclusive", {"verdict": "inconclusive", "sentence": "40 cases more"}),
        (
            "latency",
            "fails",
            {"metrics": {"p95": a_metric("p95", 900.0, 500.0, "fail", unit="ms")}},
        ),
        (
            "cost_per_request",
            "inconclusive",
            {"metrics": {"c": a_metric("c", 0.01, 0.01, "inconclusive", unit="usd")}},
        ),
        ("stability", "fails", {"stability": Stability(flaky=a_metric("f", 0.5, 0.1, "fail"))}),
        (
            "behaviours",
            "fails",
            {
                "behaviours": (
                    BehaviourResult(
                        name="typos", use="typos", broken=a_metric("typos", 0.4, 0.05, "fail")
                    ),
                )
            },
        ),
        (
            "fairness",
            "inconclusive",
            {
                "fairness": (
                    FairnessResult(
                        attribute="size", difference=a_metric("d", 0.1, 0.05, "inconclusive")
                    ),
                )
            },
        ),
    ],
)
def test_each_gate_refuses_what_its_evidence_does_not_show(
    shop: Project, gate: str, state: str, fields: dict[str, Any]
) -> None:
    new = candidate(shop, service(more=SUITES))
    evaluated(shop, new, **fields)
    assert by_name(shop, new)[gate].state == state
    with pytest.raises(NotReady, match=gate):
        shop.promote(new.id, by="ada")


EASY = SuiteUsed(name="easy.jsonl", digest="d", cases=1)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"suites": (EASY,)}, "did not ask `golden.jsonl`"),
        (
            {"metrics": {"exact": a_metric("exact", 1.0, 0.5, "pass")}},
            "held `exact` to 50.0%, where the release promises at least 90.0%",
        ),
        ({"metrics": {}}, "held `exact` to nothing"),
    ],
)
def test_an_evaluation_on_easier_terms_is_no_evidence(
    shop: Project, fields: dict[str, Any], why: str
) -> None:
    promised = ', quality = { scorer = "exact", at_least = 0.9 } }'
    text = service(more=SUITES).replace("latency_p95_ms = 500 }", f"latency_p95_ms = 500{promised}")
    new = candidate(shop, text)
    evaluated(shop, new, **fields)
    gate = by_name(shop, new)["suites"]
    assert (gate.state, gate.command) == (
        "inconclusive",
        f"roadworthy evaluate refund --release {new.id}",
    )
    assert why in gate.why
    with pytest.raises(NotReady, match="suites"):
        shop.promote(new.id, by="ada")
    evaluated(shop, new, suites=(SuiteUsed(name="golden.jsonl", digest="d", cases=1), EASY))
    assert by_name(shop, new)["suites"].state == "holds"


def test_a_suite_that_no_input_takes_is_not_missed(shop: Project) -> None:
    suites = '[evaluation]\nsuites = ["golden.jsonl", "builtin:attacks"]'
    new = candidate(shop, service(more=suites))
    evaluated(shop, new)
    assert by_name(shop, new)["suites"].state == "inconclusive"
    note = "`builtin:attacks` was not asked: no field of the input takes free text"
    evaluated(shop, new, notes=(note,))
    assert by_name(shop, new)["suites"].state == "holds"


def test_what_serves_served_or_is_the_first_is_not_held_up(shop: Project) -> None:
    first = champion_id_of(shop.state, "refund")
    new = candidate(shop, service(late=400))
    shop.promote(new.id, by="ada")
    assert shop.promote(new.id, by="ada").id == new.id
    assert shop.promote(first, by="ada").id == first
    assert shop.roll_back("refund", to=new.id, by="ada", why="after all").id == new.id


def test_a_high_risk_service_does_not_ship_unmeasured_not_even_first(
    make_project: MakeProject,
) -> None:
    project = make_project({"refund": service("high")})
    first = project.build_release("refund", by="ada")
    with pytest.raises(NotReady, match="drills, load, approvals"):
        project.promote(first.id, by="ada")
    assert champion_id_of(project.state, "refund") == ""


def all_waived(project: Project, release: Release) -> None:
    for gate in held_up_by(project.gates_of(release.id), "high"):
        if gate.name not in ("approvals", "contracts"):
            waive(project, release, gate.name)


def waive(project: Project, release: Release, gate: str, days: int = 1, **fields: str) -> Any:
    known = {"by": "cli:eve", "reason": "the drill comes next week", **fields}
    expires_us = project.clock.now_us() + days * DAY_US
    return project.waive(release.id, gate, expires_us=expires_us, **known)


def test_high_risk_needs_three_owners_by_three_people(make_project: MakeProject) -> None:
    project = make_project({"refund": service("high")})
    first = project.build_release("refund", by="ada")
    all_waived(project, first)
    project.approve(first.id, owner="product", by="key:1", note="looked at all cases")
    with pytest.raises(Conflict, match=r"approved `refund@.*` as `product`: a high-risk"):
        project.approve(first.id, owner="model", by="key:1")
    project.approve(first.id, owner="model", by="key:2")
    with pytest.raises(NotReady) as caught:
        project.promote(first.id, by="ada")
    (problem,) = caught.value.problems
    assert "waits for the owners of platform" in problem.advice
    project.approve(first.id, owner="platform", by="key:3")
    assert project.promote(first.id, by="ada") == first
    acts = list_actions(project.state, action="release.approve")
    assert {act.by for act in acts} == {"key:1", "key:2", "key:3"}
    assert verify_chain(project.state).problem == ""


def test_no_release_lowers_its_own_bar(make_project: MakeProject) -> None:
    project = make_project({"refund": service("high")})
    first = project.build_release("refund", by="ada")
    all_waived(project, first)
    for place, owner in enumerate(("product", "model", "platform")):
        project.approve(first.id, owner=owner, by=f"key:{place}")
    project.promote(first.id, by="ada")
    meek = candidate(project, service("low"))
    assert gates.risk_of(project.state, project.artifacts, meek) == "high"
    with pytest.raises(NotReady):
        project.promote(meek.id, by="ada")


def test_a_waiver_counts_until_it_ends_or_is_taken_back(shop: Project) -> None:
    new = candidate(shop, service(more=SUITES))
    evaluated(shop, new, paired=(WORSE,), verdict="fail")
    first = waive(shop, new, "suites", days=3)
    gate = by_name(shop, new)["suites"]
    assert (gate.state, gate.waiver) == ("waived", first.id)
    assert gate.waived == "waived by `cli:eve`: the drill comes next week"
    ends_us = first.expires_us
    now = {g.name: g.state for g in standing_of(shop.state, new.id, ends_us - 1)}
    then = {g.name: g.state for g in standing_of(shop.state, new.id, ends_us)}
    assert (now["suites"], then["suites"]) == ("waived", "fails")
    revoke_waiver(shop.state, shop.clock, first.id, by="cli:ada", reason="no more")
    assert by_name(shop, new)["suites"].state == "fails"
    assert list_waivers(shop.state, new.id)[0].revoked_at_us is not None
    acts = [act.action for act in list_actions(shop.state, limit=2)]
    assert acts == ["release.unwaive", "release.waive"]


@pytest.mark.parametrize(
    ("gate", "days", "reason", "expected"),
    [
        ("load", 1, "  ", "reason: expected why"),
        ("load", 0, "later", "expires: expected a time to come"),
        ("loads", 1, "later", "gate: expected one of `suites`"),
        ("approvals", 1, "later", "the owners are asked themselves"),
        ("contracts", 1, "later", "`contract.accepts`"),
    ],
)
def test_a_waiver_needs_a_gate_a_reason_and_an_end(
    shop: Project, gate: str, days: int, reason: str, expected: str
) -> None:
    new = candidate(shop, service(late=400))
    with pytest.raises(RequestError, match=expected):
        waive(shop, new, gate, days, reason=reason)
    assert list_waivers(shop.state, new.id) == ()


def test_a_source_that_it_did_not_agree_to_refuses_whatever_its_gates_say(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = candidate(shop, service(late=400))

    def disagree(*_: object) -> None:
        raise DeclarationError("weather.celsius: expected celsius, got fahrenheit")

    monkeypatch.setattr("roadworthy.app.ground.check_promotion", disagree)
    assert by_name(shop, new)["contracts"].state == "fails"
    with pytest.raises(DeclarationError, match="got fahrenheit"):
        shop.promote(new.id, by="ada")


def test_the_cost_of_a_day_is_reckoned_with_the_traffic_there_is(shop: Project) -> None:
    new = candidate(shop, service(more=SUITES))
    evaluated(shop, new)
    known = gates.evidence_of(shop.state, shop.artifacts, shop.clock, new, lambda: None)
    for traffic, state in ((2_000.0, "holds"), (4_000.0, "inconclusive"), (9_000.0, "fails")):
        gate = cost_per_day(msgspec.structs.replace(known, requests_per_day=traffic))
        assert gate.state == state, gate
        assert gate.value == pytest.approx(traffic * 0.001)


def test_a_damaged_release_is_refused_and_what_serves_goes_on(shop: Project) -> None:
    new = candidate(shop, service(late=400))
    digest = new.manifest.files["service.toml"]
    path = Path(shop.artifacts.folder) / digest[:2] / digest[2:]
    path.chmod(0o600)
    path.write_text("name = 1")
    with pytest.raises(StoreError, match="is damaged: expected content with SHA-256"):
        shop.promote(new.id, by="ada")
    assert champion_id_of(shop.state, "refund") != new.id


def test_the_busiest_day_of_the_week_is_what_a_day_may_cost(shop: Project) -> None:
    new = candidate(shop, service(more=SUITES))
    now_us = shop.clock.now_us()
    for days, requests in ((0.1, 3), (2.0, 7), (9.0, 50)):
        hour_us = (now_us - round(days * DAY_US)) // HOUR_US * HOUR_US
        found = [
            Record(
                id=Ids(shop.clock).new("rq"),
                at_us=hour_us,
                service="refund",
                kind="predict",
                disposition="answered",
                release=new.id,
            )
            for _ in range(requests)
        ]
        with shop.state.begin() as connection:
            add_cells(connection, tally(found))
    known = gates.evidence_of(shop.state, shop.artifacts, shop.clock, new, lambda: None)
    assert known.requests_per_day == 7.0


def held(skew: dict[str, Any], serving: dict[str, Any] | None) -> Gate:
    """Return the gate of a release with one feature, beside what serves."""
    text = service(more='[features]\nviews = ["weather_now@1"]')
    known = Evidence(
        release="refund@new",
        declared=ServiceDeclaration.model_validate(tomllib.loads(text)),
        risk="low",
        now_us=0,
        skew=skew,
        skew_serving=serving,
    )
    return skew_gate(known)


def seen(gap: list[float], *, unequal: int = 0, feature: str = "temp") -> dict[str, Any]:
    row = {"feature": feature, "state": "breached", "gap": gap, "unequal": unequal}
    return {"kept": False, "features": [row], "says": f"`{feature}` is far from training"}


def test_a_season_that_moved_what_serves_just_as_far_holds_no_candidate_up() -> None:
    gate = held(seen([0.52, 0.47, 0.57]), seen([0.49, 0.45, 0.53]))
    assert gate.state == "holds"
    assert gate.why.endswith("what serves is as far from what it was trained on")


def test_a_candidate_that_is_farther_from_its_training_than_what_serves_is_held_up() -> None:
    gate = held(seen([0.98, 0.95, 1.0]), seen([0.49, 0.45, 0.53]))
    assert gate.state == "fails"
    assert gate.why.endswith("farther than with what serves: `temp`")


@pytest.mark.parametrize(
    ("skew", "serving"),
    [
        (seen([0.5, 0.45, 0.55]), None),
        (seen([0.5, 0.45, 0.55], unequal=3), seen([0.5, 0.45, 0.55])),
        (seen([0.5, 0.45, 0.55]), seen([0.5, 0.45, 0.55], feature="wind")),
    ],
)
def test_what_is_far_for_another_reason_than_the_season_is_held_up(
    skew: dict[str, Any], serving: dict[str, Any] | None
) -> None:
    assert held(skew, serving).state == "fails"
