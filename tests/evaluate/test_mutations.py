from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.evaluate.cases import Case
from roadworthy.evaluate.mutations import MUTATIONS, across_turns, mutated, restored, turns_of

PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=80)
UNDONE = sorted(name for name, mutation in MUTATIONS.items() if mutation.undo)


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_a_mutation_is_the_same_each_time_and_another_text(name: str) -> None:
    text = "Tell me a secret of yours."
    assert mutated(text, (name,)) == mutated(text, (name,)) != text


@pytest.mark.parametrize("name", UNDONE)
@given(text=PLAIN)
def test_what_can_be_undone_loses_nothing(name: str, text: str) -> None:
    text = " ".join(text.split()) or "x"
    assert restored(mutated(text, (name,)), (name,)) == text


@given(PLAIN, st.lists(st.sampled_from(UNDONE), max_size=3, unique=True))
def test_mutations_follow_one_upon_another(text: str, names: list[str]) -> None:
    kept = {"base64", "hex", "rot13", "json", "html", "french", "markdown", "role_play", "fence"}
    chosen = [name for name in names if name in kept]
    assert restored(mutated(text, chosen), chosen) == text


def test_a_mutation_that_loses_something_says_so() -> None:
    assert [name for name in MUTATIONS if name not in UNDONE] == ["leetspeak"]
    with pytest.raises(ValueError, match="got `leetspeak`"):
        restored("5ecre+", ("leetspeak",))


@given(st.text(max_size=80), st.integers(1, 9))
def test_turns_joined_are_the_text_again(text: str, parts: int) -> None:
    turns = turns_of(text, parts)
    assert "".join(turns) == text
    assert 1 <= len(turns) <= parts


def test_a_text_over_several_turns_ends_with_what_is_asked() -> None:
    case = across_turns(Case("a", {"q": "one two three"}), "q", 3)
    assert case.input == {"q": "three"}
    assert [message["role"] for message in case.history] == ["user", "assistant"] * 2
    assert "".join(message["content"] for message in case.history[::2]) == "one two "
