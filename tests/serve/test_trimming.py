"""Chats kept within their tokens: what goes first, and what never goes."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.declare.service import Context as Policy
from roadworthy.errors import ContractViolation
from roadworthy.serve.trimming import Trimmer, parts_of
from roadworthy.signals.tokens import Counter, open_counter
from roadworthy.types import Call, Caller, Key, Passage

CALLER = Caller(Key("k_1", "test", frozenset({"answer"})), "user-1")


def says(role: str, text: str = "", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": text, **more}


def asks_tool(name: str) -> dict[str, Any]:
    calls = [{"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}}]
    return says("assistant", tool_calls=calls)


def call_of(*messages: dict[str, Any], **body: Any) -> Call:
    raw = {"messages": list(messages), **body}
    return Call(
        input={},
        caller=CALLER,
        deadline=time.monotonic() + 5,
        body={name: msgspec.Raw(msgspec.json.encode(value)) for name, value in raw.items()},
    )


def left(call: Call) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = msgspec.json.decode(call.body["messages"])
    return messages


def trimmer(counter: Counter | None = None, **policy: Any) -> Trimmer:
    return Trimmer(Policy(**policy), [counter or open_counter("gpt-4o")])


LONG = "The quick brown fox jumps over the lazy dog. " * 20
"""About 200 tokens."""


def test_the_oldest_turns_go_first_and_each_whole() -> None:
    call = call_of(
        says("system", "Be brief."),
        says("user", f"one {LONG}"),
        says("assistant", f"two {LONG}"),
        says("user", f"three {LONG}"),
        says("assistant", f"four {LONG}"),
        says("user", "five"),
    )
    trimmer(max_input_tokens=500, overflow="drop_oldest").fit(call, 1)
    assert [m["content"].split()[0] for m in left(call)] == ["Be", "three", "four", "five"]
    assert call.context is not None
    assert call.context["dropped_messages"] == 2
    assert call.context["counted_by"] == "o200k_base"
    assert open_counter("gpt-4o").chat(left(call)) <= 500


def test_what_the_system_said_in_between_stays() -> None:
    call = call_of(
        says("user", LONG), says("system", "Now in French."), says("assistant", LONG), says("user")
    )
    trimmer(max_input_tokens=100, overflow="drop_oldest").fit(call, 0)
    assert [m["role"] for m in left(call)] == ["system", "user"]


def test_a_call_of_a_tool_goes_with_its_result() -> None:
    call = call_of(
        says("user", "How is the weather?"),
        asks_tool("weather"),
        says("tool", LONG, tool_call_id="weather"),
        says("assistant", "Fine."),
        says("user", "And the fee?"),
        asks_tool("fee"),
        says("tool", LONG, tool_call_id="fee"),
        says("user", "Thanks. What else?"),
    )
    trimmer(max_input_tokens=300, overflow="drop_oldest").fit(call, 0)
    assert [m["role"] for m in left(call)] == ["user", "assistant", "tool", "user"]
    assert left(call)[2]["tool_call_id"] == "fee"


def test_in_a_long_turn_the_oldest_steps_go_and_the_question_stays() -> None:
    steps = [m for k in range(4) for m in (asks_tool(f"t{k}"), says("tool", f"{k} {LONG}"))]
    call = call_of(says("user", "Find it."), *steps)
    trimmer(max_input_tokens=500, overflow="drop_oldest").fit(call, 0)
    kept = left(call)
    assert kept[0]["content"] == "Find it."
    assert [m["content"][:1] for m in kept if m["role"] == "tool"] == ["2", "3"]


ROLES = st.lists(
    st.sampled_from(["user", "assistant", "system", "step", "answer"]), min_size=0, max_size=12
)


@settings(max_examples=150, deadline=None)
@given(roles=ROLES, most=st.integers(60, 900))
def test_no_result_ever_stands_without_its_call(roles: list[str], most: int) -> None:
    messages: list[dict[str, Any]] = []
    for k, role in enumerate(roles):
        if role == "step":
            messages += [asks_tool(f"t{k}"), says("tool", LONG, tool_call_id=f"t{k}")]
        else:
            messages.append(says("assistant" if role == "answer" else role, f"{k} {LONG}"))
    systems = [m for m in messages if m["role"] == "system"]
    call = call_of(*messages, says("user", "last"))
    try:
        trimmer(max_input_tokens=most, overflow="drop_oldest").fit(call, 0)
    except ContractViolation:
        assert open_counter("gpt-4o").chat([*systems, says("user", "last")]) > most
        return
    kept = left(call)
    assert kept[-1]["content"] == "last"
    assert [m for m in kept if m["role"] == "system"] == systems
    called = {c["id"] for m in kept for c in m.get("tool_calls", ())}
    assert {m["tool_call_id"] for m in kept if m["role"] == "tool"} == called
    assert open_counter("gpt-4o").chat(kept) <= most


def test_history_has_a_limit_of_its_own_whatever_overflow_says() -> None:
    call = call_of(
        *(says(role, f"{k} {LONG}") for k in range(3) for role in ("user", "assistant")),
        says("user", LONG * 3),
    )
    trimmer(max_history_tokens=500).fit(call, 0)
    assert [m["content"][:1] for m in left(call)] == ["2", "2", "T"]


def test_what_is_too_long_is_refused_with_the_count() -> None:
    call = call_of(says("user", LONG), says("assistant", "x"), says("user", "hi"))
    tokens = open_counter("gpt-4o").chat(left(call))
    with pytest.raises(ContractViolation, match=rf"at most 100 tokens .*, got {tokens}; ask"):
        trimmer(max_input_tokens=100).fit(call, 0)


def test_a_question_that_is_too_long_alone_is_refused_after_all_else_went() -> None:
    call = call_of(says("user", "a"), says("assistant", "b"), says("user", LONG))
    with pytest.raises(ContractViolation, match="when all that is older is left out"):
        trimmer(max_input_tokens=100, overflow="drop_oldest").fit(call, 0)


def test_without_a_vocabulary_a_count_says_that_it_is_about() -> None:
    call = call_of(says("user", "x" * 900))
    with pytest.raises(ContractViolation, match=r"got about 3\d\d"):
        trimmer(Counter(), max_input_tokens=250).fit(call, 0)


def test_the_highest_count_of_all_models_holds() -> None:
    text = "航班延误了怎么办。" * 20
    few, many = open_counter("gpt-4o"), open_counter("gpt-4")
    message = says("user", text)
    assert few.chat([message]) + 20 < many.chat([message])
    policy = Policy(max_input_tokens=few.chat([message]) + 10)
    Trimmer(policy, [few]).fit(call_of(message), 0)
    with pytest.raises(ContractViolation):
        Trimmer(policy, [few, many]).fit(call_of(message), 0)


class Watched(Counter):
    """A counter that must not be asked."""

    def count(self, text: str) -> int:
        raise AssertionError("nothing is near a limit")


def test_what_has_fewer_bytes_than_the_limit_is_never_counted() -> None:
    call = call_of(says("user", LONG), says("assistant", LONG), says("user", "hi"))
    trimmer(Watched(), max_input_tokens=4_000, max_history_tokens=3_500).fit(call, 0)
    assert len(left(call)) == 3
    assert call.context is not None
    assert call.context["counted_by"] == "estimate"
    assert 600 < call.context["history_tokens"] < 660


def test_the_record_tells_prompt_passages_and_history_apart() -> None:
    passage = Passage("pets.md", "Pets", "Dogs fly for $110. " * 10)
    call = call_of(
        says("system", f"Answer from: {passage.text}"),
        says("user", "Hi"),
        says("assistant", "Hello."),
        says("user", "Does my dog fly?"),
    )
    call.passages = (passage,)
    trimmer().fit(call, 1)
    found = call.context
    assert found is not None
    assert found["retrieval_tokens"] == pytest.approx(len(passage.text) / 3, abs=2)
    assert 0 < found["prompt_tokens"] < 15
    assert 8 <= found["history_tokens"] <= 14
    parts = ("prompt_tokens", "retrieval_tokens", "history_tokens")
    assert sum(found[name] for name in parts) < found["input_tokens"]
    assert "dropped_messages" not in found


def test_what_is_no_list_of_messages_is_refused() -> None:
    call = call_of()
    call.body["messages"] = msgspec.Raw(b'[{"role":"user"},3]')
    with pytest.raises(ContractViolation, match="expected a list of messages"):
        trimmer(max_input_tokens=5).fit(call, 0)


def test_two_questions_in_a_row_are_two_turns() -> None:
    roles = [{"role": role} for role in ("user", "user", "assistant", "user")]
    assert parts_of(roles, 0).units == ((0,), (1, 2))
