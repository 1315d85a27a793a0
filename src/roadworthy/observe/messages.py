"""What a webhook is sent: facts for programs as JSON, or a message for people in Slack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from ..store.clock import time_of
from ..store.deliveries import Delivery

MOST_CHARACTERS = 2_900
"""Of a section in Slack, which refuses 3,000."""
_MOST_OF_A_VALUE = 300
_IN_A_LINK = "/?#=&%-._~@:"

_encode = msgspec.json.Encoder().encode


def json_message(delivery: Delivery, project: str) -> bytes:
    """Return the facts of a notice as they are signed and sent."""
    return _encode(
        {
            "type": delivery.event,
            "timestamp": time_of(delivery.created_at_us),
            "project": project,
            "subject": delivery.subject,
            "data": msgspec.Raw(delivery.body.encode()),
        }
    )


def slack_message(delivery: Delivery, project: str, console_url: str) -> bytes:
    """Return a notice as Slack's incoming webhooks take it, with a link to its page.

    What a person wrote cannot address a channel or make a link of its own: `&`, `<` and `>` are
    all that Slack gives a meaning to, and they are escaped.
    """
    facts: Mapping[str, Any] = msgspec.json.decode(delivery.body)
    subject = _escaped(delivery.subject[:_MOST_OF_A_VALUE])
    title = f"*{_escaped(delivery.event)}* {subject} ({_escaped(project)})"
    text = "\n".join((title, *_lines(facts)))[:MOST_CHARACTERS]
    blocks = [_section(_whole(text))]
    link = facts.get("link")
    if console_url and isinstance(link, str) and link.startswith("/"):
        url = console_url.rstrip("/") + quote(link, safe=_IN_A_LINK)
        blocks.append(_section(f"<{url}|Open in the console>"))
    short = _escaped(f"{project}: {delivery.event} {delivery.subject}"[:_MOST_OF_A_VALUE])
    return _encode({"text": short, "blocks": blocks})


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    for name, value in facts.items():
        if name != "link" and value not in ("", None):
            text = value if isinstance(value, str) else _encode(value).decode()
            yield f"{_escaped(name)}: {_escaped(text[:_MOST_OF_A_VALUE])}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _whole(text: str) -> str:
    """Drop an escape that was cut off at the end."""
    start = text.rfind("&")
    return text[:start] if start != -1 and ";" not in text[start:] else text


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}
