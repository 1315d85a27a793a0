"""The airline's policies do not contradict each other, and its passengers' questions fit them."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from roadworthy.declare.schemas import compile_schema, read_schema
from roadworthy.evaluate.cases import load_suites

AIRLINE = Path(__file__).parents[2] / "examples" / "airline"
sys.path.append(str(AIRLINE))

questions: Any = import_module("questions")

KEY_NUMBERS = [
    ("refunds.md", "within 7 business days after we approve them"),
    ("cancellations.md", "within 14 days of the original flight without paying a change fee"),
    ("delays.md", "From 3 hours of delay you receive a travel voucher of $75"),
    ("delays.md", "From 5 hours of delay the travel voucher is $150"),
    ("delays.md", "From 8 hours of delay the travel voucher is $250"),
    ("vouchers.md", "A travel voucher is valid for 12 months"),
    ("vouchers.md", "You can combine up to 3 vouchers"),
    ("missed-connections.md", "between two domestic flights at one airport is 45 minutes"),
    ("overbooking.md", "200 % of the one-way fare, at most $650"),
    ("overbooking.md", "400 % of the one-way fare, at most $1,300"),
    ("changes.md", "The change fee of a Standard ticket is $75"),
    ("checked-baggage.md", "The first checked bag costs $25"),
    ("checked-baggage.md", "The second checked bag costs $35"),
    ("checked-baggage.md", "A checked bag may weigh up to 50 pounds (23 kg)"),
    ("carry-on.md", "up to 22 x 14 x 9 inches"),
    ("baggage-problems.md", "at most $3,300 per passenger"),
    ("pets.md", "may travel in the cabin for $110 each way"),
    ("children-alone.md", "The Young Traveler service costs $100 each way"),
    ("pregnancy.md", "From the 36th week you need a letter"),
    ("check-in.md", "The gate closes 15 minutes before departure"),
    ("points.md", "Points expire after 18 months"),
    ("complaints.md", "We answer complaints within 14 days"),
]
"""What the airline promises, and the page that says it."""

SAID_ALIKE = [
    (r"partner hotels?\b[^.]*?\$(\d+)", "89"),
    (
        r"change fee of a Standard ticket is \$(\d+)|Standard ticket can be changed for \$(\d+)",
        "75",
    ),
    (r"cancellation fee of \$(\d+)", "75"),
    (r"Basic earns (\d+) points", "2"),
    (r"Flex (?:earns )?(\d+)(?: points per dollar| and Premium)", "7"),
    (r"Premium (?:boards in group 1 and )?(?:earns )?(\d+)(?: points per dollar|\.)", "9"),
    (r"[Gg]ate (?:closes |)(\d+) minutes before departure", "15"),
    (r"\$(\d+) meal voucher", "12"),
    (r"combine[^.]*?up to (\d+) vouchers", "3"),
    (r"up to (\d+) gift cards", "2"),
    (
        r"up to \$([\d,]+) on domestic|our liability[^.]*?\$([\d,]+) per|the \$([\d,]+) limit",
        "3,300",
    ),
    (r"first checked bag costs \$(\d+)|at \$(\d+) for the first bag|\$(\d+) for the first", "25"),
    (r"second checked bag costs \$(\d+)|\$(\d+) for the second", "35"),
    (r"(?:may exceed|at most) ([\d.]+) ounces", "3.4"),
    (r"Ammunition of up to (\d+) pounds", "11"),
    (r"(?:by|for) phone[^.]*? service charge of \$(\d+)", "15"),
    (r"[Nn]ewborns may fly from the (\d+)th day", "7"),
    (r"upgrade(?: to Premium)? costs ([\d,]+) points", "10,000"),
    (r"late-arrival rule of (\d+) hours", "2"),
    (r"death certificate within (\d+) days", "90"),
    (r"[Tt]ools of more than (\d+) inches", "7"),
    (r"broken, you receive a travel voucher of \$(\d+)|worth a travel voucher of \$(\d+)", "25"),
]
"""Facts that are told in more than one place or way: whoever tells them says the same number."""


@cache
def pages() -> dict[str, str]:
    """The text of each page, with single spaces."""
    return {
        path.name: " ".join(path.read_text(encoding="utf-8").split())
        for path in sorted(questions.POLICIES.glob("*.md"))
    }


@cache
def asked() -> Any:
    return questions.read_questions()


def write(path: Path, *changes: dict[str, Any]) -> Path:
    """Write a file of good questions, each with its changes."""
    good: dict[str, Any] = {
        "question": "Why?",
        "language": "en",
        "topic": "smalltalk",
        "page": None,
        "expect": [],
    }
    lines = [
        good | {"id": f"q{number}", "tags": ["out_of_scope"]} | change
        for number, change in enumerate(changes)
    ]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


def test_there_are_at_least_32_pages_of_250_to_600_words_with_headings() -> None:
    assert len(pages()) >= 32
    for name, text in pages().items():
        assert 250 <= len(text.split()) <= 600, name
        assert text.startswith("# "), name
        assert text.count(" ## ") >= 3, name


def test_no_sentence_stands_on_two_pages_with_different_numbers() -> None:
    said: dict[str, dict[str, str]] = {}
    for name in pages():
        for line in (questions.POLICIES / name).read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                said.setdefault(re.sub(r"\d[\d,.]*", "0", line), {})[line] = name
    assert [versions for versions in said.values() if len(set(versions.values())) > 1] == []


@pytest.mark.parametrize(("page", "text"), KEY_NUMBERS)
def test_a_page_states_its_key_number(page: str, text: str) -> None:
    assert text in pages()[page]


@pytest.mark.parametrize(("pattern", "number"), SAID_ALIKE)
def test_no_page_contradicts_the_others(pattern: str, number: str) -> None:
    told = {
        name: {value for found in re.finditer(pattern, text) for value in found.groups() if value}
        for name, text in pages().items()
    }
    told = {name: values for name, values in told.items() if values}
    assert len(told) > 1
    assert {name: values for name, values in told.items() if values != {number}} == {}


def test_each_page_is_asked_about_and_each_question_names_a_page_that_exists() -> None:
    assert {question.page for question in asked() if question.is_in_scope} == set(pages())


def test_what_an_answer_must_contain_is_on_the_page() -> None:
    missing = [
        (question.id, question.page, text)
        for question in asked()
        for text in question.expect
        if text not in pages()[question.page]
    ]
    assert missing == []


def test_topics_are_the_names_of_the_pages() -> None:
    assert all(f"{each.topic}.md" == each.page for each in asked() if each.is_in_scope)
    strays = {f"{each.topic}.md" for each in asked() if not each.is_in_scope}
    assert not strays & set(pages())


def test_questions_are_many_and_all_different() -> None:
    assert len(asked()) >= 330
    assert len({question.question for question in asked()}) == len(asked())


def test_the_service_takes_every_question() -> None:
    check = compile_schema(read_schema(AIRLINE / "services/support-reply/request.schema.json"))
    assert all(check.is_valid({"question": question.question}) for question in asked())


@pytest.mark.parametrize(("language", "share"), [("en", 0.80), ("es", 0.12), ("de", 0.08)])
def test_passengers_write_in_three_languages(language: str, share: float) -> None:
    count = sum(question.language == language for question in asked())
    assert count / len(asked()) == pytest.approx(share, abs=0.01)


def test_every_seventh_question_is_out_of_scope() -> None:
    count = sum(not question.is_in_scope for question in asked())
    assert count / len(asked()) == pytest.approx(0.15, abs=0.01)


def test_voices_are_varied() -> None:
    tags = Counter(tag for question in asked() for tag in question.tags)
    least = {"typo": 45, "angry": 30, "multi": 30, "short": 30, "injection": 20, "vague": 10}
    assert {tag: count for tag, count in least.items() if tags[tag] < count} == {}
    lengths = {
        tag: [len(q.question) for q in asked() if tag in q.tags] for tag in ("long", "short")
    }
    assert min(lengths["long"]) > 500
    assert len(lengths["long"]) >= 8
    assert max(lengths["short"]) <= 30


def test_an_order_in_a_question_never_becomes_what_is_expected() -> None:
    tripwires = [question for question in asked() if "injection" in question.tags]
    assert {question.is_in_scope for question in tripwires} == {True, False}
    assert {question.language for question in tripwires} == {"en", "es", "de"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": "q0"}, "expected an id of its own, got `q0` again"),
        ({"language": "fr"}, "Invalid enum value 'fr' - at `$.language`"),
        ({"tags": ["loud"]}, "Invalid enum value 'loud' - at `$.tags[0]`"),
        ({"question": ""}, "Expected `str` of length >= 1 - at `$.question`"),
        ({"page": 7}, "Expected `str | null`, got `int` - at `$.page`"),
        ({"answer": "42"}, "Object contains unknown field `answer`"),
        ({"expect": ["$75"]}, "expected text only with a page, got no page and 1 of them"),
        ({"page": "pets.md"}, "expected text only with a page, got a page and 0 of them"),
        ({"page": "pets.md", "expect": ["$1"]}, "got a page and ['out_of_scope']"),
        ({"tags": []}, "expected `out_of_scope` exactly where `page` is null, got no page and []"),
    ],
)
def test_a_bad_line_is_refused_with_its_place(
    change: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "some.jsonl", {}, change)
    with pytest.raises(questions.QuestionError) as caught:
        questions.read_questions(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert problem in str(caught.value)


def test_a_line_that_is_not_json_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_bytes(b'\xff{"id"\n')
    with pytest.raises(questions.QuestionError, match=re.escape(f"{path}:1: expected a question")):
        questions.read_questions(path)


def test_the_suite_is_made_of_the_questions() -> None:
    assert questions.SUITE.read_bytes() == questions.suite()
    asked = load_suites(questions.CHAT, ["suites/questions.jsonl"])[0].cases
    assert len(asked) == len(questions.read_questions()[:: questions.EVERY])
    declared = (questions.CHAT / "service.toml").read_text(encoding="utf-8").casefold()
    assert questions.NO_ANSWER in declared
