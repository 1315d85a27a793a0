"""The rung of the ladder where the release answers that served before."""

from __future__ import annotations

import pytest

from candidates import ask, follow, record_of, split
from conftest import MakeProject
from roadworthy.app import Project
from roadworthy.errors import DeclarationError

SERVICE = """
name = "late"
kind = "predict"
owners = {{ product = "test" }}
objectives = {{ deadline_ms = 2000 }}
cost = {{}}
{more}
[[models]]
name = "own"
provider = "rule"
model = "{model}"
[[fallback]]
use = "last_good"
"""
GOOD = "{'by': 'first', 'p': input.p}"
BAD = "{'by': 'second', 'p': input.gone}"


def promote(project: Project, model: str, more: str = "") -> str:
    """Release a model and let it serve."""
    file = project.folder / "services/late/service.toml"
    file.write_text(SERVICE.format(model=model, more=more))
    release = project.build_release("late", by="test").id
    project.promote(release, by="test")
    follow(project)
    return release


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    made = make_project({"late": SERVICE.format(model=GOOD, more="")})
    made.promote(made.build_release("late", by="test").id, by="test")
    return made


def test_it_answers_when_the_models_of_what_serves_fail(project: Project) -> None:
    release = promote(project, BAD)
    reply = ask(project, "ada", p=0.4)
    assert (reply.disposition, reply.output) == ("fallback", {"by": "first", "p": 0.4})
    record = record_of(project, reply)
    assert record.release == release
    assert [(a.model, a.status) for a in record.attempts] == [
        ("own", "model_rejected"),
        ("own", "ok"),
        ("last_good:1", "ok"),
    ]


def test_there_is_none_before_a_second_release(make_project: MakeProject) -> None:
    project = make_project({"late": SERVICE.format(model=BAD, more="")})
    reply = ask(project, "ada")
    assert reply.disposition == "failed"
    assert "no release served before" in record_of(project, reply).attempts[-1].detail


def test_of_a_candidate_it_is_what_serves_now(project: Project) -> None:
    file = project.folder / "services/late/service.toml"
    file.write_text(SERVICE.format(model=BAD, more=""))
    split(project, project.build_release("late", by="test").id, 1.0)
    reply = ask(project, "ada", p=0.4)
    assert (reply.disposition, reply.output) == ("fallback", {"by": "first", "p": 0.4})
    assert record_of(project, reply).arm == "candidate"


def test_it_follows_the_pointer(project: Project) -> None:
    promote(project, "{'by': 'second', 'p': input.p}")
    promote(project, BAD)
    assert ask(project, "ada").output["by"] == "second"


def test_its_answer_is_judged_by_what_serves_now(project: Project) -> None:
    guard = '[[guards]]\nuse = "rule"\nexpression = "output.p < 0.9"\n'
    promote(project, BAD, guard)
    assert ask(project, "ada", p=0.5).disposition == "fallback"
    denied = ask(project, "ada", p=0.95)
    assert (denied.disposition, denied.output) == ("failed", None)


def test_one_that_cannot_be_opened_is_a_missing_rung_and_health_says_so(
    make_project: MakeProject,
) -> None:
    more, files = '[contract]\ninput = "in.json"\n', {"services/late/in.json": "{}"}
    project = make_project({"late": SERVICE.format(model=GOOD, more=more)}, files=files)
    first = project.build_release("late", by="test")
    project.promote(first.id, by="test")
    path = project.artifacts.path(first.manifest.files["in.json"])
    path.chmod(0o600)
    path.write_text("[]")
    promote(project, BAD)
    reply = ask(project, "ada")
    assert reply.disposition == "failed"
    assert first.id in project.serving.health()["trouble"]["last good of late"]
    promote(project, "{'by': 'third', 'p': input.p}")
    assert "last good of late" not in project.serving.health()["trouble"]


PAID = """
[providers.paid]
kind = "scripted"
[providers.paid.prices."script.jsonl"]
input_usd_per_million = 1.0
output_usd_per_million = 10.0
"""
REPLY = """
name = "late"
kind = "generate"
owners = {{ product = "test" }}
objectives = {{ deadline_ms = 2000 }}
cost = {{ per_request_usd = {per_request}, per_day_usd = {per_day}{more} }}
[[models]]
name = "script"
provider = "paid"
model = "script.jsonl"
max_output_tokens = 100
[[fallback]]
use = "last_good"
"""
ANSWERS = '{"text": "soon", "usage": {"input_tokens": 100, "output_tokens": 10}}\n'
FAILS = '{"error": "model_unavailable"}\n'


def paid(make_project: MakeProject, per_request: float = 0.01) -> Project:
    """Return a project whose champion fails, and whose last release costs something."""
    texts = {"services/late/script.jsonl": ANSWERS}
    service = REPLY.format(per_request=per_request, per_day=5, more="")
    project = make_project({"late": service}, files=texts, project=PAID)
    project.promote(project.build_release("late", by="test").id, by="test")
    (project.folder / "services/late/script.jsonl").write_text(FAILS)
    project.promote(project.build_release("late", by="test").id, by="test")
    return project


def test_what_it_costs_is_set_aside_and_counted(make_project: MakeProject) -> None:
    project = paid(make_project)
    reply = project.service("late").answer({"text": "when?"}, user="ada")
    assert (reply.disposition, reply.cost_micro) == ("fallback", 200)
    record = record_of(project, reply)
    assert record.reserved_micro >= 2 * 1_000  # a whole answer of each
    assert project.serving.ledger.spent("service:late") == (200, 0)


def test_it_is_skipped_where_there_is_no_money_for_it(make_project: MakeProject) -> None:
    project = paid(make_project, per_request=0.001)
    reply = project.service("late").answer({"text": "when?"}, user="ada")
    assert (reply.disposition, reply.cost_micro) == ("failed", 0)
    assert "too_dear" in {attempt.status for attempt in record_of(project, reply).attempts}


def test_it_counts_as_no_free_rung(make_project: MakeProject) -> None:
    service = REPLY.format(per_request=0.01, per_day=5, more=', on_exhausted = "fallback"')
    files = {"services/late/script.jsonl": ANSWERS}
    project = make_project({"late": service}, files=files, project=PAID)
    with pytest.raises(DeclarationError, match=r"cost\.on_exhausted"):
        project.load("late")
