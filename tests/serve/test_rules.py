"""Rules choose by four signals: complexity, confidence, latency and impact."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import MakeProject
from roadworthy.app import Project
from roadworthy.errors import DeclarationError
from routed import ask, service

MODELS = {"small": "{'by': 'small'}", "large": "{'by': 'large'}"}
RULES = """
[routing]
strategy = "rules"
default = "small"
rules = [
  { when = "has(input.doubt) && input.doubt > 0.5", use = "large" },
  { when = "'vip' in tags || user == 'ceo'", use = "large" },
]
"""
CHAT = """
[routing]
strategy = "rules"
rules = [{ when = "WHEN", use = "large" }]
"""


def by(project: Project, **values: Any) -> tuple[str, dict[str, Any]]:
    reply, record = ask(project, **values)
    assert record.route is not None
    return reply.output["by"], record.route


def test_the_first_rule_that_is_true_says_which_model_is_asked(make_project: MakeProject) -> None:
    project = make_project({"desk": service(RULES, MODELS)})
    assert by(project, doubt=0.1)[0] == "small"
    answered, route = by(project, doubt=0.9, tags=("vip",))
    assert answered == "large"
    assert (route["strategy"], route["choice"], route["rule"]) == ("rules", "large", 0)
    assert "input.doubt > 0.5" in route["why"]


def test_impact_is_a_signal(make_project: MakeProject) -> None:
    project = make_project({"desk": service(RULES, MODELS)})
    assert by(project, tags=("vip",))[0] == "large"
    assert by(project, user="ceo")[0] == "large"
    assert by(project, user="ada")[0] == "small"


def test_a_rule_without_a_value_is_not_true_and_the_record_says_so(
    make_project: MakeProject,
) -> None:
    rules = RULES.replace("has(input.doubt) && ", "")
    project = make_project({"desk": service(rules, MODELS)})
    answered, route = by(project, other=1)
    assert (answered, route["without_value"], route["why"]) == ("small", [0], "no rule is true")


@pytest.mark.parametrize(
    ("when", "short", "long"),
    [
        ("input_tokens > 200", "small", "large"),
        ("time_left_ms > 60000", "small", "small"),
        ("time_left_ms > 500", "large", "large"),
        ("price.large < 0.000001", "large", "large"),
        ("size(input.messages) > 5", "small", "small"),
    ],
)
def test_complexity_latency_and_price_are_signals(
    make_project: MakeProject, when: str, short: str, long: str
) -> None:
    models = {"small": "{'text': 'small'}", "large": "{'text': 'large'}"}
    text = service(CHAT.replace("WHEN", when), models, kind="generate")
    project = make_project({"desk": text})
    for question, expected in (("hi", short), ("word " * 400, long)):
        messages = [{"role": "user", "content": question}]
        reply, record = ask(project, messages=messages)
        assert reply.output["text"] == expected, record.route


PRICED = """
[providers.{name}]
kind = "scripted"
[providers.{name}.prices."{name}.jsonl"]
input_usd_per_million = {usd}
output_usd_per_million = {usd}
"""


def test_a_price_is_what_this_request_costs_there_at_most(make_project: MakeProject) -> None:
    rule = "price.dear < 0.002"
    text = service(CHAT.replace("WHEN", rule).replace("large", "dear"), {}, kind="generate")
    for name in ("cheap", "dear"):
        text += f'[[models]]\nname = "{name}"\nprovider = "{name}"\nmodel = "{name}.jsonl"\n'
        text += "max_output_tokens = 10\n"
    names = {"cheap": 0.1, "dear": 10}
    files = {f"services/desk/{name}.jsonl": f'{{"text": "{name}"}}\n' for name in names}
    prices = "".join(PRICED.format(name=name, usd=usd) for name, usd in names.items())
    project = make_project({"desk": text}, files=files, project=prices)
    for question, expected in (("hi", "dear"), ("word " * 400, "cheap")):
        reply, _ = ask(project, messages=[{"role": "user", "content": question}])
        assert reply.output["text"] == expected


def test_a_model_that_fails_after_the_rule_is_followed_by_the_others(
    make_project: MakeProject,
) -> None:
    models = {**MODELS, "large": "{'by': input.gone}"}
    project = make_project({"desk": service(RULES, models)})
    reply, record = ask(project, tags=("vip",))
    assert reply.output == {"by": "small"}
    assert [a.model for a in record.attempts] == ["large", "small"]
    assert record.route is not None
    assert record.route["choice"] == "large"


def test_an_unknown_name_in_a_rule_is_told_with_advice(make_project: MakeProject) -> None:
    text = service(CHAT.replace("WHEN", "time_left > 5"), MODELS)
    with pytest.raises(DeclarationError, match=r"did you mean `time_left_ms`") as caught:
        make_project({"desk": text}).load("desk")
    assert "routing.rules[0].when" in str(caught.value)
