"""An answer is given to another question that means the same, only within a certified bound."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from conftest import MakeProject
from roadworthy.app import Project
from roadworthy.bounds.in_force import Within
from roadworthy.errors import MissingExtra
from roadworthy.serve.auditing import Auditing
from roadworthy.serve.caches import ReleaseCache
from roadworthy.serve.request import Reply, Request
from roadworthy.serve.semantic import Semantic
from roadworthy.signals.embed import open_minilm
from roadworthy.store.pairs import add_pairs
from roadworthy.store.records import read_record
from roadworthy.store.switchboard import move_pointer
from roadworthy.types import DAY_US, Key, Pair, Record, SettableClock, SpoolEntry

SERVICE = """
name = "reply"
kind = "generate"
owners = {{ product = "test" }}
objectives = {{ deadline_ms = 20000 }}
cost = {{ per_day_usd = 1 }}
[chat]
variable = "question"
client_system = "untrusted"
allow = ["temperature", "tools"]
[cache]
scope = "all"
{cache}
semantic = {{ max_error = 0.05 }}
[[models]]
name = "script"
provider = "scripted"
model = "script.jsonl"
{more}
"""
ONE = "How do I track my new card?"
OTHER = "how can I track the new card please"
KEY = Key("k1", "one", frozenset({"answer", "act_as"}), team="red")


def always(text: str) -> str:
    return json.dumps({"text": text})


def numbered() -> str:
    return "\n".join(json.dumps({"text": f"wait {number} days"}) for number in range(2, 30))


class Desk:
    """A project whose cache is at work, and the pairs that it kept."""

    def __init__(self, project: Project) -> None:
        self.project = project
        project.serving.jobs.run_now("pairs")  # it is not due again while a test runs
        self.follow()
        release = project.serving.engine.releases["reply"]
        assert isinstance(release.cache, ReleaseCache)
        self.cache = release.cache
        self.pairs: list[Pair] = []
        spool = project.serving.spool
        self._append = spool.append
        spool.append = self._note  # type: ignore[method-assign]

    def follow(self) -> None:
        self.project.run(self.project.serving.follow()).result()

    def _note(self, entry: SpoolEntry) -> None:
        if isinstance(entry, Pair):
            self.pairs.append(entry)
        self._append(entry)

    def certify(self, threshold: float | None = 0.0, **more: Any) -> None:
        """Let it be in force, as the job that certifies does."""
        within = Within(
            certificate="ct_1",
            threshold=threshold,
            release=self.cache.release_id,
            scorer=self.cache.scorer,
            audit_share=0.0,
        )
        within = msgspec.structs.replace(within, **more)
        with self.project.state.begin() as connection:
            move_pointer(connection, "reuse:reply", msgspec.json.encode(within).decode())
        self.follow()
        assert self.cache.within.certificate == "ct_1"

    def ask(self, text: str, **given: Any) -> Reply:
        messages = [*given.pop("earlier", ()), {"role": "user", "content": text}]
        values = {"messages": given.pop("messages", messages), **given.pop("parameters", {})}
        body = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in values.items()}
        request = Request(service="reply", key=KEY, protocol="openai", body=body, **given)
        reply: Reply = self.project.run(self.project.serving.engine.answer(request)).result()
        self.finish()
        return reply

    def finish(self) -> None:
        assert isinstance(self.cache.audits, Auditing)
        self.project.run(self.cache.audits.finish()).result()
        assert isinstance(self.cache.alike, Semantic)
        self.project.run(self.cache.alike.finish()).result()

    def record(self, reply: Reply) -> Record:
        self.project.serving.writer.drain()
        return read_record(self.project.state, reply.request_id)


def make(
    make_project: MakeProject, script: str = "", *, cache: str = "", more: str = "", **files: str
) -> Desk:
    texts = {"services/reply/script.jsonl": script or always("On the page Cards, under Track.")}
    texts |= {f"services/reply/{name.replace('_', '.')}": text for name, text in files.items()}
    service = SERVICE.format(cache=cache, more=more)
    project = make_project({"reply": service}, files=texts)
    project.promote(project.build_release("reply", by="test").id, by="test")
    return Desk(project)


def test_nothing_is_given_until_it_is_certified_and_all_is_compared(
    make_project: MakeProject,
) -> None:
    desk = make(make_project)
    first, second = desk.ask(ONE), desk.ask(OTHER)
    assert [first.disposition, second.disposition] == ["answered", "answered"]
    (pair,) = desk.pairs
    assert (pair.decision, pair.loss, pair.is_given, pair.share) == ("reuse", 0.0, False, 1.0)
    assert (pair.request_id, pair.entry) == (second.request_id, first.request_id)
    assert pair.scorer == desk.cache.scorer
    assert pair.score is not None
    assert 0 < pair.score < 1


def test_a_pair_of_answers_that_differ_is_a_loss(make_project: MakeProject) -> None:
    desk = make(make_project, numbered())
    desk.ask(ONE)
    desk.ask(OTHER)
    assert [pair.loss for pair in desk.pairs] == [1.0]


def test_what_is_certified_is_given_with_what_let_it(make_project: MakeProject) -> None:
    desk = make(make_project)
    first = desk.ask(ONE)
    desk.certify()
    hit = desk.ask(OTHER)
    assert (hit.disposition, hit.cache, hit.cost_micro) == ("cached", "semantic", 0)
    assert hit.output == first.output
    record = desk.record(hit)
    assert record.cache is not None
    assert record.cache["source"] == first.request_id
    assert record.cache["similarity"] > 0.8
    assert record.certificates == ("ct_1",)
    assert record.attempts == ()


def test_a_service_certifies_its_cache_by_its_own_pairs(make_project: MakeProject) -> None:
    desk = make(make_project)
    desk.ask(ONE)
    desk.ask("How could I track my new card?")
    (pair,) = desk.pairs
    assert desk.cache.within.threshold is None
    found = [
        msgspec.structs.replace(
            pair,
            id=f"pr_{number:04}",
            request_id=f"rq_{number:04}",
            entry=str(number),
            unit=str(number),
        )
        for number in range(300)
    ]
    with desk.project.state.begin() as connection:
        add_pairs(connection, found)
    clock = desk.project.clock
    assert isinstance(clock, SettableClock)
    clock.set(clock.now_us() + 8 * DAY_US)
    desk.project.serving.jobs.run_now("pairs")
    desk.follow()
    assert desk.cache.within.certificate
    desk.ask(ONE)  # what was kept is over by now
    hit = desk.ask("How could I track my new card?")
    assert hit.disposition == "cached"
    assert desk.record(hit).certificates == (desk.cache.within.certificate,)


@pytest.mark.parametrize(
    "within",
    [
        {"threshold": 1.0},
        {"threshold": None},
        {"release": "another"},
        {"scorer": "another"},
        {"is_stopped": True},
    ],
)
def test_what_is_not_certified_is_not_given(
    make_project: MakeProject, within: dict[str, Any]
) -> None:
    desk = make(make_project)
    desk.ask(ONE)
    desk.certify(**within)
    assert desk.ask(OTHER).disposition == "answered"


ALIKE = [
    ("What is the fee for 2 bags?", "What is the fee for 3 bags?"),
    ("Why can I use my card abroad?", "Why can't I use my card abroad?"),
    ("how do i fly to paris", "how do i fly to rome"),
    ("transfer money from ann to bob", "transfer money from bob to ann"),
    ("When does it open on Monday?", "When does it open on Sunday?"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_no_certificate_outweighs_a_guard(make_project: MakeProject, one: str, other: str) -> None:
    desk = make(make_project)
    desk.ask(one)
    desk.certify()
    assert desk.ask(other).disposition == "answered"
    assert desk.pairs == []


@pytest.mark.parametrize(
    "changed",
    [
        {"role": "agent"},
        {"parameters": {"temperature": 0.5}},
        {"earlier": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]},
        {"parameters": {"tools": [{"type": "function", "function": {"name": "f"}}]}},
        {"cache": "no-cache"},
        {"cache": "no-store"},
    ],
)
def test_all_but_the_question_must_be_equal(
    make_project: MakeProject, changed: dict[str, Any]
) -> None:
    desk = make(make_project)
    desk.ask(ONE)
    desk.certify()
    assert desk.ask(OTHER, **changed).disposition == "answered"


def test_nobody_outside_of_the_scope_is_given_it(make_project: MakeProject) -> None:
    text = SERVICE.format(cache="", more="").replace('scope = "all"', 'scope = "user"')
    files = {"services/reply/script.jsonl": always("fine as it is")}
    project = make_project({"reply": text}, files=files)
    project.promote(project.build_release("reply", by="test").id, by="test")
    desk = Desk(project)
    desk.ask(ONE, user="ann")
    desk.certify()
    assert desk.ask(OTHER, user="bob").disposition == "answered"
    assert desk.ask(OTHER, user="ann").disposition == "cached"


def test_who_shares_is_given_no_personal_answer(make_project: MakeProject) -> None:
    desk = make(make_project, always("We have written to ann@mail.example."))
    desk.ask(ONE)
    desk.certify()
    assert desk.ask(OTHER).disposition == "answered"


def test_a_hit_is_audited_once_for_each_entry(make_project: MakeProject) -> None:
    desk = make(make_project)
    first = desk.ask(ONE)
    desk.certify(audit_share=1.0)
    hits = [desk.ask(text) for text in (OTHER, "how can I track my new card", f"{ONE} please")]
    assert [hit.disposition for hit in hits] == ["cached"] * 3
    (pair,) = desk.pairs
    assert (pair.is_given, pair.loss, pair.share) == (True, 0.0, 1.0)
    assert (pair.certificate, pair.entry) == ("ct_1", first.request_id)
    desk.project.serving.writer.drain()
    audit = read_record(desk.project.state, pair.audit_id)
    assert (audit.arm, audit.parent) == ("audit", hits[0].request_id)


def test_the_first_confirmed_wrong_hit_evicts(make_project: MakeProject) -> None:
    desk = make(make_project, numbered())
    first = desk.ask(ONE)
    desk.certify(audit_share=1.0)
    assert desk.ask(OTHER).disposition == "cached"
    assert [pair.loss for pair in desk.pairs] == [1.0]
    assert [(gone.source, gone.why) for gone in desk.cache.gone] == [(first.request_id, "wrong")]
    assert desk.ask(OTHER).disposition == "answered"


def test_an_answer_that_was_corrected_is_given_to_nobody(make_project: MakeProject) -> None:
    desk = make(make_project)
    desk.ask(ONE)
    desk.certify()
    hit = desk.ask(OTHER)
    desk.project.serving.writer.drain()
    caches = desk.project.serving.caches
    desk.project.run(caches.forget("reply", hit.request_id)).result()  # of the hit, not its source
    assert len(desk.cache.kept) == 0
    assert desk.ask(OTHER).disposition == "answered"


def test_without_the_embedder_the_service_is_refused_and_it_says_how_to_mend_that(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roadworthy.signals.embed.tokenizers", None)
    open_minilm.cache_clear()
    try:
        project = make_project(
            {"reply": SERVICE.format(cache="", more="")},
            files={"services/reply/script.jsonl": always("fine")},
        )
        with pytest.raises(MissingExtra, match="embed"):
            project.serving.health()
    finally:
        open_minilm.cache_clear()


def test_entries_that_lose_their_room_leave_the_index(make_project: MakeProject) -> None:
    desk = make(make_project, cache="max_entries = 1")
    desk.ask(ONE)
    desk.ask("Where do I find the nearest cash machine?")
    desk.certify()
    assert desk.ask(OTHER).disposition == "answered"
    assert len(desk.cache.kept) == 1
