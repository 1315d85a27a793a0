"""Pages of releases: who served when, may the candidate ship, what is different in it."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from typing import Any

import msgspec
import pytest
from release_stage import HOSTILE, Stage, case, metric, staged, verdict_at
from visitor import Visitor

from roadworthy.release.measures import Gate, State
from roadworthy.store import release_tables
from roadworthy.store.actions import append_action
from roadworthy.store.rollouts import Figure
from roadworthy.types import DAY_US, HOUR_US
from roadworthy.web import numbers


@pytest.fixture
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("releases")) as stage:
        yield stage


@pytest.fixture
def visitor(stage: Stage) -> Visitor:
    return Visitor(stage.plane, stage.plane.secret)


def gate(stage: Stage, name: str, state: State, **detail: Any) -> None:
    """Remember how the candidate stands to one gate, which its service declares."""
    measured = Gate(name=name, state=state, **{"is_declared": True, **detail})
    stage.put(
        release_tables.gates,
        release=stage.candidate,
        gate=name,
        service="risk",
        state=state,
        at_us=stage.now_us - HOUR_US,
        digest="0c2d" * 16,
        detail=msgspec.json.encode(measured).decode(),
    )


def waive(stage: Stage, name: str, days: int, reason: str = "sensor test runs on Friday") -> None:
    stage.put(
        release_tables.waivers,
        id=stage.ids.new("wv"),
        service="risk",
        release=stage.candidate,
        gate=name,
        by="key:k_grace",
        reason=reason,
        at_us=stage.now_us,
        expires_us=stage.now_us + days * DAY_US,
        revoked_at_us=None,
    )


def ship(stage: Stage) -> Any:
    """Return what Home's twin says of the candidate of `risk`."""
    home = stage.plane.get("/api/home")
    return next(row["ship"] for row in home["services"] if row["name"] == "risk")


def compared(stage: Stage) -> Any:
    return stage.plane.get("/api/services/risk/releases/compare")


def test_a_service_without_moves_shows_what_serves_from_the_chain_of_acts(
    stage: Stage, visitor: Visitor
) -> None:
    shown = visitor.see("/services/risk/releases")
    assert shown.headline.startswith(f"{numbers.short(stage.champion)} serves risk")
    assert shown.unclosed == []
    assert "champion" in shown.words
    assert f"Promoted {numbers.short(stage.champion)}." in shown.words


def test_the_timeline_says_who_moved_what_when_and_why(stage: Stage, visitor: Visitor) -> None:
    stage.move("promote", "", stage.champion, 90)
    stage.move("promote", stage.champion, stage.candidate, 60, why="it knows June")
    stage.move("rollback", stage.candidate, stage.champion, 30, by="key:k_1", why="too many late")
    stage.point("last_good:risk", stage.candidate)
    shown = visitor.see("/services/risk/releases")
    twin = stage.plane.get("/api/services/risk/releases")
    assert unescape(shown.headline) == twin["says"]
    assert [move["kind"] for move in twin["moves"]][:3] == ["rollback", "promote", "promote"]
    bands = [(band["release"], band["until"] is None) for band in twin["bands"][:3]]
    assert bands == [(stage.champion, True), (stage.candidate, False), (stage.champion, False)]
    here, there = numbers.short(stage.champion), numbers.short(stage.candidate)
    said = [f"Rolled back to {here} in place of {there}: too many late.", "it knows June"]
    assert [words for words in said if words not in shown.words] == []
    assert "last good" in shown.words


def test_moves_are_paged(stage: Stage, visitor: Visitor) -> None:
    for hours in range(5):
        stage.move("promote", stage.champion, stage.candidate, hours + 1, why=f"reason {hours}")
    shown = visitor.see("/services/risk/releases?limit=2")
    (older,) = [found["href"] for found in shown.having("a", rel="next")]
    assert older
    assert "reason 1" in shown.words
    assert "reason 2" not in shown.words
    assert "reason 2" in visitor.see(older.partition("#")[0]).words


