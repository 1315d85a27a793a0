"""The cascade: the cheap answer is given where it is sure enough, and else a stronger model's."""

from __future__ import annotations

import msgspec
import pytest

from conftest import InstallPlugin, MakeProject
from roadworthy.cost.prices import Meter
from roadworthy.errors import DeclarationError
from roadworthy.serve.cascade import AnswerScore, SureEnough
from roadworthy.serve.failover import Failover, Link
from roadworthy.serve.judge import ACCEPTED
from roadworthy.testing import ScriptedModel
from roadworthy.types import Answer
from routed import ask, call_of, certify, cheaper, opened, service, stream

ROUTING = """
[routing]
strategy = "cascade"
max_error = 0.1
[outcomes]
reported = "all"
"""
MODELS = {
    "small": "{'label': 'small', 'confidence': input.p}",
    "large": "{'label': 'large', 'confidence': 1.0}",
}
THREE = {
    "small": "{'label': 'small', 'confidence': input.p}",
    "middle": "{'label': 'middle', 'confidence': input.q}",
    "large": "{'label': 'large', 'confidence': 1.0}",
}


def test_until_something_is_certified_the_strongest_answers(make_project: MakeProject) -> None:
    project = make_project({"desk": service(ROUTING, MODELS)})
    reply, record = ask(project, p=0.99)
    assert reply.output["label"] == "large"
    assert [a.model for a in record.attempts] == ["large"]
    assert record.route is not None
    assert (record.route["why"], record.route["choice"]) == ("nothing is certified yet", "large")
    assert record.route["share"] == 0.2
    assert record.certificates == ()


def test_an_answer_above_the_certified_score_is_given(make_project: MakeProject) -> None:
    project = make_project({"desk": service(ROUTING, MODELS)})
    certify(project, 0.8)
    reply, record = ask(project, p=0.9)
    assert (reply.output["label"], reply.model) == ("small", "small")
    assert [a.model for a in record.attempts] == ["small"]
    assert record.certificates == ("ct_1",)
    route = record.route
    assert route is not None
    assert (route["choice"], route["score"], route["share"]) == ("small", 0.9, 0.05)
    assert route["why"] == "score 0.900, certified from 0.800 on"


def test_what_is_not_sure_enough_escalates_and_is_an_attempt(make_project: MakeProject) -> None:
    project = make_project({"desk": service(ROUTING, MODELS)})
    certify(project, 0.8)
    reply, record = ask(project, p=0.7)
    assert reply.output["label"] == "large"
    assert [(a.model, a.status) for a in record.attempts] == [("small", "unsure"), ("large", "ok")]
    assert record.attempts[0].detail == "score 0.700, certified from 0.800 on only"
    assert record.certificates == ()
    assert record.route is not None
    assert record.route["choice"] == "large"


def test_any_number_of_models_is_climbed_from_the_cheapest(make_project: MakeProject) -> None:
    project = make_project({"desk": service(ROUTING, THREE)})
    certify(project, 0.8)
    for p, q, expected in (
        (0.9, 0.1, ["small"]),
        (0.1, 0.9, ["small", "middle"]),
        (0.1, 0.1, ["small", "middle", "large"]),
    ):
        reply, record = ask(project, p=p, q=q)
        assert [a.model for a in record.attempts] == expected
        assert reply.model == expected[-1]


def test_an_unknown_score_counts_as_not_sure(make_project: MakeProject) -> None:
    models = {**MODELS, "small": "{'label': 'small'}"}
    project = make_project({"desk": service(ROUTING, models)})
    certify(project, 0.0)
    reply, record = ask(project, p=0.9)
    assert reply.model == "large"
    assert record.attempts[0].detail == "how sure the answer is, is unknown"


def test_a_person_s_stop_sends_everything_to_the_strongest(make_project: MakeProject) -> None:
    project = make_project({"desk": service(ROUTING, MODELS)})
    certify(project, 0.8, is_stopped=True)
    reply, record = ask(project, p=0.99)
    assert reply.model == "large"
    assert record.route is not None
    assert record.route["why"] == "a person stopped it"


@pytest.mark.parametrize("other", ["release", "scorer"])
def test_what_was_certified_for_something_else_is_not_relied_on(
    make_project: MakeProject, other: str
) -> None:
    project = make_project({"desk": service(ROUTING, MODELS)})
    certify(project, 0.8, **{other: "another"})
    assert ask(project, p=0.99)[0].model == "large"


def test_a_cheap_model_that_fails_is_followed_by_a_stronger_one(make_project: MakeProject) -> None:
    models = {**MODELS, "small": "{'label': input.gone}"}
    project = make_project({"desk": service(ROUTING, models)})
    certify(project, 0.8)
    reply, record = ask(project, p=0.9)
    assert reply.model == "large"
    assert record.certificates == ()


def test_an_unsure_answer_is_not_given_when_the_strongest_fails(make_project: MakeProject) -> None:
    models = {**MODELS, "large": "{'label': input.gone}"}
    text = service(ROUTING, models) + '[[fallback]]\nuse = "static"\noutput = { label = "later" }\n'
    project = make_project({"desk": text})
    certify(project, 0.8)
    reply, record = ask(project, p=0.7)
    assert (reply.disposition, reply.output) == ("fallback", {"label": "later"})
    assert record.certificates == ()


def test_without_a_ladder_it_fails_and_is_not_said_to_be_denied(make_project: MakeProject) -> None:
    models = {**MODELS, "large": "{'label': input.gone}"}
    project = make_project({"desk": service(ROUTING, models)})
    certify(project, 0.8)
    reply, record = ask(project, p=0.7)
    assert (reply.disposition, record.error_code) == ("failed", "all_models_failed")


