"""A request is asked again, of the release that answered it, and nothing of it is left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

import feature_project
from conftest import MakeProject, write_project
from live import chat_service, provider_up, serve
from roadworthy.app import Project
from roadworthy.app.replays import replay_request
from roadworthy.errors import Forbidden, NotFound, RequestError
from roadworthy.models.faulty import FaultyUpstream
from roadworthy.plugins import load_plugin
from roadworthy.store.records import find_records, record_row
from roadworthy.store.tables import records
from roadworthy.types import Record, SettableClock

RULE = """
name = "wind"
kind = "predict"
owners = { product = "test" }
objectives = { deadline_ms = 1000 }
cost = {}
[[models]]
name = "rule"
provider = "rule"
model = '{"probability": input.p * 1.1}'
"""

ONNX_PROVIDER = """
[providers.onnx]
kind = "onnx"
"""
ONNX_SERVICE = """
name = "late"
kind = "predict"
owners = { product = "test" }
contract = { input = "input.json" }
objectives = { deadline_ms = 1000 }
cost = {}
[[models]]
name = "late"
provider = "onnx"
model = "late.onnx"
"""
ONNX_INPUT = '{"type": "object", "properties": {"minutes": {"type": "number"}}}'


def records_of(project: Project) -> list[Record]:
    project.serving.writer.drain()
    return find_records(project.state, limit=500)


def ask(project: Project, name: str, values: dict[str, Any], **who: Any) -> str:
    reply = project.service(name).answer(values, **who)
    project.serving.writer.drain()
    return reply.request_id


def test_the_same_release_answers_to_the_last_bit(make_project: MakeProject) -> None:
    project = make_project({"wind": RULE})
    id = ask(project, "wind", {"p": 0.1}, user="ann", role="pilot", tags=("a",))
    found = replay_request(project, id)
    assert (found.same, found.diff, found.is_exact) == (True, (), True)
    assert found.replayed.output == {"probability": 0.1 * 1.1}
    assert found.recorded.output == found.replayed.output
    assert found.release == found.recorded_release


def test_a_replay_leaves_nothing_behind(make_project: MakeProject) -> None:
    project = make_project({"wind": RULE})
    id = ask(project, "wind", {"p": 0.1})
    before = [record.id for record in records_of(project)]
    replay_request(project, id)
    assert [record.id for record in records_of(project)] == before


def test_a_release_that_serves_no_more_answers_again(make_project: MakeProject) -> None:
    project = make_project({"wind": RULE})
    id = ask(project, "wind", {"p": 0.1})
    file = project.folder / "services" / "wind" / "service.toml"
    file.write_text(RULE.replace("1.1", "2.0"))
    newer = project.build_release("wind", by="test")
    project.promote(newer.id, by="test")
    file.unlink()
    file.write_text(RULE.replace("1.1", "3.0"))

    assert replay_request(project, id).same
    found = replay_request(project, id, release_id=newer.id)
    (change,) = found.diff
    assert not found.same
    assert (change.path, change.before, change.after) == ("$.probability", 0.1 * 1.1, 0.1 * 2.0)
    assert any("answered then" in note for note in found.notes)


def test_without_bodies_it_is_said_which_key_keeps_them(make_project: MakeProject) -> None:
    project = make_project({"wind": RULE + '[records]\nbodies = "none"\n'})
    id = ask(project, "wind", {"p": 0.1})
    with pytest.raises(NotFound, match=r"records\.bodies"):
        replay_request(project, id)


def test_what_was_refused_is_refused_alike(make_project: MakeProject) -> None:
    guard = '[[guards]]\nuse = "rule"\non = "input"\nexpression = "input.p < 1.0"\n'
    project = make_project({"wind": RULE + guard})
    found = replay_request(project, ask(project, "wind", {"p": 2.0}))
    assert (found.same, found.recorded.error_code) == (True, "guard_denied")


def test_the_features_of_then_are_given_again(make_project: MakeProject) -> None:
    pytest.importorskip("duckdb")
    project = make_project(
        {"wind": feature_project.SERVICE},
        feature_project.SERVICE_FILES,
        feature_project.SOURCES,
    )
    assert isinstance(project.clock, SettableClock)
    project.clock.set(feature_project.AT_US)
    features = load_plugin("features", "local")(project.declaration, project.state, project.clock)
    features.apply(by="test")
    features.close()
    project.serving.open_features().fill_all(["weather_now@1"])
    id = ask(project, "wind", {"origin": "EWR"})
    (record,) = records_of(project)
    assert record.features is not None
    assert record.features["values"]["wind_mph"] == 12.5

    project.clock.set(feature_project.AT_US + 30 * 86_400_000_000)
    found = replay_request(project, id)
    assert (found.same, found.replayed.output) == (True, {"wind": 12.5})


def test_an_onnx_model_answers_to_the_last_bit(make_project: MakeProject) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    project = make_project(
        {"late": ONNX_SERVICE}, {"services/late/input.json": ONNX_INPUT}, ONNX_PROVIDER
    )
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    weight = helper.make_tensor("weight", floats, [], [0.3])
    nodes = [
        helper.make_node("Mul", ["minutes", "weight"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["probability"]),
    ]
    ports = [helper.make_tensor_value_info(n, floats, ["N", 1]) for n in ("minutes", "probability")]
    graph = helper.make_graph(nodes, "late", ports[:1], ports[1:], initializer=[weight])
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.save(model, project.folder / "services" / "late" / "late.onnx")

    ids = [ask(project, "late", {"minutes": n / 7}) for n in range(1, 6)]
    found = [replay_request(project, id) for id in ids]
    assert all(one.same and one.is_exact for one in found)
    assert len({str(one.replayed.output) for one in found}) == len(ids)


def test_what_waits_for_a_person_is_compared_by_what_the_models_had_said(
    make_project: MakeProject,
) -> None:
    review = '[review]\nqueue = "desk"\non_expiry = "refuse"\nwhen = ["input.p > 0.5"]\n'
    project = make_project({"wind": RULE + review}, project='[queues.desk]\nowner = "Ada"\n')
    reply = project.service("wind").answer({"p": 0.9})
    assert reply.disposition == "review"
    project.serving.writer.drain()
    found = replay_request(project, reply.request_id)
    assert (found.same, found.diff) == (True, ())
    assert found.recorded.output == {"probability": 0.9 * 1.1}
    assert any("held for a person" in note for note in found.notes)


def test_what_went_down_the_ladder_says_why(make_project: MakeProject) -> None:
    denied = '[[guards]]\nuse = "rule"\nexpression = "output.probability < 0.5"\n'
    ladder = '[[fallback]]\nuse = "static"\noutput = { probability = 0.1 }\n'
    project = make_project({"wind": RULE + denied + ladder})
    found = replay_request(project, ask(project, "wind", {"p": 0.9}))
    assert (found.same, found.recorded.model, found.replayed.model) == (
        True,
        "static:1",
        "static:1",
    )
    assert any("went down the ladder" in note for note in found.notes)


def test_other_packages_than_then_are_noted(make_project: MakeProject) -> None:
    project = make_project({"wind": RULE})
    id = ask(project, "wind", {"p": 0.1})
    (record,) = records_of(project)
    older = msgspec.structs.replace(record, environment_hash="other")
    row = dict(zip([column.name for column in records.c], record_row(older), strict=True))
    with project.state.begin() as connection:
        connection.execute(update(records).where(records.c.id == id).values(**row))
    found = replay_request(project, id)
    assert found.same
    assert any("other packages" in note for note in found.notes)


def test_a_chat_is_asked_as_its_client_sent_it(tmp_path: Path) -> None:
    with FaultyUpstream(answer="at noon") as upstream:
        folder = write_project(
            tmp_path / "project",
            {"reply": chat_service(cost="per_day_usd = 5")},
            project=provider_up(upstream, input_usd=1.0, output_usd=2.0),
        )
        with serve(folder) as live:
            for stream in (False, True):
                assert live.chat("reply", "when?", stream=stream, temperature=0.5).status == 200
            found = [
                replay_request(live.project, record.id, is_paid=True) for record in live.records()
            ]
        assert [one.same for one in found] == [True, True]
        assert [one.similarity for one in found] == [1.0, 1.0]
        assert {json.loads(sent.body)["temperature"] for sent in upstream.requests} == {0.5}


def test_python_replays_through_the_same_door(make_project: MakeProject) -> None:
    project = make_project({"wind": RULE})
    id = ask(project, "wind", {"p": 0.1})
    assert project.replay(id).same


def test_paid_models_are_asked_only_where_that_is_allowed(make_project: MakeProject) -> None:
    with FaultyUpstream() as upstream:
        project = make_project(
            {"reply": chat_service(cost="per_day_usd = 5")},
            project=provider_up(upstream, input_usd=1.0, output_usd=2.0),
        )
        id = ask(project, "reply", {"text": "hello"})
        with pytest.raises(Forbidden, match=r"at most about \$"):
            replay_request(project, id)
        spent = sum(record.cost_micro for record in records_of(project))
        found = replay_request(project, id, is_paid=True)
        assert found.replayed.disposition == "answered"
        assert not found.is_exact
        assert found.similarity is not None
        assert any("otherwise each time" in note for note in found.notes)
        assert sum(record.cost_micro for record in records_of(project)) == spent

        poor = replay_request(project, id, budget_micro=0)
        assert (poor.same, poor.replayed.error_code) == (False, "budget_exhausted")


def test_an_unknown_request_is_not_found(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project({"wind": RULE})
    with pytest.raises(NotFound):
        replay_request(project, "rq_none")


def test_a_release_of_another_service_is_refused(make_project: MakeProject) -> None:
    project = make_project({"wind": RULE, "rain": RULE.replace('"wind"', '"rain"')})
    other = project.build_release("rain", by="test")
    id = ask(project, "wind", {"p": 0.5})
    with pytest.raises(RequestError, match="expected a release of `wind`, which was asked"):
        replay_request(project, id, release_id=other.id)