def test_a_hundred_releases_stay_a_small_page(stage: Stage, visitor: Visitor) -> None:
    stage.copies(100)
    for path in ("/services/risk/releases", "/releases"):
        shown = visitor.see(path)
        assert len(shown.source) < 60_000, path
        assert shown.unclosed == []


def test_a_candidate_of_which_nothing_is_known_does_not_ship_yet(
    stage: Stage, visitor: Visitor
) -> None:
    found = ship(stage)
    assert (found["may"], found["word"]) == ("not_yet", "Not yet")
    assert found["says"].startswith("Nothing has compared")
    assert found["link"] in [unescape(link) for link in visitor.see("/").links]
    shown = visitor.see("/services/risk/releases/compare")
    assert shown.headline.startswith("Not yet.")
    assert "No evaluation yet." in shown.words
    assert "roadworthy evaluate risk" in shown.words


def test_an_inconclusive_evaluation_says_how_many_cases_are_missing(stage: Stage) -> None:
    stage.evaluate()
    short = numbers.short(stage.candidate)
    assert ship(stage)["says"] == f"Inconclusive: {short} needs 140 more cases."
    assert compared(stage)["verdict"]["decided_by"] == "140 more cases decide it."


def test_a_failing_gate_says_no_with_value_against_bar(stage: Stage, visitor: Visitor) -> None:
    gate(stage, "latency", "fails", value=31.0, bar=20.0)
    gate(stage, "suites", "holds", value=0.934, bar=0.9)
    found = ship(stage)
    assert (found["may"], found["state"]) == ("no", "breached")
    assert found["says"] == "Latency: 31 ms against ≤ 20 ms."
    shown = visitor.see("/services/risk/releases/compare")
    assert shown.headline.startswith("No, ")
    assert "One of 2 gates holds; one fails." in shown.words


def test_a_gate_that_is_not_measured_never_passes_silently(stage: Stage) -> None:
    gate(stage, "suites", "holds")
    gate(stage, "drills", "not_measured")
    assert ship(stage)["says"] == "The gate drills is not measured."
    assert ship(stage)["may"] == "not_yet"


def test_a_waiver_lets_it_ship_until_it_ends_and_says_who_and_why(
    stage: Stage, visitor: Visitor
) -> None:
    gate(stage, "suites", "holds")
    gate(stage, "drills", "not_measured", why="no drill was run")
    waive(stage, "drills", 14)
    assert ship(stage)["may"] == "yes"
    shown = visitor.see(f"/releases/{stage.candidate}")
    assert "waived by key:k_grace until 7 Dec" in shown.words
    assert "sensor test runs on Friday" in shown.words
    gates = stage.plane.get(f"/api/releases/{stage.candidate}")["gates"]
    assert [(one["gate"], one["state"]) for one in gates["gates"]] == [
        ("suites", "healthy"),
        ("drills", "off"),
    ]


def test_the_reason_of_a_waiver_is_said_once(stage: Stage, visitor: Visitor) -> None:
    gate(stage, "drills", "not_measured", why="no drill was run")
    waive(stage, "drills", 14)
    shown = visitor.see(f"/releases/{stage.candidate}")
    assert shown.words.count("sensor test runs on Friday") == 1
    assert "no drill was run" in shown.words


def test_the_timeline_says_that_no_more_gates_hold_than_do(stage: Stage, visitor: Visitor) -> None:
    gate(stage, "suites", "holds")
    gate(stage, "behaviours", "not_measured", is_declared=False)
    shown = visitor.see("/services/risk/releases")
    assert "all 2 hold" not in shown.words
    assert "1 hold" in shown.words
    gate(stage, "drills", "not_measured")
    waive(stage, "drills", 14)
    assert "1 waived, 1 hold" in visitor.see("/services/risk/releases").words


