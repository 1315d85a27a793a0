"""Other words for the same: what a service declares, contractions, polite frames."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random
from typing import Any

from ...declare.evaluation import BehaviourEntry
from .change import Edit

_CONTRACTIONS = {
    "do not": "don't",
    "does not": "doesn't",
    "did not": "didn't",
    "can not": "can't",
    "cannot": "can't",
    "could not": "couldn't",
    "will not": "won't",
    "would not": "wouldn't",
    "is not": "isn't",
    "are not": "aren't",
    "was not": "wasn't",
    "have not": "haven't",
    "has not": "hasn't",
    "I am": "I'm",
    "I have": "I've",
    "I will": "I'll",
    "it is": "it's",
    "what is": "what's",
    "where is": "where's",
    "that is": "that's",
    "you are": "you're",
    "we are": "we're",
}
_FRAMES = (
    ("Please help me with this: ", ""),
    ("Hello, ", ""),
    ("I have a question. ", ""),
    ("", " Thank you."),
    ("", " Thanks in advance!"),
    ("Could you look at this? ", ""),
)
_PLACE = re.compile(r"\\\{(\w+)\\\}")


def paraphrase(text: str, rng: Random, entry: BehaviourEntry) -> Iterator[Edit]:
    """Yield the text by each means that fits: declared wordings, a contraction, a polite frame."""
    yield from _declared(text, rng, entry.replace)
    yield from _contracted(text, rng)
    if text.strip():
        before, behind = rng.choice(_FRAMES)
        yield Edit(f"{before}{text}{behind}", f"`{(before + behind).strip()}` was added")


def _declared(text: str, rng: Random, replace: dict[str, Any]) -> Iterator[Edit]:
    """Yield one text in which every declared wording that occurs is put in other words."""
    changed, said = text, []
    for wording, others in replace.items():
        other = rng.choice(others) if isinstance(others, list) and others else str(others)
        found = replaced(changed, wording, other)
        if found != changed:
            changed = found
            said.append(f"`{wording}` became `{other}`")
    if said and changed != text:
        yield Edit(changed, ", ".join(said))


def replaced(text: str, wording: str, other: str) -> str:
    """Return the text with one wording put in other words.

    `{name}` in both stands for whatever is there. The case of the first letter is kept.

    >>> replaced("Can I return shoes?", "can I {do}?", "is it possible to {do}?")
    'Is it possible to return shoes?'
    """
    pattern = _PLACE.sub(r"(?P<\1>.+?)", re.escape(wording))
    starts = r"(?<!\w)" if wording[:1].isalnum() else ""
    ends = r"(?!\w)" if wording[-1:].isalnum() or wording.endswith("}") else ""

    def put(found: re.Match[str]) -> str:
        new = re.sub(r"\{(\w+)\}", lambda name: found.groupdict().get(name[1], name[0]), other)
        return new[:1].upper() + new[1:] if found[0][:1].isupper() else new

    return re.sub(f"{starts}{pattern}{ends}", put, text, flags=re.IGNORECASE)


def _contracted(text: str, rng: Random) -> Iterator[Edit]:
    """Yield the text with one contraction made or undone."""
    pairs = [*_CONTRACTIONS.items(), *((short, long) for long, short in _CONTRACTIONS.items())]
    able = [(long, short) for long, short in pairs if replaced(text, long, short) != text]
    if able:
        long, short = rng.choice(able)
        yield Edit(replaced(text, long, short), f"`{long}` became `{short}`")
