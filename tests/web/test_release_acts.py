"""Acts on releases: by form and by HTTP, with a token and a scope, each said and written down."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from release_stage import Stage, staged
from visitor import Visitor

from roadworthy.release.promotion import frozen
from roadworthy.store.actions import list_actions
from roadworthy.store.approvals import list_approvals, list_waivers
from roadworthy.store.rollouts import list_rollouts
from roadworthy.types import DAY_US
from roadworthy.web import numbers

ACTS: tuple[tuple[str, dict[str, str]], ...] = (
    ("/services/risk/rollback", {}),
    ("/services/risk/freeze", {"reason": "audit week"}),
    ("/services/risk/unfreeze", {}),
    ("/services/risk/rollout/stop", {}),
    ("/releases/{id}/gates", {}),
    ("/releases/{id}/approve", {"owner": "product"}),
    ("/releases/{id}/waive", {"gate": "drills", "reason": "later", "expires": "7d"}),
    ("/requests/rq_1/replay", {}),
)


@pytest.fixture
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("acts")) as stage:
        yield stage


@pytest.fixture
def visitor(stage: Stage) -> Visitor:
    return Visitor(stage.plane, stage.plane.secret)


def acts(stage: Stage) -> list[str]:
    return [act.action for act in list_actions(stage.plane.project.state, limit=5)]


def serves(stage: Stage) -> str:
    return stage.plane.serving.engine.releases["risk"].id


def test_a_freeze_is_said_with_its_end_and_taken_back_by_a_click(
    stage: Stage, visitor: Visitor
) -> None:
    shown = visitor.see("/services/risk/releases")
    assert "until somebody lets it go on" in shown.words
    there = visitor.send("/services/risk/freeze", reason="audit week").headers["location"]
    done = visitor.see(there)
    assert "Froze risk: nothing else serves, and no rollout moves" in done.words
    assert "audit week" in done.words
    assert frozen(stage.plane.project.state, "risk") is not None
    refused = stage.plane.ask("POST", f"/api/releases/{stage.candidate}/promote")
    assert refused.status == 409
    visitor.send("/services/risk/unfreeze")
    assert frozen(stage.plane.project.state, "risk") is None
    assert acts(stage)[:2] == ["release.unfreeze", "release.freeze"]


def test_a_release_that_its_gates_hold_up_is_told_which_and_where_to_look(
    stage: Stage, visitor: Visitor
) -> None:
    stage.evaluate(verdict="fail")
    visitor.see("/services/risk/releases")
    refused = visitor.send(f"/releases/{stage.candidate}/promote")
    assert refused.status == 409
    assert refused.headline == "It may not serve yet. Nothing was done."
    assert "suites : inconclusive; whether gender is treated alike is open" in refused.words
    (link,) = [link for link in refused.links if link.endswith("#gates")]
    assert visitor.see(link.removesuffix("#gates")).status == 200
    assert serves(stage) == stage.champion


def test_rolling_back_serves_the_release_before_with_the_next_request(
    stage: Stage, visitor: Visitor
) -> None:
    assert "Roll back" not in visitor.see("/services/risk/rollout").words
    assert stage.plane.ask("POST", f"/api/releases/{stage.candidate}/promote").status == 200
    assert serves(stage) == stage.candidate
    shown, back = visitor.see("/services/risk/rollout"), numbers.short(stage.champion)
    assert f"Roll back to {back}" in shown.words
    assert f"risk answers with {back} from the next request on" in shown.words
    there = visitor.send("/services/risk/rollback", reason="too many late").headers["location"]
    assert f"Rolled risk back to {back}" in visitor.see(there).words
    assert serves(stage) == stage.champion
    timeline = visitor.see("/services/risk/releases").words
    assert f"Rolled back to {back} in place of" in timeline
    assert "too many late." in timeline


def test_stopping_a_rollout_lets_everybody_meet_the_champion(
    stage: Stage, visitor: Visitor
) -> None:
    stage.roll_out()
    shown = visitor.see("/services/risk/rollout")
    assert f"Stop: back to {numbers.short(stage.champion)}" in shown.words
    there = visitor.send("/services/risk/rollout/stop", reason="a holiday").headers["location"]
    stopped = visitor.see(there)
    assert stopped.headline.endswith("was stopped: a holiday.")
    (found,) = list_rollouts(stage.plane.project.state, ["risk"])
    assert (found.state, found.why) == ("stopped", "a holiday")
    assert stage.plane.serving.switchboard.get("rollout:risk") == ""
    assert stage.plane.ask("POST", "/api/services/risk/rollout/stop", {}).status == 404


def test_freezing_a_rollout_names_its_share_and_keeps_it(stage: Stage, visitor: Visitor) -> None:
    stage.roll_out()
    assert "Freeze at 25%" in visitor.see("/services/risk/rollout").words
    visitor.send("/services/risk/freeze", reason="wait")
    assert "It is frozen." in visitor.see("/services/risk/rollout").headline
    visitor.send("/services/risk/unfreeze")
    assert "No harm is found." in visitor.see("/services/risk/rollout").headline


def test_gates_are_measured_where_they_are_read(stage: Stage, visitor: Visitor) -> None:
    assert "No gate is measured yet." in visitor.see(f"/releases/{stage.candidate}").words
    there = visitor.send(f"/releases/{stage.candidate}/gates").headers["location"]
    shown = visitor.see(there)
    assert f"Measured the gates of {numbers.short(stage.candidate)}" in shown.words
    gates = stage.plane.get(f"/api/releases/{stage.candidate}")["gates"]
    names = {gate["gate"] for gate in gates["gates"]}
    assert {"suites", "contracts", "drills", "approvals"} <= names
    assert [gate["label"] for gate in gates["gates"] if gate["label"] not in shown.words] == []


def test_an_owner_approves_where_the_gates_are_read(stage: Stage, visitor: Visitor) -> None:
    visitor.see(f"/releases/{stage.candidate}")
    visitor.send(f"/releases/{stage.candidate}/approve", owner="product", note="good")
    shown = visitor.see(f"/releases/{stage.candidate}")
    assert "Approved for product by key:" in shown.words
    (found,) = list_approvals(stage.plane.project.state, stage.candidate)
    assert (found.owner, found.note) == ("product", "good")
    odd = f"/api/releases/{stage.candidate}/approve"
    assert stage.plane.ask("POST", odd, {"owner": "nobody"}).status == 400


def test_a_waiver_needs_a_reason_and_a_time_to_come(stage: Stage, visitor: Visitor) -> None:
    path = f"/releases/{stage.candidate}/waive"
    visitor.see(f"/releases/{stage.candidate}")
    visitor.send(f"/releases/{stage.candidate}/gates")
    visitor.see(f"/releases/{stage.candidate}")
    wrong = visitor.send(path, gate="drills", reason="sensors", expires="2001-01-01")
    assert wrong.status == 400
    assert "2001-01-01" in wrong.words
    assert wrong.having("input", name="reason", value="sensors")
    visitor.see(f"/releases/{stage.candidate}")
    assert visitor.send(path, gate="drills", expires="7d").status == 400
    visitor.see(f"/releases/{stage.candidate}")
    there = visitor.send(path, gate="drills", reason="sensors", expires="7d")
    assert "Waived the gate drills" in visitor.see(there.headers["location"]).words
    (found,) = list_waivers(stage.plane.project.state, stage.candidate)
    assert found.expires_us - stage.now_us > 6 * DAY_US
    odd = {"gate": "no gate", "reason": "x", "expires": "2099-01-01T00:00:00Z"}
    assert stage.plane.ask("POST", f"/api{path}", odd).status == 400


def test_a_request_is_asked_again_and_the_two_answers_are_compared(
    stage: Stage, visitor: Visitor
) -> None:
    id = stage.plane.answer("risk", {"wind": 31.0}).request_id
    assert "Ask it again" in visitor.see(f"/requests/{id}").words
    shown = visitor.send(f"/requests/{id}/replay")
    assert shown.status == 200
    assert shown.headline == f"{numbers.short(stage.champion)} answers the same, to the last bit."
    other = stage.plane.ask("POST", f"/api/requests/{id}/replay", {"release": stage.candidate}).json
    assert (other["same"], other["diff"][0]["before"]) == (False, "true")
    assert stage.plane.ask("POST", "/api/requests/rq_gone/replay", {}).status == 404


@pytest.mark.parametrize(("path", "fields"), ACTS)
def test_an_act_needs_the_scope_and_the_token(
    stage: Stage, path: str, fields: dict[str, str]
) -> None:
    target = path.format(id=stage.candidate)
    _, reader = stage.plane.make_key("read", "admin", "review", "answer")
    looker = Visitor(stage.plane, reader)
    looker.see("/services/risk")
    assert looker.send(target, fields.items()).status == 403
    assert stage.plane.ask("POST", f"/api{target}", {}, key=reader).status == 403
    forger = Visitor(stage.plane, stage.plane.secret)
    forger.see("/services/risk")
    forged = urlencode({"csrf": looker.token, **fields}).encode()
    assert forger._ask("POST", target, forged).status == 403
    done = [
        act.action
        for act in list_actions(stage.plane.project.state, limit=50)
        if act.action.startswith(("release.", "rollout."))
        and act.action not in ("release.build", "release.promote")
    ]
    assert done == []


def test_a_key_of_another_service_moves_nothing_of_this_one(stage: Stage) -> None:
    _, other = stage.plane.make_key("read", "release", services=["reply"])
    for path, fields in ACTS:
        if path.startswith("/services"):
            answer = stage.plane.ask("POST", f"/api{path}", fields, key=other)
            assert answer.status == 403, path
    odd = f"/api/releases/{stage.candidate}/approve"
    assert stage.plane.ask("POST", odd, {"owner": "product"}, key=other).status == 404


def test_a_reader_sees_no_lever(stage: Stage) -> None:
    _, reader = stage.plane.make_key("read")
    looker = Visitor(stage.plane, reader)
    for page in ("/services/risk/releases", "/services/risk/rollout"):
        shown = looker.see(page)
        assert "needs a key with the scope release" in shown.words
        assert shown.having("button", **{"class": "btn danger"}) == []