def test_the_timeline_counts_what_nothing_measured_of_a_high_risk(stage: Stage) -> None:
    gate(stage, "suites", "holds")
    gate(stage, "load", "not_measured", is_declared=False)
    file = stage.folder / "services" / "risk" / "service.toml"
    owners = 'product = "ada"\nmodel = "bob"\nplatform = "eve"'
    text = file.read_text().replace('product = "ada"', owners)
    file.write_text(text.replace('risk = "low"', 'risk = "high"'))
    answer = stage.plane.ask("POST", "/api/services/risk/releases", {})
    assert answer.status == 201, answer.body
    release = answer.json["release"]
    stage.put(
        release_tables.gates,
        release=release,
        gate="load",
        service="risk",
        state="not_measured",
        at_us=stage.now_us,
        digest="",
        detail=msgspec.json.encode(Gate(name="load")).decode(),
    )
    rows = stage.plane.get("/api/services/risk/releases")["releases"]
    found = {row["release"]: (row["held"], row["open"]) for row in rows if row["gated"]}
    assert found == {release: (0, 1), stage.candidate: (1, 0)}


def test_a_waiver_that_ends_soon_is_at_risk_and_one_that_ended_counts_no_more(
    stage: Stage,
) -> None:
    gate(stage, "drills", "not_measured")
    waive(stage, "drills", 3)
    assert compared(stage)["gates"]["gates"][0]["state"] == "at_risk"
    gate(stage, "load", "not_measured")
    waive(stage, "load", -1)
    states = {one["gate"]: one["word"] for one in compared(stage)["gates"]["gates"]}
    assert states == {"drills": "waived", "load": "not measured"}


def test_a_running_rollout_is_on_its_way_and_says_when_it_decides(
    stage: Stage, visitor: Visitor
) -> None:
    stage.evaluate(verdict="pass", needed=None)
    stage.roll_out()
    found = ship(stage)
    assert (found["may"], found["word"]) == ("on_its_way", "Yes, it is on its way")
    assert found["says"] == ("Canary at 25%: no harm found in 800 users. Decides at about 16:32.")
    shown = visitor.see("/services/risk/releases/compare")
    assert shown.headline.endswith("may ship. The canary decides at about 16:32.")
    assert "Nobody needs to do anything: it promotes or rolls back by itself." in shown.words
    assert "promote: band below +2.0" in shown.words
    assert "roll back: band above 0" in shown.words


def test_a_time_that_is_over_is_not_when_it_decides(stage: Stage, visitor: Visitor) -> None:
    stage.roll_out(verdict=verdict_at(40, stage.now_us - HOUR_US))
    assert ship(stage)["says"] == "Canary at 25%: no harm found in 800 users."
    shown = visitor.see("/services/risk/releases/compare")
    assert shown.headline.endswith("may ship. The canary has not decided yet.")
    assert stage.plane.get("/api/services/risk/rollout")["rollout"]["expected"] is None


def test_before_anything_serves_the_comparison_says_what_holds_the_first_up(
    stage: Stage, visitor: Visitor
) -> None:
    gate(stage, "approvals", "fails", why="waits for the owners")
    stage.point("champion:risk", "")
    shown = visitor.see(f"/services/risk/releases/compare?b={stage.candidate}")
    assert "may not ship" in shown.headline
    assert "Its owners decide it." in shown.words
    assert "waits for the owners" in shown.words
    assert "There is no candidate." not in shown.words


def test_the_page_of_a_rollout_says_each_number_of_its_twin(stage: Stage, visitor: Visitor) -> None:
    stage.roll_out()
    shown, twin = (
        visitor.see("/services/risk/rollout"),
        stage.plane.get("/api/services/risk/rollout"),
    )
    assert unescape(shown.headline) == twin["says"]
    rollout = twin["rollout"]
    said = [*rollout["says"], rollout["next"], "0.7 points", "18.2%", "18.9%", "about 522 more"]
    said += ["late answers", "20%", "50%", "5% →", "25% →", "at most 5%, however often"]
    assert [words for words in said if words not in shown.words] == []
    assert [step["standing"] for step in rollout["steps"]] == ["past", "now", "to come"]
    assert rollout["figures"][1]["harm"] == 0.2 or rollout["figures"][0]["harm"] == 0.2
    assert shown.unclosed == []


