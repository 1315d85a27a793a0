from __future__ import annotations

import asyncio

import pytest
from model_calls import ask

from roadworthy.errors import DeclarationError, ModelRejected
from roadworthy.models.builtin import ExtractiveModel, open_model
from roadworthy.models.spec import ModelSpec
from roadworthy.testing import check_model
from roadworthy.types import Call, Passage, Sentence

SPEC = ModelSpec(name="quotes", upstream="builtin:extractive")


def passage(file: str, heading: str, *sentences: tuple[str, float]) -> Passage:
    found = tuple(Sentence(text, score) for text, score in sentences)
    text = " ".join(sentence.text for sentence in found)
    return Passage(file, heading, text, max(s.score for s in found), found)


PETS = passage(
    "pets.md",
    "Pets > In the cabin",
    ("A dog costs $110.", 0.7),
    ("The carrier is small.", 0.2),
    ("Each passenger may bring one.", 0.65),
)
BAGS = passage("bags.md", "", ("A bag costs $25.", 0.6), ("It may weigh 50 pounds.", 0.1))


def asked(*passages: Passage) -> Call:
    call = ask({"question": "What does my dog cost?"})
    call.passages = passages
    return call


def text_of(*passages: Passage) -> str:
    model: ExtractiveModel = open_model(SPEC)
    text: str = asyncio.run(model.answer(asked(*passages))).output["text"]
    return text


def test_it_quotes_the_best_sentences_in_the_order_of_the_page_and_cites_them() -> None:
    assert text_of(PETS) == (
        "A dog costs $110. Each passenger may bring one. [pets.md: Pets > In the cabin]"
    )


def test_each_page_is_cited_behind_its_own_sentences() -> None:
    assert text_of(PETS, BAGS).splitlines() == [
        "A dog costs $110. Each passenger may bring one. [pets.md: Pets > In the cabin]",
        "A bag costs $25. [bags.md]",
    ]


def test_the_nearest_passage_is_quoted_before_others_fill_the_answer() -> None:
    many = [(f"Sentence {n} fits best of all.", 0.9) for n in range(9)]
    assert text_of(PETS, passage("many.md", "Many", *many)).startswith("A dog costs $110.")


def test_without_a_passage_it_answers_nothing() -> None:
    with pytest.raises(ModelRejected, match="found no passage near enough") as caught:
        text_of()
    assert [attempt.status for attempt in caught.value.attempts] == ["model_rejected"]


def test_the_same_passages_give_the_same_answer() -> None:
    assert len({text_of(PETS, BAGS) for _ in range(5)}) == 1


def test_another_name_is_refused() -> None:
    with pytest.raises(DeclarationError, match="expected `builtin:extractive`"):
        open_model(ModelSpec(name="x", upstream="builtin:other"))


@pytest.mark.parametrize("passages", [(PETS, BAGS), ()])
def test_it_keeps_what_the_engine_relies_on(passages: tuple[Passage, ...]) -> None:
    check_model(lambda: open_model(SPEC), asked(*passages))
