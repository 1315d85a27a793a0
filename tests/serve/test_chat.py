"""What a chat must hold, and the words in which its client is told."""

from __future__ import annotations

import pytest
from msgspec import Raw

from roadworthy.declare.service import Chat
from roadworthy.errors import BudgetExhausted, ContractViolation, RoadworthyError
from roadworthy.serve.chat import in_chat_words, read_chat

CHAT = Chat(variable="text")


@pytest.mark.parametrize("chat", [None, CHAT], ids=["passed through", "read"])
@pytest.mark.parametrize("raw", [b"[]", b"[ ]", b"null", b"{}", b'"[{"', b"7", b"[1]", b"[[{}]]"])
def test_what_is_no_list_of_messages_is_refused(chat: Chat | None, raw: bytes) -> None:
    with pytest.raises(ContractViolation, match=r"^`messages`: expected") as caught:
        read_chat({"messages": Raw(raw)}, chat, is_read=False)
    assert caught.value.param == "messages"


@pytest.mark.parametrize("chat", [None, CHAT], ids=["passed through", "read"])
def test_messages_that_are_missing_are_refused(chat: Chat | None) -> None:
    with pytest.raises(ContractViolation, match=r"^`messages`: expected"):
        read_chat({"user": Raw(b'"ann"')}, chat, is_read=False)


@pytest.mark.parametrize("raw", [b'[{"role":"user"}]', b'[ {"role": "user", "content": "hi"} ]'])
def test_a_list_of_messages_passes_however_it_is_spaced(raw: bytes) -> None:
    assert read_chat({"messages": Raw(raw)}, None, is_read=False) == ({}, {"messages": Raw(raw)})


@pytest.mark.parametrize(
    ("chat", "theirs", "ours"),
    [
        (None, "messages[0].content", "input.messages[0].content"),
        (None, "temperature", "input.temperature"),
        (None, "body", "input"),
        (CHAT, "messages[-1].content", "input.text"),
    ],
)
def test_a_breach_of_the_contract_is_told_where_a_chat_has_it(
    chat: Chat | None, theirs: str, ours: str
) -> None:
    told = in_chat_words(ContractViolation(f"{ours}: expected <= 5, got 9", param=ours), chat)
    assert (str(told), told.param) == (f"{theirs}: expected <= 5, got 9", theirs)


@pytest.mark.parametrize(
    "error",
    [
        ContractViolation("`messages`: expected at least one, got none", param="messages"),
        ContractViolation("`input` does not count here; parameters that do: none", param="input"),
        BudgetExhausted("budget of `service:reply` is spent: $1.00 of $1.00"),
    ],
)
def test_other_errors_are_told_as_they_are(error: RoadworthyError) -> None:
    assert in_chat_words(error, CHAT) is error