def test_harm_speaks_first_and_says_no(stage: Stage) -> None:
    verdict = verdict_at(40)
    late = msgspec.structs.replace(verdict.figures[1], worse=25.0)
    figures = (verdict.figures[0], late)
    stage.roll_out(verdict=msgspec.structs.replace(verdict, figures=figures))
    found = ship(stage)
    assert (found["may"], found["says"]) == ("no", "Users of it meet more late answers.")
    rollout = stage.plane.get("/api/services/risk/rollout")["rollout"]
    assert [one["name"] for one in rollout["figures"]] == ["late", "errors"]


def test_looks_are_thinned_to_what_a_picture_needs(stage: Stage, visitor: Visitor) -> None:
    stage.roll_out(looks=500)
    rollout = stage.plane.get("/api/services/risk/rollout")["rollout"]
    assert len(rollout["looks"]) <= 60
    assert rollout["looks"][-1]["units"] == 500 * 20
    assert len(visitor.see("/services/risk/rollout").source) < 60_000


def test_without_a_rollout_the_page_teaches_the_command(visitor: Visitor) -> None:
    shown = visitor.see("/services/reply/rollout")
    assert shown.headline == "reply has no candidate on its way."
    assert "roadworthy release promote" in shown.words
    assert visitor.see("/services/reply/releases/compare").headline == "There is no candidate."


def test_a_freeze_is_said_with_who_and_why(stage: Stage, visitor: Visitor) -> None:
    said = {"by": "key:k_9", "since_us": stage.now_us - HOUR_US, "reason": "audit week"}
    stage.point("freeze:risk", msgspec.json.encode(said).decode())
    for page in ("/services/risk/releases", "/services/risk/rollout"):
        assert "Frozen since 13:32 by key:k_9: audit week." in visitor.see(page).words
    assert ship(stage)["may"] == "not_yet"
    stage.point("freeze:risk", "no json")
    assert "no json" in visitor.see("/services/risk/releases").words


def test_releases_are_compared_by_the_beginning_of_their_digest(stage: Stage) -> None:
    a, b = (id.partition("@")[2][:6] for id in (stage.champion, stage.candidate))
    page = stage.plane.get(f"/api/services/risk/releases/compare?a={a}&b={b}")
    assert (page["a"], page["b"]) == (stage.champion, stage.candidate)
    assert stage.plane.ask("GET", "/api/services/risk/releases/compare?a=zzzz").status == 404
    other = "/api/services/risk/releases/compare?a=reply@000000000000"
    assert stage.plane.ask("GET", other).status == 404


def test_the_comparison_shows_what_an_evaluation_measured_on_the_same_cases(
    stage: Stage, visitor: Visitor
) -> None:
    stage.evaluate(verdict="pass", needed=None)
    shown = visitor.see("/services/risk/releases/compare")
    said = ["Where it differs", "carrier=UA", "+2.1 points", "+1.2 to +3.0", "6.4 ms"]
    said += ["service.toml"]
    assert [words for words in said if words not in shown.words] == []
    assert len(shown.source) < 60_000
    assert shown.unclosed == []


def test_releases_that_were_evaluated_apart_are_compared_on_common_cases(
    stage: Stage, visitor: Visitor
) -> None:
    def asked(release: str, right: int) -> None:
        cases = tuple(case(n, scores={"exact": float(n < right)}) for n in range(30))
        stage.evaluate(release=release, baseline="", results=cases, paired=(), slices=())

    asked(stage.champion, 20)
    asked(stage.candidate, 26)
    page = compared(stage)
    (one,) = page["paired"]
    assert (one["n"], round(one["difference"], 3)) == (30, 0.2)
    assert "+20.0 points" in visitor.see("/services/risk/releases/compare").words


