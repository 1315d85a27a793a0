"""Keeps what a model is given within the tokens a service declares: what goes, and in which order.

System messages, the prompt and the question stay. Earlier turns go, the oldest first and each
whole, so that no answer stands without its question and no result without the call of its tool;
then the oldest steps of the turn that is being answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from ..declare.service import Context as Policy
from ..errors import ContractViolation
from ..signals.tokens import Counter
from ..types import Call

Messages = list[dict[str, Any]]
FIXED = frozenset({"system", "developer"})
SUMMARY_TOKENS = 300
"""Most tokens of a summary, and a quarter of all that a model is given."""

_encode = msgspec.json.Encoder().encode
_messages = msgspec.json.Decoder(list[dict[str, Any]])
_tools = msgspec.json.Decoder()


class Parts(NamedTuple):
    """Which messages of a chat may go.

    Attributes:
        units: Runs of places that go together, the oldest first.
        kept: Places of what stays.
    """

    units: tuple[tuple[int, ...], ...]
    kept: tuple[int, ...]


def parts_of(messages: Sequence[dict[str, Any]], lead: int) -> Parts:
    """Tell what may go from what stays.

    Args:
        messages: The chat.
        lead: How many of the first are the prompt's.

    >>> roles = ["system", "user", "assistant", "user", "assistant", "tool", "user"]
    >>> parts_of([{"role": role} for role in roles], 1).units
    ((1, 2), (3, 4, 5))
    """
    places = range(lead, len(messages))
    users = [k for k in places if messages[k].get("role") == "user"]
    asked = users[-1] if users else len(messages) - 1
    turns = _runs(messages, range(lead, asked), "user")
    steps = _runs(messages, range(asked + 1, len(messages)), "assistant")
    units = tuple(map(tuple, (*turns, *steps[:-1])))
    gone = {place for unit in units for place in unit}
    return Parts(units, tuple(k for k in range(len(messages)) if k not in gone))


def _runs(messages: Sequence[dict[str, Any]], places: range, first: str) -> list[list[int]]:
    """Cut places into runs that each begin with a role; what the system says is in none."""
    runs: list[list[int]] = []
    for place in places:
        role = messages[place].get("role")
        if role in FIXED:
            continue
        if role == first or not runs:
            runs.append([])
        runs[-1].append(place)
    return runs


class Trimmer:
    """Cuts chats to the tokens that a service allows, and notes what they are made of.

    A chat of fewer bytes than the smallest limit has fewer tokens, too: nothing is counted then.

    Args:
        policy: What is declared.
        counters: Count as the models of the chain do; the highest count holds.
    """

    def __init__(self, policy: Policy, counters: Sequence[Counter]) -> None:
        self._policy = policy
        self._counters = _distinct(counters)
        self._before = max(counter.answer_format() for counter in self._counters)
        limits = (policy.max_input_tokens, policy.max_history_tokens)
        self._limits = [limit for limit in limits if limit is not None]
        self.summary_tokens = 0
        if policy.overflow == "summarise":
            most = policy.max_input_tokens or policy.max_history_tokens or SUMMARY_TOKENS * 4
            self.summary_tokens = max(min(SUMMARY_TOKENS, most // 4), 1)

    def count(self, text: str) -> int:
        """Return the most tokens that a text is for any of the models."""
        return max(counter.count(text) for counter in self._counters)

    def fit(self, call: Call, lead: int) -> None:
        """Leave a chat that fits on the call, what went out of it, and what it is made of.

        Args:
            call: Its messages are as they would go up.
            lead: How many of the first messages are the prompt's.

        Raises:
            ContractViolation: It does not fit, and nothing may go or all that may went.
        """
        raw = call.body["messages"]
        try:
            messages = _messages.decode(raw)
        except msgspec.DecodeError as error:
            raise ContractViolation(
                f"`messages`: expected a list of messages; {error}", param="messages"
            ) from error
        parts = parts_of(messages, lead)
        tools = call.body.get("tools")
        size = len(memoryview(raw)) + (len(memoryview(tools)) if tools is not None else 0)
        size += self._before  # what JSON needs around a message is more than any format adds to it
        is_near = any(size > limit for limit in self._limits)
        tokens = [self._count_message(m) if is_near else self._estimate(m) for m in messages]
        around = self._around(tools) if is_near else 0
        gone = self._choose(parts, tokens, around) if is_near else 0
        self._note(call, messages, tokens, parts, gone, lead, is_counted=is_near)
        if gone:
            self._leave(call, messages, parts, gone)

    def _count_message(self, message: dict[str, Any]) -> int:
        return max(counter.message(message) for counter in self._counters)

    def _estimate(self, message: dict[str, Any]) -> int:
        content = message.get("content")
        size = len(content) if isinstance(content, str) else len(_encode(content))
        return self._counters[0].estimate(size) + 4

    def _around(self, tools: msgspec.Raw | None) -> int:
        """Return the tokens beside those of messages: what begins an answer, and tools."""
        return self._before + (self.count(bytes(tools).decode()) if tools is not None else 0)

    def _choose(self, parts: Parts, tokens: Sequence[int], around: int) -> int:
        """Return how many of the units have to go.

        Raises:
            ContractViolation: It would not be enough.
        """
        policy = self._policy
        sizes = [sum(tokens[place] for place in unit) for unit in parts.units]
        history, total, gone = sum(sizes), sum(tokens) + around, 0
        most_history = policy.max_history_tokens
        while most_history is not None and history + self._summary(gone) > most_history:
            if gone == len(sizes):
                break
            history, total, gone = history - sizes[gone], total - sizes[gone], gone + 1
        most = policy.max_input_tokens
        if most is None:
            return gone
        if policy.overflow != "refuse":
            while total + self._summary(gone) > most and gone < len(sizes):
                total, gone = total - sizes[gone], gone + 1
        if total + self._summary(gone) > most:
            self._refuse(total, most, is_all_gone=policy.overflow != "refuse")
        return gone

    def _summary(self, gone: int) -> int:
        return self.summary_tokens + _SUMMARY_FORMAT if gone and self.summary_tokens else 0

    def _refuse(self, tokens: int, most: int, *, is_all_gone: bool) -> None:
        is_exact = all(counter.is_exact for counter in self._counters)
        left = " when all that is older is left out" if is_all_gone else ""
        raise ContractViolation(
            f"`messages`: expected at most {most} tokens with the prompt and its passages, got "
            f"{'' if is_exact else 'about '}{tokens}{left}; ask shorter",
            param="messages",
        )

    def _note(
        self,
        call: Call,
        messages: Messages,
        tokens: Sequence[int],
        parts: Parts,
        gone: int,
        lead: int,
        *,
        is_counted: bool,
    ) -> None:
        dropped = [place for unit in parts.units[:gone] for place in unit]
        history = [place for unit in parts.units[gone:] for place in unit]
        passages = sum(self._counters[0].estimate(len(p.text)) for p in call.passages)
        found: dict[str, Any] = {
            "counted_by": self._counters[0].name if is_counted else "estimate",
            "input_tokens": sum(tokens) - sum(tokens[place] for place in dropped),
            "prompt_tokens": max(sum(tokens[:lead]) - passages, 0),
            "retrieval_tokens": passages,
            "history_tokens": sum(tokens[place] for place in history),
        }
        if gone:
            found["dropped_messages"] = len(dropped)
            found["dropped_tokens"] = sum(tokens[place] for place in dropped)
        call.context = found

    def _leave(self, call: Call, messages: Messages, parts: Parts, gone: int) -> None:
        dropped = {place for unit in parts.units[:gone] for place in unit}
        kept = [message for k, message in enumerate(messages) if k not in dropped]
        call.body = {**call.body, "messages": msgspec.Raw(_encode(kept))}
        if self.summary_tokens:
            call.forgotten = tuple(messages[place] for place in sorted(dropped))
            call.forgotten_at = min(dropped)


_SUMMARY_FORMAT = 24
"""Tokens of the two messages that bear a summary, beside its text."""


def _distinct(counters: Sequence[Counter]) -> tuple[Counter, ...]:
    """Return one counter of each vocabulary; those that go by bytes each count for themselves."""
    by_name: dict[Any, Counter] = {}
    for counter in counters:
        by_name.setdefault(counter.vocabulary or id(counter), counter)
    return tuple(by_name.values()) or (Counter(),)
