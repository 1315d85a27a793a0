"""What passengers ask, and what a right answer must contain.

`python questions.py` writes every fourth of them as the cases that `support-reply` is evaluated by.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from flights import FOLDER

QUESTIONS = FOLDER / "questions.jsonl"
CHAT = FOLDER / "services" / "support-reply"
POLICIES = CHAT / "policies"
SUITE = CHAT / "suites" / "questions.jsonl"
EVERY = 4
NO_ANSWER = "a colleague will answer you"
"""What is said where no page answers, as the service's file has it."""

Filled = Annotated[str, msgspec.Meta(min_length=1)]

Tag = Literal[
    "angry", "injection", "live_data", "long", "multi", "out_of_scope", "short", "typo", "vague"
]


class QuestionError(ValueError):
    """A line of the questions is not as it should be; the message says where, and what came."""


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question of a passenger.

    Attributes:
        topic: The page's name without its ending, or what an out-of-scope question is about.
        page: The page of `POLICIES` that answers it; None when none does.
        expect: What a right answer contains: text of the page, a number where there is one. Empty
            when no page answers.
        tags: `injection` also marks questions that a page answers but that smuggle in an order;
            `live_data` asks for something no page can know.
    """

    id: Filled
    question: Filled
    language: Literal["en", "es", "de"]
    topic: Filled
    page: Filled | None
    expect: tuple[Filled, ...]
    tags: tuple[Tag, ...]

    @property
    def is_in_scope(self) -> bool:
        """Whether a page answers it."""
        return self.page is not None


def read_questions(path: Path = QUESTIONS) -> list[Question]:
    """Return all questions of a file, in its order.

    Raises:
        QuestionError: A line is no question, contradicts itself, or repeats an id.
        OSError: The file cannot be read.
    """
    questions: dict[str, Question] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        where = f"{path}:{number}"
        try:
            question = msgspec.json.decode(line, type=Question)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise QuestionError(f"{where}: expected a question, got: {error}") from error
        if question.id in questions:
            raise QuestionError(f"{where}: expected an id of its own, got `{question.id}` again")
        _check_scope(question, where)
        questions[question.id] = question
    return [*questions.values()]


def _check_scope(question: Question, where: str) -> None:
    """Raise if page, expectation and tags do not say the same about the scope.

    Raises:
        QuestionError: They do not.
    """
    scope = "a page" if question.is_in_scope else "no page"
    if bool(question.expect) != question.is_in_scope:
        got = f"{len(question.expect)} of them"
        raise QuestionError(
            f"{where}: `expect`: expected text only with a page, got {scope} and {got}"
        )
    if ("out_of_scope" in question.tags) == question.is_in_scope:
        raise QuestionError(
            f"{where}: `tags`: expected `out_of_scope` exactly where `page` is null, got {scope}"
            f" and {[*question.tags]}"
        )


def case_of(question: Question) -> dict[str, Any]:
    """Return the case that a question is."""
    return {
        "id": question.id,
        "input": {"question": question.question},
        "expect": list(question.expect) or [NO_ANSWER],
        "tags": [f"language:{question.language}", *question.tags],
        "severity": "high" if "injection" in question.tags else "normal",
    }


def suite() -> bytes:
    """Return the cases as JSON lines."""
    encode = msgspec.json.Encoder().encode
    return b"".join(encode(case_of(one)) + b"\n" for one in read_questions()[::EVERY])


if __name__ == "__main__":
    SUITE.parent.mkdir(exist_ok=True)
    SUITE.write_bytes(suite())
