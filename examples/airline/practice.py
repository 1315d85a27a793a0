"""A rehearsal of a language model for `support-reply`: `python practice.py`, until Ctrl-C.

It is the package's own FaultyUpstream in its good mood: a real OpenAI-style server on this machine.
It understands nothing. It answers with the two sentences of its passages that share most words with
the question, counts each word as a token, and adds a promise of its own to one answer in five, as
language models do: so the guard `grounded` has something to keep back.
"""

from __future__ import annotations

import argparse
import re
import threading
import zlib
from contextlib import suppress
from typing import Any

from roadworthy.testing import FaultyUpstream

PORT = 8799
LATENCY_S = 0.03

MADE_UP_IN = 5
"""One answer in so many holds a promise that no page makes; the same questions each time."""
PROMISES = (
    "As an apology you also receive 5,000 points.",
    "Our crew will be happy to serve you a free meal.",
    "You can get a full refund at any time within 90 days.",
    "We answer every such request within ten minutes.",
)
OTHERWISE = "I do not know."
SENTENCES = 2
COMMON = frozenset(
    {"and", "any", "are", "but", "can", "did", "does", "for", "from", "get", "have", "how", "may"}
    | {"not", "our", "that", "the", "this", "was", "what", "when", "who", "with", "you", "your"}
)
"""Words that say nothing about what a sentence is about."""

_FILE = re.compile(r"\[[^\[\]]+\.md\]$")
_ENDS = re.compile(r"(?<=[.!?])\s+")


def reply_to(messages: list[dict[str, Any]]) -> str:
    """Return the sentences that share most words with the last message, each with its page."""
    asked = str(messages[-1].get("content"))
    words = words_of(asked)
    told = sentences_told(str(messages[0].get("content")))
    shared = sorted(told, key=lambda one: -len(words & words_of(one[0])))[:SENTENCES]
    copied = [f"{sentence} {file}" for sentence, file in shared if words & words_of(sentence)]
    if not copied:
        return OTHERWISE
    place = zlib.crc32(asked.encode())
    is_made_up = place % MADE_UP_IN == 0
    promise = f" {PROMISES[place // MADE_UP_IN % len(PROMISES)]}" if is_made_up else ""
    return " ".join(copied) + promise


def sentences_told(prompt: str) -> list[tuple[str, str]]:
    """Return each sentence below a line that ends in `[page.md]`, with that page."""
    told, file = [], ""
    for line in prompt.splitlines():
        found = _FILE.search(line)
        if found is not None:
            file = found[0]
        elif file and line != "</passages>":
            told += [(sentence, file) for sentence in _ENDS.split(line) if sentence]
    return told


def words_of(text: str) -> set[str]:
    """Return the words of a text that say what it is about, without the `s` of more than one."""
    words = {word for word in re.findall(r"[a-z]+", text.lower()) if len(word) > 2}
    return {word.removesuffix("s") for word in words - COMMON}


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