GUARD = """
[[guards]]
use = "rule"
on = "output"
expression = "output.label != 'small'"
"""


def test_a_sure_answer_that_a_guard_is_against_is_not_given(make_project: MakeProject) -> None:
    project = make_project({"desk": service(ROUTING + GUARD, MODELS)})
    certify(project, 0.8)
    reply, record = ask(project, p=0.9)
    assert reply.model == "large"
    assert [a.status for a in record.attempts] == ["rejected", "ok"]


PAID = """
[providers.{name}]
kind = "scripted"
[providers.{name}.prices."{name}.jsonl"]
input_usd_per_million = 1
output_usd_per_million = 10
"""


async def test_an_escalation_spends_from_the_same_time_and_money() -> None:
    from decimal import Decimal

    from roadworthy.cost.prices import usd_per_million
    from roadworthy.errors import AllModelsFailed
    from roadworthy.serve.size import size_of
    from roadworthy.types import Usage

    dear = Meter(usd_per_million(Decimal(1), Decimal(10)), None, "override")
    small = ScriptedModel("small", [Answer(model="small", output={}, usage=Usage(20, 9))])
    large = ScriptedModel("large", ["never asked"])
    links = [Link(model=m, meter=dear, max_output_tokens=10) for m in (small, large)]
    call = call_of()
    call.size = size_of(call.body)
    call.max_cost_micro = links[0].worst_case_micro(call.size) + 5
    call.accepts = lambda answer: "" if answer.model == "large" else "not sure"

    with pytest.raises(AllModelsFailed) as caught:
        await Failover("models", links, SureEnough(lambda c, a: ACCEPTED)).answer(call)

    assert [a.status for a in caught.value.attempts] == ["unsure", "too_dear"]
    assert not large.calls


CLEVER = """
import msgspec
from roadworthy.models.spec import Try
from roadworthy.types import Answer

class Talks:
    def __init__(self, spec):
        self.name, self.clock = spec.name, spec.clock
        self.upstream = spec.upstream

    async def answer(self, call):
        this = Try(self.name, self.clock)
        said = msgspec.json.decode(call.body["messages"])[-1]["content"]
        p = float(said) if self.upstream == "small" else 1.0
        output = {"text": self.upstream, "confidence": p}
        return Answer(model=self.name, output=output, attempts=(this.ended(),))

    async def stream(self, call):
        yield b'data: {"from": "' + self.upstream.encode() + b'"}\\n\\n'
        yield await self.answer(call)

    async def close(self):
        pass

def open_it(spec):
    return Talks(spec)
"""
TALK = """
[[models]]
name = "small"
provider = "talks"
model = "small"
[[models]]
name = "large"
provider = "talks"
model = "large"
"""


TALKS = """
[providers.talks]
kind = "talks"
[providers.talks.prices.small]
input_usd_per_million = 0.1
output_usd_per_million = 0.1
[providers.talks.prices.large]
input_usd_per_million = 1
output_usd_per_million = 1
"""


def test_a_cascade_with_an_unknown_price_is_refused(
    make_project: MakeProject, install_plugin: InstallPlugin
) -> None:
    install_plugin("models", "talks", CLEVER)
    text = service(ROUTING, {}, kind="generate") + TALK
    project = make_project({"desk": text}, project='[providers.talks]\nkind = "talks"\n')
    with pytest.raises(DeclarationError, match=r"expected known prices for a cascade, got none"):
        opened(project)


def test_a_stream_waits_for_the_cheap_answer_and_a_strong_one_streams_through(
    make_project: MakeProject, install_plugin: InstallPlugin
) -> None:
    install_plugin("models", "talks", CLEVER)
    text = service(ROUTING, {}, kind="generate") + TALK
    project = make_project({"desk": text}, project=TALKS)
    events, record = stream(project, "0.9")
    assert b'"from": "large"' in events[0], "nothing is certified: the strongest streams"
    certify(project, 0.8)
    events, record = stream(project, "0.9")
    assert record.model == "small"
    assert b"chat.completion.chunk" in events[0]
    assert not any(b'"from"' in event for event in events), "sent at once, when accepted"
    events, record = stream(project, "0.1")
    assert [a.status for a in record.attempts] == ["unsure", "ok"]
    assert b'"from": "large"' in events[0]
    assert not any(b'"from": "small"' in event for event in events), "nobody sees what is unsure"


def test_a_rehearsal_compares_nothing(make_project: MakeProject) -> None:
    from roadworthy.serve.rehearsal import beside

    project = make_project({"desk": service(ROUTING, MODELS)})
    certify(project, 0.8)
    router = beside(opened(project)).router
    assert router is not None
    assert router.audits is None
    assert router.within == cheaper(project).within


def test_the_least_that_an_answer_shows_is_its_score() -> None:
    score, call = AnswerScore(), call_of()

    def of(
        text: str, confidence: float | None = None, logprob: float | None = None
    ) -> float | None:
        output = {"text": text} if confidence is None else {"text": text, "confidence": confidence}
        completion = None
        if logprob is not None:
            tokens = [{"token": "x", "logprob": logprob}]
            message = {"message": {"content": text}, "logprobs": {"content": tokens}}
            completion = msgspec.json.encode({"choices": [message]})
        return score.read(call, Answer(model="m", output=output, completion=completion)).score

    assert of("Yes.") is None
    assert of("Yes.", 0.9) == 0.9
    assert of("Yes.", 0.9, -0.693147) == pytest.approx(0.5, abs=1e-4)
    assert of("I'm sorry, I cannot answer that.", 0.9) == 0.0
    cut = Answer(model="m", output={"text": "Yes", "confidence": 0.9}, finish_reason="length")
    assert score.read(call, cut).score == 0.0
