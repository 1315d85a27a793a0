"""What the jobs that keep bounds leave, and how desks obey it."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import select

from conftest import MakeProject
from roadworthy.app import Project
from roadworthy.app import bounds as jobs
from roadworthy.review.calibrate import fitted
from roadworthy.review.combine import fitted as fitted_score
from roadworthy.review.scoring import SIGNALS
from roadworthy.review.terms import Subject
from roadworthy.store.calibrations import StoredCalibration, add_calibration
from roadworthy.store.scorers import StoredScorer, add_scorer
from roadworthy.store.switchboard import move_pointer
from roadworthy.store.tables import drafts

QUEUE = '[queues.desk]\nowner = "Ada"\n'
LATE = """
name = "late"
kind = "predict"
owners = { product = "test" }
objectives = { deadline_ms = 2000 }
cost = { per_day_usd = 1 }
[[models]]
name = "own"
provider = "rule"
model = "{'label': input.p >= 0.5, 'probability': input.p}"
[[fallback]]
use = "static"
output = { label = false, probability = 0.2 }
[review]
max_error = 0.1
queue = "desk"
"""
CHAT = """
name = "chat"
kind = "generate"
owners = { product = "test" }
objectives = { deadline_ms = 2000 }
cost = { per_day_usd = 1 }
[[models]]
name = "own"
provider = "rule"
model = "{'text': 'It costs 17 dollars.'}"
[[fallback]]
use = "static"
output = { text = "later" }
[review]
max_error = 0.1
queue = "desk"
"""


def drafts_of(project: Project) -> list[tuple[str, float | None, str]]:
    project.serving.writer.drain()
    with project.state.connect() as connection:
        query = select(drafts.c.scorer, drafts.c.confidence, drafts.c.signals)
        return [tuple(row) for row in connection.execute(query.order_by(drafts.c.at_us))]


def test_a_confidence_is_that_of_the_release_that_answers(make_project: MakeProject) -> None:
    project = make_project({"late": LATE}, project=QUEUE)
    release = project.serving.engine.releases["late"].id
    random = np.random.default_rng(1)
    scores = random.uniform(0.5, 1, 500)
    detail = fitted(scores, random.random(500) < 0.6)
    for id, whose in (("ca_1", "rl_other"), ("ca_2", release)):
        stored = StoredCalibration(
            id=id, service="late", release=whose, scorer="own", at_us=1, n=500, detail=detail
        )
        with project.state.begin() as connection:
            move_pointer(connection, "calibration:late", id)
            add_calibration(connection, stored)
        project.run(project.serving.follow()).result()
        project.service("late").answer({"p": 0.9})
    (_, first, _), (_, second, _) = drafts_of(project)
    assert first is None, "fitted for another release"
    assert second == pytest.approx(0.6, abs=0.1)


def test_a_fitted_score_takes_the_place_of_the_first(make_project: MakeProject) -> None:
    project = make_project({"chat": CHAT}, project=QUEUE)
    release = project.serving.engine.releases["chat"].id
    random = np.random.default_rng(2)
    rows = random.random((300, len(SIGNALS)))
    detail, _ = fitted_score(rows, rows[:, 5] < 0.5, np.full(300, np.nan))
    project.service("chat").answer({"text": "What does a dog cost?"})
    with project.state.begin() as connection:
        move_pointer(connection, "scorer:chat", "fit_1")
        stored = StoredScorer(
            id="fit_1", service="chat", release=release, at_us=1, n=300, detail=detail
        )
        add_scorer(connection, stored)
    project.run(project.serving.follow()).result()
    project.service("chat").answer({"text": "What does a dog cost?"})
    (first, _, signals), (second, _, _) = drafts_of(project)
    assert (first, second) == ("least-support", "fit_1")
    assert "null" in signals
    assert "4.0" in signals, "words are counted"


def test_what_one_service_raises_keeps_no_other_from_its_alarm(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = LATE.replace('"late"', '"other"')
    project = make_project({"late": LATE, "other": other}, project=QUEUE)
    seen: list[str] = []

    def certify(_: object, subject: Subject) -> str:
        seen.append(subject.service)
        raise ValueError("broken")

    assert project.serving
    monkeypatch.setattr(jobs, "certify", certify)
    state = project.serving.jobs.run_now("certify")
    assert seen == ["late", "other"]
    assert "broken" in state.last_error


def test_without_a_bound_there_is_nothing_to_do(make_project: MakeProject) -> None:
    project = make_project({"late": LATE.partition("[review]")[0]})
    for job in ("certify", "calibrate"):
        assert project.serving.jobs.run_now(job).last_result == "no service has a bound"
