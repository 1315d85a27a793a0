"""A rehearsal of a language model for `support-reply`: `python practice.py`, until Ctrl-C.

It is the package's own FaultyUpstream in its good mood: a real OpenAI-style server on this machine
that answers with a few prepared sentences, counts each word as a token and never fails.
"""

from __future__ import annotations

import argparse
import threading
from contextlib import suppress
from typing import Any

from roadworthy.testing import FaultyUpstream

PORT = 8799
LATENCY_S = 0.03

REPLIES = {
    "bag suitcase headphones stroller surfboard": "I am sorry for the trouble with your things."
    " Please give me your booking code and describe the item, and I will look for it at both"
    " airports. Each checked bag may weigh up to 50 pounds.",
    "delay delayed connection miss late cancelled storm weather": "I see how much depends on this"
    " flight. If you miss your connection because of us, we book you on the next one at no charge,"
    " and you can change or refund the ticket in the app.",
    "charged refunded money receipt cost cancel": "Thank you for telling us. Refunds go back to the"
    " card you paid with within seven business days; a receipt for every charge is in the app under"
    " your booking.",
    "seat seats together gate terminal check-in boarding": "You find your seat, terminal and gate"
    " in the app from 24 hours before departure. If your seats are apart, the agent at the gate can"
    " often move them together.",
    "wheelchair insulin pregnant cast mother son daughter dog": "We are glad to help. Please tell"
    " us your booking code at least 48 hours before departure, so that an agent can be there for"
    " you from the door to the seat.",
}
OTHERWISE = (
    "Thank you for your question. I have found your request and will answer it in detail soon."
)


def reply_to(messages: list[dict[str, Any]]) -> str:
    """Return the prepared reply whose words the last message shares most."""
    asked = {word.strip(".,?!").lower() for word in str(messages[-1].get("content")).split()}
    shared, reply = max(
        (len(asked & set(words.split())), reply) for words, reply in REPLIES.items()
    )
    return reply if shared else OTHERWISE


def open_practice(port: int = PORT) -> FaultyUpstream:
    """Return the rehearsal upstream, ready to be started with `with`."""
    return FaultyUpstream(answer=reply_to, models=("practice",), latency_s=LATENCY_S, port=port)


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--port", type=int, default=PORT)
    with open_practice(parser.parse_args().port) as upstream, suppress(KeyboardInterrupt):
        print(f"rehearsing a language model on {upstream.base_url}; Ctrl-C ends it", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
