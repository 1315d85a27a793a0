"""Bodies of requests as a person reads them: JSON on lines of their own, and never a megabyte."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

MOST_SHOWN = 6000
"""Characters of a body that stand on a page; the rest is behind the link to the JSON."""

MOST_TURNS = 20


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
    """
    if not isinstance(value, dict):
        return ()
    if isinstance(text := value.get("text"), str) and "messages" not in value:
        return (Turn("answer", text),) if text else ()
    messages = value.get("messages")
    if not isinstance(messages, list):
        return ()
    found = [_turn(message) for message in messages[-MOST_TURNS:]]
    return tuple(turn for turn in found if turn and turn.text)


def _turn(message: Any) -> Turn | None:
    if not isinstance(message, dict):
        return None
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    said = " ".join(text for text in texts if isinstance(text, str))
    return Turn(str(message.get("role", ""))[:40], said)


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
