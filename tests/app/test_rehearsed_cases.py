"""What a case brings to a rehearsal, and what a scorer is told of it."""

from __future__ import annotations

import asyncio

import pytest

from conftest import MakeProject
from feature_project import AT_US, SERVICE, SERVICE_FILES, SOURCES
from roadworthy.app import Project
from roadworthy.app.rehearsals import ask_of, open_rehearsal
from roadworthy.data.features import Features
from roadworthy.evaluate.asked import Asked
from roadworthy.evaluate.cases import Case

PAGES = {
    "services/reply/pages/pets.md": "# Pets\nA small dog may travel in the cabin for $110.\n",
    "services/reply/pages/bags.md": "# Bags\nA checked bag may weigh up to 50 pounds.\n",
}
QUOTES = """
name = "reply"
kind = "generate"
owners = { product = "test" }
objectives = { deadline_ms = 5000 }
cost = {}
chat = { variable = "question" }
[context]
retrieval = { folder = "pages/", top_k = 1, min_score = 0.4 }
[[models]]
name = "quotes"
provider = "local"
model = "builtin:extractive"
[[guards]]
name = "grounded"
use = "grounded"
"""


def ask(project: Project, service: str, *cases: Case) -> list[Asked]:
    """Ask cases of the release that the files describe."""
    release = project.build_release(service, by="test").id

    async def work() -> list[Asked]:
        rehearsal = open_rehearsal(project, release, budget_micro=None)
        try:
            asks = ask_of(rehearsal)
            return [await asks(case, 0) for case in cases]
        finally:
            await rehearsal.close()

    return asyncio.run(work())


def test_a_case_with_features_is_given_those_and_another_the_present_ones(
    make_project: MakeProject,
) -> None:
    pytest.importorskip("duckdb")
    project = make_project({"wind": SERVICE}, files=SERVICE_FILES, project=SOURCES)
    project.clock.set(AT_US)  # type: ignore[attr-defined]
    features = Features(project.declaration, project.state, project.clock)
    features.apply(by="test")
    features.fill_all()
    features.close()
    then = Case("then", {"origin": "EWR"}, features={"wind_mph": 99.0})
    now = Case("now", {"origin": "EWR"})
    found = ask(project, "wind", then, now)
    assert [one.output for one in found] == [{"wind": 99.0}, {"wind": 12.5}]


def test_a_scorer_is_told_the_passages_with_their_text_and_what_guards_said(
    make_project: MakeProject,
) -> None:
    pytest.importorskip("tokenizers")
    project = make_project({"reply": QUOTES}, files=PAGES)
    dog, cup = ask(
        project,
        "reply",
        Case("dog", {"question": "May my small dog travel in the cabin?"}),
        Case("cup", {"question": "Who won the world cup in 1966?"}),
    )
    (passage,) = dog.passages
    assert (passage["file"], "$110" in passage["text"]) == ("pets.md", True)
    assert dog.verdicts == {"grounded": "allow"}
    assert "$110" in dog.text
    assert (cup.disposition, cup.error_code, cup.passages) == ("refused", "no_passages", ())
