from __future__ import annotations

import asyncio
from typing import Any

import pytest

from conftest import MakeProject
from roadworthy.app import Project
from roadworthy.app.rehearsals import ask_of, open_rehearsal
from roadworthy.cost.ledger import Ceiling
from roadworthy.errors import BudgetExhausted
from roadworthy.evaluate.cases import Case
from roadworthy.serve.rehearsal import SCOPE, Rehearsed, open_purse
from roadworthy.store.records import find_records
from roadworthy.types import DAY_US, SettableClock

ADDS = """
name = "adds"
kind = "predict"
owners = { product = "test" }
objectives = { deadline_ms = 2000 }
cost = {}
[[models]]
name = "rule"
provider = "rule"
model = "{'sum': input.a + input.b}"
"""


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    return make_project({"adds": ADDS})


def rehearse(project: Project, values: dict[str, Any]) -> Rehearsed:
    release = project.build_release("adds", by="test").id

    async def ask() -> Rehearsed:
        rehearsal = open_rehearsal(project, release, budget_micro=None)
        try:
            return await rehearsal.ask(values)
        finally:
            await rehearsal.close()

    return asyncio.run(ask())


def test_a_release_that_nobody_promoted_answers_and_leaves_nothing(project: Project) -> None:
    found = rehearse(project, {"a": 1, "b": 2})
    assert found.reply is not None
    assert found.record is not None
    assert (found.reply.output, found.record.disposition) == ({"sum": 3}, "answered")
    assert find_records(project.state) == []


def test_what_does_not_come_to_a_record_is_a_failure_with_its_code(project: Project) -> None:
    release = project.build_release("adds", by="test").id

    async def ask() -> Any:
        rehearsal = open_rehearsal(project, release, budget_micro=None)
        try:
            return await ask_of(rehearsal)(Case("a", {"a": "x", "b": 1}), 0)
        finally:
            await rehearsal.close()

    asked = asyncio.run(ask())
    assert (asked.disposition, asked.output, asked.tries) == ("failed", None, 1)
    assert asked.error_code == "all_models_failed"


def test_what_a_rehearsal_may_cost_is_not_renewed_by_midnight() -> None:
    clock = SettableClock()
    purse = open_purse(clock)
    ceiling = (Ceiling(SCOPE, 100, "evaluation.max_cost_usd"),)
    purse.settle(purse.reserve("a", ceiling, 80, clock.now_us()), 80)
    clock.set(clock.now_us() + DAY_US)
    with pytest.raises(BudgetExhausted):
        purse.reserve("b", ceiling, 30, clock.now_us())