def test_a_release_shows_what_was_logged_of_its_files(stage: Stage, visitor: Visitor) -> None:
    made = stage.plane.get(f"/api/releases/{stage.candidate}")["manifest"]
    detail = {"metrics": {"auc": 0.734}, "snapshot": "a81f", "note": HOSTILE}
    stage.put(
        release_tables.logged_models,
        digest=made["files"]["service.toml"],
        service="risk",
        name="gbm",
        at_us=stage.now_us,
        by="cli:ada",
        detail=msgspec.json.encode(detail).decode(),
    )
    shown = visitor.see(f"/releases/{stage.candidate}")
    assert "metrics auc 0.734" in shown.words
    assert "<script>alert" not in shown.source
    assert shown.unclosed == []


def test_a_key_of_another_service_sees_none_of_it(stage: Stage) -> None:
    stage.roll_out()
    _, other = stage.plane.make_key("read", "release", services=["reply"])
    for path in ("releases", "releases/compare", "rollout", "evaluations"):
        assert stage.plane.ask("GET", f"/api/services/risk/{path}", key=other).status == 403


def test_what_it_did_by_itself_is_on_home(stage: Stage, visitor: Visitor) -> None:
    state, clock = stage.plane.project.state, stage.plane.project.clock
    acts: list[tuple[str, dict[str, Any]]] = [
        ("release.advance", {"share": 0.25, "why": "no harm in 748 users"}),
        ("release.rollback", {"from": stage.champion, "why": "errors rose"}),
        ("evaluation.run", {"evaluation": "ev_1", "verdict": "pass"}),
    ]
    for name, detail in acts:
        known = {"service": "risk", **detail}
        append_action(state, clock, "job:rollouts", name, stage.candidate, known)
    shown, short = visitor.see("/"), numbers.short(stage.candidate)
    said = [f"Moved the rollout of {short} to 25%: no harm in 748 users."]
    said += [f"Rolled back to {short} in place of {numbers.short(stage.champion)}: errors rose."]
    said += [f"Evaluated {short}: pass."]
    assert [words for words in said if words not in shown.words] == []
    assert "/evaluations/ev_1" in shown.links


def test_odd_names_and_numbers_of_an_evaluation_make_no_broken_page(
    stage: Stage, visitor: Visitor
) -> None:
    odd = metric(HOSTILE[:80], value=float("inf"), low=-3.0, high=9.0)
    stage.evaluate(metrics={"odd": odd}, verdict="fail")
    id = stage.plane.get("/api/services/risk/evaluations")["evaluations"][0]["id"]
    for path in (f"/evaluations/{id}", "/services/risk/releases/compare", "/"):
        shown = visitor.see(path)
        assert shown.status == 200
        assert shown.unclosed == []
        assert "<script>alert" not in shown.source


def test_what_its_rollout_took_back_may_not_ship_though_its_gates_hold(stage: Stage) -> None:
    stage.evaluate()
    stage.roll_out(state="rolled_back", ended_at_us=stage.now_us, why="more failures than before")
    query = f"?a={stage.champion}&b={stage.candidate}"
    page = stage.plane.ask("GET", f"/api/services/risk/releases/compare{query}").json
    assert page["verdict"]["may"] == "no"
    assert "Its canary took it back: more failures than before" in page["says"]
    stage.roll_out(started_at_us=stage.now_us)
    again = stage.plane.ask("GET", f"/api/services/risk/releases/compare{query}").json
    assert again["verdict"]["may"] == "on_its_way"


def test_a_metric_without_users_is_not_the_one_that_is_drawn(stage: Stage) -> None:
    verdict = verdict_at(40)
    empty = Figure(name="doubt", worse_needed=100.0, better_needed=10.0)
    stage.roll_out(verdict=msgspec.structs.replace(verdict, figures=(empty, *verdict.figures)))
    (page,) = [stage.plane.ask("GET", "/api/services/risk/rollout").json["rollout"]]
    drawn = [look for look in page["looks"] if look["difference"] is not None]
    assert drawn
    assert page["figures"][-1]["name"] == "doubt"
