from __future__ import annotations

import asyncio
from typing import Any

import pytest
from model_calls import ask

from roadworthy.errors import DeclarationError, ModelRejected
from roadworthy.models.rule import RuleModel, open_model
from roadworthy.models.spec import ModelSpec
from roadworthy.testing import check_model


def rule(text: str) -> RuleModel:
    return open_model(ModelSpec(name="by-rule", upstream=text))


def output_of(text: str, values: dict[str, Any]) -> Any:
    return asyncio.run(rule(text).answer(ask(values))).output


def test_a_mapping_is_the_output_as_it_stands() -> None:
    text = '{"label": input.minutes > 15, "minutes": input.minutes}'
    assert output_of(text, {"minutes": 20}) == {"label": True, "minutes": 20}


def test_any_other_result_becomes_a_value() -> None:
    assert output_of("input.minutes + 1", {"minutes": 20}) == {"value": 21}


def test_a_rule_reads_who_asks() -> None:
    text = 'user + "/" + role + "/" + team + "/" + tags[0]'
    assert output_of(text, {}) == {"value": "ada/agent/desk/vip"}


def test_an_input_the_rule_cannot_be_evaluated_on_is_rejected_without_being_quoted() -> None:
    with pytest.raises(ModelRejected) as caught:
        output_of("input.minutes + 1", {"minutes": "not for logs"})
    assert "by-rule" in str(caught.value)
    assert "not for logs" not in str(caught.value)
    assert caught.value.attempts[0].status == "model_rejected"


def test_a_rule_answers_also_when_no_time_is_left() -> None:
    call = ask({"minutes": 20}, within_s=-1.0)
    assert asyncio.run(rule("input.minutes").answer(call)).output == {"value": 20}


def test_a_rule_that_names_what_it_cannot_know_is_no_declaration() -> None:
    with pytest.raises(DeclarationError, match="output"):
        rule("output.label")


def test_a_rule_keeps_what_every_model_must() -> None:
    check_model(lambda: rule("input.minutes > 15"), ask({"minutes": 20}))
    check_model(lambda: rule("input.minutes > 15"), ask({}))
