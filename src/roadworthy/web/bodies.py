"""Bodies of requests as a person reads them: JSON on lines of their own, and never a megabyte."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from . import numbers

MOST_SHOWN = 6000
"""Characters of a body that stand on a page; the rest is behind the link to the JSON."""

MOST_TURNS = 20
ANSWER = "answer"
"""Who says what a service answered."""

_MOST_OF_A_NAME = 40


class Turn(NamedTuple):
    """One thing that somebody said, as it stands in a conversation."""

    who: str
    text: str


def turns(value: Any) -> tuple[Turn, ...]:
    """Return what was said in a body, the latest turns of it; nothing if it is no conversation.

    >>> turns({"messages": [{"role": "user", "content": "May I?"}]})
    (Turn(who='user', text='May I?'),)
    >>> turns({"text": "You may."}), turns({"wind": 12.5})
    ((Turn(who='answer', text='You may.'),), ())
    >>> turns({"choices": [{"message": {"role": "assistant", "content": "You may."}}]})
    (Turn(who='answer', text='You may.'),)
    >>> turns({"question": "May I?"})
    (Turn(who='question', text='May I?'),)
    """
    if not isinstance(value, dict):
        return ()
    if "messages" in value:
        said = value["messages"]
    elif "choices" in value:
        said = _answers(value["choices"])
    elif len(value) == 1:
        ((name, text),) = value.items()
        said = [{"role": ANSWER if name == "text" else name, "content": text}]
    else:
        said = [{"role": ANSWER, "content": value.get("text")}]
    if not isinstance(said, list):
        return ()
    return tuple(turn for message in said[-MOST_TURNS:] for turn in _turns_of(message))


def _answers(choices: Any) -> list[Any]:
    """Return the messages of a completion; of several, each with its number."""
    found = choices if isinstance(choices, list) else []
    messages = [choice.get("message") for choice in found if isinstance(choice, dict)]
    answers = [message for message in messages if isinstance(message, dict)]
    if len(answers) == 1:
        return [{**answers[0], "role": ANSWER}]
    return [{**one, "role": f"{ANSWER} {place}"} for place, one in enumerate(answers, 1)]


def _turns_of(message: Any) -> Iterator[Turn]:
    """Yield what a message says, then what it refuses to say, then each tool it calls."""
    if not isinstance(message, dict):
        return
    who = str(message.get("role", ""))[:_MOST_OF_A_NAME]
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    for said in (" ".join(text for text in texts if isinstance(text, str)), message.get("refusal")):
        if said and isinstance(said, str):
            yield Turn(who, said)
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            name = str(function.get("name", ""))[:_MOST_OF_A_NAME]
            yield Turn(f"{who} calls the tool {name}", str(function.get("arguments", "")))


def given(value: Any) -> str:
    """Write a value that a model was given; below zero with the minus sign of all pages.

    >>> given(-11) == given(-11.0), given("-11"), given(True)
    (True, '-11', 'true')
    """
    text = numbers.anything(value)
    return text.replace("-", "\N{MINUS SIGN}") if isinstance(value, int | float) else text


def pretty(value: Any) -> str:
    """Return a body indented, and its beginning only if it is long.

    >>> print(pretty({"wind": 12.5}))
    {
      "wind": 12.5
    }
    """
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return text[:MOST_SHOWN]


def left_out(value: Any) -> int:
    """Return how many characters of a body `pretty` does not show.

    >>> left_out("x" * 7000)
    1002
    """
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return max(0, len(text) - MOST_SHOWN)
