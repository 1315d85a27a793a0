"""What each route shows and does."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from control_plane import Plane, served
from roadworthy.release.lineage import lineage
from roadworthy.store.actions import list_actions
from roadworthy.store.records import read_record
from roadworthy.store.tables import jobs
from roadworthy.types import MICRO, Outcome

CHAT = {"text": "when does it leave?"}


def last_act(plane: Plane) -> tuple[str, str, str]:
    act = list_actions(plane.project.state, limit=1)[0]
    return act.by, act.action, act.subject


def by_admin(plane: Plane) -> str:
    return f"key:{plane.admin.id}"


def test_a_service_shows_each_promise_beside_what_was_measured(plane: Plane) -> None:
    for wind in (10.0, 30.0):
        plane.answer("risk", {"wind": wind})
    plane.answer("risk", {"wind": "strong"})  # the rule cannot read it: a failure
    risk = plane.get("/api/services")["services"][1]
    assert (risk["name"], risk["kind"], risk["risk"]) == ("risk", "predict", "low")
    assert risk["purpose"] == "Say whether a flight is late."
    assert risk["release"].startswith("risk@")
    assert risk["stopped"] is None
    objectives = risk["objectives"]
    assert objectives["availability"] == {"promise": 0.99, "measured": pytest.approx(2 / 3), "n": 3}
    assert objectives["latency_p95_ms"]["promise"] == 500
    assert 0 < objectives["latency_p95_ms"]["measured"] < 500
    assert objectives["late_share"] == {"promise": 0.05, "measured": 0.0, "n": 3}


def test_only_the_hours_of_the_window_are_measured(plane: Plane) -> None:
    plane.answer("risk", {"wind": 10.0})
    shown = plane.get("/api/services/risk?since=2013-04-01T05:30:00Z&until=2013-04-02T00:00:00Z")
    objectives = shown["objectives"]
    assert objectives["since"] == "2013-04-01T05:00:00Z"
    assert objectives["until"] == "2013-04-02T00:00:00Z"
    assert objectives["availability"] == {"promise": 0.99, "measured": None, "n": 0}


def test_a_service_shows_what_today_costs_against_its_ceiling(plane: Plane) -> None:
    plane.answer("reply", CHAT)
    reply, risk = plane.get("/api/services")["services"]
    assert reply["cost_today"] == [
        {"scope": "service:reply", "settled_usd": 0.0002, "held_usd": 0.0, "ceiling_usd": 5.0}
    ]
    assert risk["cost_today"][0]["ceiling_usd"] is None


def test_one_service_shows_its_whole_declaration_and_what_enforces_each_key(plane: Plane) -> None:
    shown = plane.get("/api/services/reply")
    declared = plane.serving.engine.releases["reply"].declaration
    assert shown["declaration"]["cost"]["per_day_usd"] == 5
    assert shown["declaration"]["records"] == {"bodies": "full", "keep_days": 90}
    assert shown["declaration_hash"] == declared.hash
    enforced = {key["path"]: key["enforced_by"] for key in shown["keys"]}
    assert enforced["cost.per_day_usd"] == "cost/ledger.py"
    assert enforced["owners.product"] == "descriptive"


def test_a_stopped_service_refuses_until_it_is_resumed(plane: Plane) -> None:
    stopped = plane.ask("POST", "/api/services/risk/stop", {"reason": "it is wrong"})
    assert stopped.json == {"service": "risk", "model": None, "is_stopped": True}
    assert last_act(plane) == (by_admin(plane), "service.stop", "stop:risk")
    plane.follow()
    assert plane.answer("risk", {"wind": 10.0}).disposition == "refused"
    shown = plane.get("/api/services/risk")["stopped"]
    assert (shown["by"], shown["reason"]) == (by_admin(plane), "it is wrong")

    resumed = plane.ask("POST", "/api/services/risk/resume")
    assert resumed.json["is_stopped"] is False
    assert last_act(plane) == (by_admin(plane), "service.resume", "stop:risk")
    plane.follow()
    assert plane.answer("risk", {"wind": 10.0}).disposition == "answered"
    assert plane.get("/api/services/risk")["stopped"] is None


def test_one_model_of_a_service_is_stopped_by_its_name(plane: Plane) -> None:
    stopped = plane.ask("POST", "/api/services/reply/stop", {"model": "script"})
    assert stopped.json == {"service": "reply", "model": "script", "is_stopped": True}
    plane.follow()
    assert list(plane.get("/api/services/reply")["stopped_models"]) == ["script"]
    unknown = plane.ask("POST", "/api/services/reply/stop", {"model": "scrpt"})
    assert unknown.status == 404
    assert "`script`" in unknown.error["message"]


def test_requests_are_listed_newest_first_page_by_page(plane: Plane) -> None:
    ids = [plane.answer("risk", {"wind": 10.0}).request_id for _ in range(5)]
    first = plane.get("/api/requests?limit=2")
    assert [row["id"] for row in first["requests"]] == [ids[4], ids[3]]
    second = plane.get(f"/api/requests?limit=3&before={first['before']}")
    assert [row["id"] for row in second["requests"]] == [ids[2], ids[1], ids[0]]
    assert (second["before"], second["after"]) == (None, ids[2])
    assert plane.get(f"/api/requests?before={ids[0]}")["requests"] == []


def test_requests_are_paged_back_to_the_newest(plane: Plane) -> None:
    ids = [plane.answer("risk", {"wind": 10.0}).request_id for _ in range(5)]
    assert plane.get("/api/requests?limit=2")["after"] is None
    last = plane.get(f"/api/requests?limit=2&before={ids[1]}")
    middle = plane.get(f"/api/requests?limit=2&after={last['after']}")
    assert [row["id"] for row in middle["requests"]] == [ids[2], ids[1]]
    assert (middle["before"], middle["after"]) == (ids[1], ids[2])
    assert middle["sentence"] == "5 requests in the last 24 hours: all answered in time."
    first = plane.get(f"/api/requests?limit=2&after={middle['after']}")
    assert [row["id"] for row in first["requests"]] == [ids[4], ids[3]]
    assert (first["before"], first["after"]) == (ids[3], None)
    none = plane.get(f"/api/requests?after={ids[4]}")
    assert (none["requests"], none["before"], none["after"]) == ([], None, None)
    assert none["sentence"] == "No newer request matches."


def test_requests_are_filtered_by_whatever_a_record_is_found_by(plane: Plane) -> None:
    answered = plane.answer("risk", {"wind": 10.0}, user="ada").request_id
    failed = plane.answer("risk", {"wind": "strong"}, user="bob").request_id
    replied = plane.answer("reply", CHAT, user="ada").request_id
    body, label = {"input": {"wind": 1.0}}, {b"x-roadworthy-tags": b"web"}
    tagged = plane.ask("POST", "/v1/services/risk/answer", body, headers=label).json["request_id"]
    plane.serving.writer.drain()
    release = plane.serving.engine.releases["reply"].id
    expected = {
        "service=risk": {answered, failed, tagged},
        "disposition=failed": {failed},
        f"release={release}": {replied},
        "model=script": {replied},
        "user=ada": {answered, replied},
        "key=local": {answered, failed, replied},
        "team=nobody": set(),
        "error_code=all_models_failed": {failed},
        "error=no%20MODEL%20gave": {failed},
        "tag=web": {tagged},
        "tag=web&service=reply": set(),
        "since=2013-01-01T00:00:00Z": {answered, failed, replied, tagged},
        "until=2013-01-01T00:00:00Z": set(),
        "user=ada&service=risk": {answered},
    }
    for query, ids in expected.items():
        rows = plane.get(f"/api/requests?{query}")["requests"]
        assert {row["id"] for row in rows} == ids, query


def test_a_request_is_shown_with_bodies_outcomes_and_children(plane: Plane) -> None:
    id = plane.answer("reply", CHAT, user="ada").request_id
    now_us = plane.project.clock.now_us()
    plane.serving.spool.append(
        Outcome(
            id="oc_1",
            request_id=id,
            kind="correct",
            value=True,
            source="agent",
            at_us=now_us,
            known_at_us=now_us,
            by="key:k_1",
        )
    )
    parent = {b"x-roadworthy-parent": id.encode()}
    child = plane.ask("POST", "/v1/services/risk/answer", {"input": {"wind": 1.0}}, headers=parent)
    plane.serving.writer.drain()

    shown = plane.get(f"/api/requests/{id}")
    assert shown["user"] == "ada"
    assert shown["cost_usd"] == 0.0002
    assert shown["reserved_usd"] >= shown["cost_usd"]
    assert shown["scopes"] == ["service:reply"]
    assert shown["input"] == CHAT
    assert shown["output"] == {"text": "soon"}
    assert shown["attempts"][0]["usage"]["input_tokens"] == 100
    assert shown["attempts"][0]["ms"] > 0
    assert {"identify", "reserve", "call"} <= shown["timings_ms"].keys()
    assert shown["first_token_ms"] is None
    assert [(o["kind"], o["value"], o["by"]) for o in shown["outcomes"]] == [
        ("correct", True, "key:k_1")
    ]
    assert [row["id"] for row in shown["children"]] == [child.json["request_id"]]


def test_a_request_that_still_waits_in_the_spool_is_found(plane: Plane) -> None:
    reply = plane.project.service("risk").answer({"wind": 10.0})
    assert plane.get(f"/api/requests/{reply.request_id}")["output"] == {"late": False}


def test_times_are_in_utc_and_money_is_exact(plane: Plane) -> None:
    reply = plane.answer("reply", CHAT)
    got = plane.ask("GET", f"/api/requests/{reply.request_id}")
    at = datetime.fromisoformat(got.json["at"])
    assert got.json["at"].endswith("Z")
    assert at == datetime.fromtimestamp(reply.at_us // MICRO, UTC).replace(
        microsecond=reply.at_us % MICRO
    )
    assert b'"cost_usd":0.0002,' in got.body


def test_the_lineage_of_a_request_leads_to_the_files_and_the_act_behind_it(plane: Plane) -> None:
    id = plane.answer("reply", CHAT).request_id
    shown = plane.get(f"/api/requests/{id}/lineage")
    state = plane.project.state
    told = lineage(state, read_record(state, id))
    assert told.release is not None
    assert shown["record"] == plane.get(f"/api/requests/{id}")
    assert shown["release"]["manifest"]["files"] == told.release.manifest.files
    assert shown["release"]["is_champion"] is True
    assert shown["problem"] == ""
    assert shown["model"]["pin"] == "digest"
    assert [act["hash"] for act in shown["promotions"]] == [act.hash for act in told.promotions]
    assert shown["as_released"] == {"declaration": True, "environment": True}


def test_rollups_are_an_hourly_series_that_begins_with_a_whole_hour(plane: Plane) -> None:
    plane.project.clock.set(1_364_794_200 * MICRO)  # type: ignore[attr-defined]
    plane.answer("reply", CHAT)
    plane.answer("risk", {"wind": 10.0})
    plane.project.clock.set(1_364_799_600 * MICRO)  # type: ignore[attr-defined]
    plane.answer("reply", CHAT)
    shown = plane.get("/api/rollups?service=reply&since=2013-04-01T05:10:00Z")
    assert (shown["by"], shown["since"]) == ("hour", "2013-04-01T05:00:00Z")
    rows = [(row["value"], row["requests"], row["cost_usd"]) for row in shown["rollups"]]
    assert rows == [("2013-04-01T05:00:00Z", 1, 0.0002), ("2013-04-01T07:00:00Z", 1, 0.0002)]


def test_rollups_sum_up_by_whatever_is_asked_for(plane: Plane) -> None:
    plane.answer("reply", CHAT, user="ada")
    plane.answer("reply", CHAT, user="bob")
    plane.answer("risk", {"wind": 10.0}, user="bob")
    expected = {
        "service": {"reply": 2, "risk": 1},
        "user": {"ada": 1, "bob": 2},
        "model": {"script": 2, "by-rule": 1},
        "key": {"local": 3},
        "tag": {},
    }
    for by, counts in expected.items():
        rows = plane.get(f"/api/rollups?by={by}")["rollups"]
        assert {row["value"]: row["requests"] for row in rows} == counts, by


def test_a_release_is_built_shown_and_promoted(plane: Plane) -> None:
    old = plane.serving.engine.releases["risk"].id
    file = plane.project.folder / "services" / "risk" / "service.toml"
    file.write_text(file.read_text().replace("20.0", "25.0"))
    built = plane.ask("POST", "/api/services/risk/releases")
    assert built.status == 201
    new = built.json["release"]
    assert new != old
    assert built.json["is_champion"] is False
    assert last_act(plane) == (by_admin(plane), "release.build", new)
    shown = plane.get(f"/api/releases/{new}")
    assert {name: shown[name] for name in built.json} == built.json

    promoted = plane.ask("POST", f"/api/releases/{new}/promote")
    assert promoted.json["is_champion"] is True
    assert last_act(plane) == (by_admin(plane), "release.promote", new)
    plane.follow()
    assert plane.answer("risk", {"wind": 22.0}).output == {"late": False}
    listed = plane.get("/api/releases?service=risk")["releases"]
    assert [(row["release"], row["is_champion"]) for row in listed] == [(new, True), (old, False)]
    assert len(plane.get("/api/releases?limit=2")["releases"]) == 2


def test_files_that_cannot_be_released_are_refused_with_every_problem(plane: Plane) -> None:
    file = plane.project.folder / "services" / "risk" / "service.toml"
    file.write_text(file.read_text().replace("1000", "-1") + 'colour = "red"\n')
    refused = plane.ask("POST", "/api/services/risk/releases")
    assert (refused.status, refused.error["code"]) == (422, "declaration_error")
    assert "objectives.deadline_ms" in refused.error["message"]
    assert "colour" in refused.error["message"]


def test_the_secret_of_a_key_is_shown_once_and_opens_what_it_may(plane: Plane) -> None:
    wanted = {
        "name": "app",
        "scopes": ["read", "answer"],
        "services": ["risk"],
        "team": "ops",
        "per_day_usd": 0.25,
        "expires": "2100-01-01T00:00:00Z",
    }
    made = plane.ask("POST", "/api/keys", wanted)
    assert made.status == 201
    secret, id = made.json["key"], made.json["id"]
    assert made.json == {"key": secret, "id": id, **wanted, "scopes": ["answer", "read"]}
    assert last_act(plane) == (by_admin(plane), "keys.create", id)
    plane.follow()
    assert plane.ask("GET", "/api/health", key=secret).status == 200

    listed = plane.ask("GET", "/api/keys")
    assert secret.encode() not in listed.body
    entry = listed.json["keys"][-1]
    assert (entry["id"], entry["state"], entry["per_day_usd"]) == (id, "valid", 0.25)

    assert plane.ask("DELETE", f"/api/keys/{id}").json == {"id": id, "state": "revoked"}
    assert last_act(plane) == (by_admin(plane), "keys.revoke", id)
    plane.follow()
    assert plane.ask("GET", "/api/health", key=secret).status == 401
    assert plane.get("/api/keys")["keys"][-1]["state"] == "revoked"


def test_a_job_runs_when_it_is_told_to(plane: Plane) -> None:
    assert [job["name"] for job in plane.get("/api/jobs")["jobs"]] == [
        "budgets",
        "calibrate",
        "certify",
        "examples",
        "learn",
        "leases",
        "pairs",
        "prices",
        "providers",
        "retention",
        "rollouts",
        "rollup",
        "tokens",
        "worth",
    ]
    ran = plane.ask("POST", "/api/jobs/retention/run")
    assert ran.status == 200
    told = "0 records, 0 spendings, 0 notices and 0 answers to cases dropped"
    assert ran.json["last_result"] == told
    assert plane.ask("POST", "/api/jobs/sweep/run").status == 404


def test_a_job_that_another_process_runs_is_left_to_it(plane: Plane) -> None:
    lease = {"lease_owner": "elsewhere:1:ab", "lease_until_us": 4_000_000_000 * MICRO}
    with plane.project.state.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.name == "rollup").values(lease))
    refused = plane.ask("POST", "/api/jobs/rollup/run")
    assert (refused.status, refused.error["code"]) == (409, "project_in_use")


def test_actions_are_listed_page_by_page_and_verified(plane: Plane) -> None:
    first = plane.get("/api/actions?limit=2")
    assert [act["seq"] for act in first["actions"]] == [5, 4]
    second = plane.get(f"/api/actions?limit=3&before={first['before']}")
    assert [act["seq"] for act in second["actions"]] == [3, 2, 1]
    assert second["actions"][0]["hash"] == first["actions"][1]["previous"]
    promoted = plane.get("/api/actions?action=release.promote")["actions"]
    assert [act["by"] for act in promoted] == ["up", "up"]
    chain = plane.get("/api/actions/verify")
    assert chain["head"] == first["actions"][0]["hash"]
    assert (chain["length"], chain["problem"]) == (5, "")


def test_a_changed_action_breaks_the_chain(plane: Plane) -> None:
    path = plane.project.folder / ".roadworthy" / "state.db"
    with sqlite3.connect(path) as connection:
        triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in triggers.fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE actions SET by = 'nobody' WHERE seq = 3")
    connection.close()
    chain = plane.get("/api/actions/verify")
    assert chain["broken_at"] == 3
    assert "action 3 was changed" in chain["problem"]


def test_an_admin_sets_the_clock_of_a_replay(plane: Plane) -> None:
    set_to = plane.ask("PUT", "/api/clock", {"now": "2013-04-01T05:00:00Z"})
    assert set_to.json["now"].startswith("2013-04-01T05:00:0")
    assert set_to.json["clock"] == "settable"
    assert plane.get("/api/clock")["now"].startswith("2013-04-01T05:00:0")
    act = list_actions(plane.project.state, limit=1)[0]
    assert (act.by, act.action) == (by_admin(plane), "clock.set")
    assert act.detail == {"to": "2013-04-01T05:00:00Z"}
    id = plane.answer("risk", {"wind": 10.0}).request_id
    assert plane.get(f"/api/requests/{id}")["at"].startswith("2013-04-01T05:")


def test_a_clock_that_is_the_machines_cannot_be_set(tmp_path: Path) -> None:
    with served(tmp_path, clock="system") as plane:
        refused = plane.ask("PUT", "/api/clock", {"now": "2013-04-01T05:00:00Z"})
        assert (refused.status, refused.error["code"]) == (403, "forbidden")
        assert "`project.clock`" in refused.error["message"]
        assert plane.get("/api/clock")["clock"] == "system"


def test_health_says_what_is_degraded(plane: Plane) -> None:
    assert plane.get("/api/health") == {
        "status": "ok",
        "trouble": {},
        "in_flight": 0,
        "warnings": {},
    }


def test_a_user_is_forgotten_but_what_they_cost_is_not(plane: Plane) -> None:
    id = plane.answer("reply", CHAT, user="team/ada").request_id
    waiting: Any = plane.project.service("risk").answer({"wind": 1.0}, user="team/ada")
    gone = plane.ask("DELETE", "/api/users/team/ada/records")
    assert (gone.json["records"], gone.json["bodies"]) == (2, 2)
    assert last_act(plane) == (by_admin(plane), "records.delete", gone.json["pseudonym"])
    assert b"team/ada" not in plane.ask("GET", "/api/actions").body
    segments = [path for path in plane.serving.spool.folder.rglob("*") if path.is_file()]
    assert not any(b"team/ada" in segment.read_bytes() for segment in segments)
    assert plane.get("/api/requests?user=team/ada")["requests"] == []
    for request_id in (id, waiting.request_id):
        shown = plane.get(f"/api/requests/{request_id}")
        assert (shown["user"], shown["input"]) == (gone.json["pseudonym"], None)
    assert plane.get(f"/api/requests/{id}")["cost_usd"] == 0.0002
