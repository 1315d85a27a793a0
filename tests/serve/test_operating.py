"""What a person does while a service runs: stop it, stop a model, promote another release."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import write_project
from live import Live, serve, until
from roadworthy.app import open_project
from roadworthy.release.promotion import promote

pytestmark = pytest.mark.slow

SERVICE = """
name = "triage"
kind = "predict"
owners = {{ product = "test" }}
objectives = {{ deadline_ms = 1000 }}
cost = {{}}
[[models]]
name = "first"
provider = "rule"
model = "{{'by': '{by}'}}"
[[models]]
name = "second"
provider = "rule"
model = "{{'by': 'second'}}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_project(tmp_path, {"triage": SERVICE.format(by="first")})


@pytest.fixture
def live(folder: Path) -> Iterator[Live]:
    with serve(folder) as running:
        yield running


def test_a_stopped_service_refuses_until_it_is_resumed(live: Live) -> None:
    live.serving.switchboard.stop("triage", by="test", reason="drill")
    until(lambda: live.answer("triage", {}).status == 503)
    assert live.answer("triage", {}).code == "service_stopped"
    assert live.records()[0].disposition == "refused"
    live.serving.switchboard.resume("triage", by="test")
    until(lambda: live.answer("triage", {}).status == 200)


def test_a_stopped_model_is_skipped(live: Live) -> None:
    assert live.answer("triage", {}).json["model"] == "first"
    live.serving.switchboard.stop("triage", "first", by="test")
    until(lambda: live.answer("triage", {}).json["model"] == "second")
    assert [a.status for a in live.records()[0].attempts] == ["stopped", "ok"]
    live.serving.switchboard.resume("triage", "first", by="test")
    until(lambda: live.answer("triage", {}).json["model"] == "first")


def test_a_promoted_release_takes_over_while_requests_go_on(live: Live, folder: Path) -> None:
    before = live.answer("triage", {}).json
    (folder / "services/triage/service.toml").write_text(SERVICE.format(by="newer"))
    assert live.answer("triage", {}).json["output"] == {"by": "first"}
    assert any("differ" in line for line in live.serving.describe())

    with open_project(folder) as other:
        built = other.build_release("triage", by="test")
        promote(other.state, other.clock, built.id, by="test")

    answers = []

    def is_newer() -> bool:
        answers.append(live.answer("triage", {}))
        return bool(answers[-1].json["output"]["by"] == "newer")

    until(is_newer)
    assert all(got.status == 200 for got in answers)
    assert answers[-1].json["release"] == built.id != before["release"]

    with open_project(folder) as other:
        promote(other.state, other.clock, before["release"], by="test")
    until(lambda: live.answer("triage", {}).json["output"] == {"by": "first"})


def test_a_release_that_will_not_open_leaves_the_old_one_serving(live: Live, folder: Path) -> None:
    broken = SERVICE.format(by="x").replace("'second'", "input.missing.deeply(")
    text = broken.replace("input.missing.deeply(", "'y'").replace('"rule"', '"python"', 1)
    text = text.replace("""model = "{'by': 'x'}\"""", 'model = "absent:answer"')
    project_file = folder / "roadworthy.toml"
    project_file.write_text(project_file.read_text() + '[providers.python]\nkind = "python"\n')
    (folder / "services/triage/service.toml").write_text(text)
    with open_project(folder) as other:
        built = other.build_release("triage", by="test")
        promote(other.state, other.clock, built.id, by="test")

    until(lambda: live.ask("GET", "/healthz").json["status"] == "degraded")
    assert live.answer("triage", {}).json["output"] == {"by": "first"}
    assert built.id in str(live.ask("GET", "/healthz").json["trouble"])


def test_a_second_process_is_told_who_serves(live: Live, folder: Path) -> None:
    from roadworthy.errors import StoreBusy

    with open_project(folder) as other, pytest.raises(StoreBusy, match="is served by process"):
        other.service("triage").answer({})


GUARDED = """
name = "guarded"
kind = "predict"
owners = { product = "test" }
objectives = { deadline_ms = 1000 }
cost = {}
[[models]]
name = "bold"
provider = "rule"
model = "{'risk': 2.0}"
[[models]]
name = "timid"
provider = "rule"
model = "{'risk': input.second}"
[[guards]]
use = "rule"
on = "output"
name = "is-a-share"
expression = "output.risk <= 1.0"
[[fallback]]
use = "static"
output = { risk = 0.5 }
"""


def test_every_verdict_is_recorded_whichever_model_answered_in_the_end(tmp_path: Path) -> None:
    with serve(write_project(tmp_path, {"guarded": GUARDED})) as live:
        assert live.answer("guarded", {"second": 0.2}).json["model"] == "timid"
        assert live.answer("guarded", {"second": 3.0}).json["disposition"] == "fallback"

        fallback, second = live.records()
        assert [v.verdict for v in second.verdicts] == ["deny", "allow"]
        assert [v.verdict for v in fallback.verdicts] == ["deny", "deny", "allow"]
        assert [a.status for a in second.attempts] == ["rejected", "ok"]
        page = live.ask("GET", "/metrics").body.decode()
        assert 'guard="is-a-share",verdict="deny"} 3' in page


def test_an_answer_that_may_not_be_shown_is_refused_where_there_is_no_ladder(
    tmp_path: Path,
) -> None:
    text = GUARDED.partition("[[fallback]]")[0]
    with serve(write_project(tmp_path, {"guarded": text})) as live:
        got = live.answer("guarded", {"second": 3.0})
        assert (got.status, got.code) == (403, "guard_denied")
        assert "is-a-share" in got.json["error"]["message"]
        assert live.records()[0].disposition == "refused"


def test_a_key_for_one_service_sees_no_other(live: Live) -> None:
    narrow = live.new_key("answer", "read", services=("elsewhere",))
    assert live.answer("triage", {}, key=narrow).status == 403
    assert live.ask("GET", "/v2/models/triage", key=narrow).status == 403
    assert live.ask("GET", "/v1/models", key=narrow).json["data"] == []


def test_a_stopped_service_is_not_ready(live: Live) -> None:
    assert live.ask("GET", "/v2/models/triage/ready").json["ready"] is True
    live.serving.switchboard.stop("triage", by="test")
    until(lambda: live.ask("GET", "/v2/models/triage/ready").status == 503)


def test_the_kind_of_a_service_is_not_told_without_a_key(live: Live) -> None:
    body = {"model": "triage", "messages": []}
    got = live.ask("POST", "/v1/chat/completions", body, key="rw_wrong")
    assert got.status == 401
