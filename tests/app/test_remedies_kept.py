"""What `roadworthy check` says is kept, from the declaration to the answer."""

from __future__ import annotations

from conftest import MakeProject
from roadworthy.app import Project

SERVICE = """
name = "refund"
kind = "predict"
owners = { product = "test" }
objectives = { deadline_ms = 1000 }
cost = {}
contract = { output = "answer.schema.json" }
[[models]]
name = "generous"
provider = "rule"
model = "{'usd': input.usd * 2.0}"
[[guards]]
use = "rule"
on = "input"
name = "is-paid"
expression = "input.usd > 0.0"
"""
LADDER = """
[[fallback]]
use = "static"
output = { usd = 0.0 }
"""
SCHEMA = '{"properties": {"usd": {"type": "number", "maximum": 10}}}'


def refund(make_project: MakeProject, text: str) -> Project:
    return make_project({"refund": text}, {"services/refund/answer.schema.json": SCHEMA})


def test_an_answer_that_breaks_its_schema_is_never_shown(make_project: MakeProject) -> None:
    service = refund(make_project, SERVICE).service("refund")
    assert service.answer({"usd": 5.0}).output == {"usd": 10.0}
    reply = service.answer({"usd": 6.0})
    assert (reply.disposition, reply.output) == ("refused", None)


def test_the_ladder_goes_down_to_a_static_answer(make_project: MakeProject) -> None:
    reply = refund(make_project, SERVICE + LADDER).service("refund").answer({"usd": 6.0})
    assert (reply.disposition, reply.model, reply.output) == ("fallback", "static:1", {"usd": 0.0})


def test_a_rule_denies_what_it_does_not_hold_for(make_project: MakeProject) -> None:
    reply = refund(make_project, SERVICE + LADDER).service("refund").answer({"usd": -1.0})
    assert reply.disposition == "refused"
    assert reply.error is not None
    assert "`is-paid`" in str(reply.error)
