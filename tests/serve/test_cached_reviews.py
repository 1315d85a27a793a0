"""What people decide of an answer holds for whoever would be given it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from conftest import MakeProject, write_project
from live import Live, chat_service, provider_up, serve
from roadworthy.app import Project
from roadworthy.models.faulty import FaultyUpstream
from roadworthy.review.desk import InForce
from roadworthy.review.rulings import Ruling, rule_on
from roadworthy.serve.caches import ReleaseCache
from roadworthy.serve.request import Reply
from roadworthy.store.switchboard import move_pointer
from roadworthy.store.tables import reviews

QUEUE = '[queues.desk]\nowner = "Ada"\n'
SERVICE = """
name = "late"
kind = "predict"
owners = { product = "test" }
objectives = { deadline_ms = 2000 }
cost = { per_day_usd = 1 }
[[models]]
name = "own"
provider = "rule"
model = "{'label': input.p >= 0.5, 'probability': input.p}"
"""

CACHED = """
[cache]
exact_ttl_s = 3600
scope = "all"
[review]
max_error = 0.1
queue = "desk"
when = ["input.p > 0.99"]
[[fallback]]
use = "static"
output = { label = false, probability = 0.2 }
"""


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    made = make_project({"late": SERVICE + CACHED}, project=QUEUE)
    certify(made)
    return made


def certify(project: Project, certificate: str = "ct_1", **fields: Any) -> None:
    """Put a certificate in force, as the job that certifies does; all is audited."""
    release = project.serving.engine.releases["late"].id
    fields = {"audit_share": 1.0, **fields}
    said = InForce(certificate, 0.6, release, "own", **fields)
    with project.state.begin() as connection:
        move_pointer(connection, "automation:late", msgspec.json.encode(said).decode())
    follow(project)


def follow(project: Project) -> None:
    project.run(project.serving.follow()).result()


def ask(project: Project, p: float = 0.9, **fields: Any) -> Reply:
    return project.service("late").answer({"p": p}, **fields)


def cache_of(project: Project) -> ReleaseCache:
    cache = project.serving.engine.releases["late"].cache
    assert isinstance(cache, ReleaseCache)
    return cache


def rule(project: Project, request_id: str, **fields: Any) -> None:
    """Decide the audit of a request."""
    project.serving.writer.drain()
    with project.state.connect() as connection:
        query = reviews.select().where(reviews.c.request_id == request_id)
        row = connection.execute(query).one()
    given = {"digest": row.digest} if fields["decision"] == "approve" else {}
    reason = {} if given else {"reason_code": "wrong_label"}
    ruling = Ruling(**{**given, **reason, **fields})
    rule_on(project.state, project.clock, row.id, ruling, by="ada")
    follow(project)


def test_an_answer_that_a_reviewer_rejects_is_given_to_nobody_again(project: Project) -> None:
    first = ask(project)
    hit = ask(project, user="bob")
    assert (first.disposition, hit.disposition) == ("answered", "cached")
    rule(project, first.request_id, decision="reject")
    assert [(gone.source, gone.why) for gone in cache_of(project).gone] == [
        (first.request_id, "corrected")
    ]
    assert ask(project, user="cy").disposition == "answered"


def test_a_correction_leaves_no_old_answer_behind(project: Project) -> None:
    first = ask(project)
    rule(project, first.request_id, decision="correct", output={"label": False, "probability": 0.1})
    assert len(cache_of(project).kept) == 0
    again = ask(project, user="bob")
    assert (again.disposition, again.cache) == ("cached", "correction")
    assert again.output["label"] is False


def test_an_answer_that_was_approved_stays(project: Project) -> None:
    first = ask(project)
    rule(project, first.request_id, decision="approve")
    assert ask(project).disposition == "cached"


def test_once_its_certificate_holds_no_more_it_is_not_given_alone_again(project: Project) -> None:
    assert ask(project).disposition == "answered"
    assert ask(project).disposition == "cached"
    certify(project, "ct_2")
    assert ask(project).disposition == "answered"
    certify(project, "ct_2", is_stopped=True)
    project.serving.switchboard.ask_people("late", by="test")
    follow(project)
    assert ask(project).disposition == "review"


def test_what_waits_for_a_person_is_not_kept(project: Project) -> None:
    assert ask(project, 0.999).disposition == "review"
    assert ask(project, 0.999).disposition == "review"
    assert len(cache_of(project).kept) == 0


STREAM = {"model": "reply", "stream": True, "messages": [{"role": "user", "content": "when?"}]}


def test_a_stream_is_kept_whole(tmp_path: Path) -> None:
    with FaultyUpstream(answer="Soon, I think.", models=("m",), chunks=4) as upstream:
        service = chat_service(cost="per_day_usd = 5", more="max_output_tokens = 50")
        service += "\n[cache]\nexact_ttl_s = 3600\n"
        up = provider_up(upstream, input_usd=1.0, output_usd=10.0)
        folder = write_project(tmp_path / "project", {"reply": service}, {}, up)
        with serve(folder) as live:
            _ask_streams(live, upstream)


def _ask_streams(live: Live, upstream: FaultyUpstream) -> None:
    first = live.ask("POST", "/v1/chat/completions", STREAM)
    assert first.headers["x-roadworthy-disposition"] == "answered"
    again = live.ask("POST", "/v1/chat/completions", STREAM)
    assert again.headers["x-roadworthy-cache"] == "exact"
    assert b"Soon, I think." in again.body
    whole = live.ask("POST", "/v1/chat/completions", {**STREAM, "stream": False})
    assert whole.headers["x-roadworthy-cache"] == "exact"
    assert whole.json["choices"][0]["message"]["content"] == "Soon, I think."
    assert upstream.accepted == 1
