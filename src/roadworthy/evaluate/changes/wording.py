"""Changes of a text that a reader hardly notices: slips of the keyboard, case, spaces, frames."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from random import Random

from ...declare.evaluation import BehaviourEntry
from .change import Edit

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_HELD = re.compile(r"`[^`]*`|\{[^{}]*\}|\S*(?:[\d@/\\_#<>=|]|\w\.\w|\w:\w|\w-\w)\S*")
"""What is left alone: code, placeholders, and every word that may be a number, an id or a link."""
_WORD = re.compile(r"(?<![\w'\u2019-])[^\W\d_]+(?:['\u2019][^\W\d_]+)?(?![\w'\u2019-])")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_WORDS_PER_TYPO = 8


def neighbours(letter: str) -> str:
    """Return the letters beside one on a keyboard; none where it is on no such key."""
    for number, row in enumerate(_ROWS):
        at = row.find(letter)
        if letter and at >= 0:
            below = _ROWS[number + 1] if number + 1 < len(_ROWS) else ""
            above = _ROWS[number - 1] if number else ""
            return (
                row[max(0, at - 1) : at]
                + row[at + 1 : at + 2]
                + below[at : at + 1]
                + (above[at : at + 1])
            )
    return ""


def free_words(text: str) -> list[re.Match[str]]:
    """Return the words of a text that are no number, id, code or link."""
    held = [found.span() for found in _HELD.finditer(text)]
    return [
        word
        for word in _WORD.finditer(text)
        if not any(start <= word.start() < end for start, end in held)
    ]


def each_free_word(text: str, change: Callable[[str], str]) -> str:
    """Return the text with every free word changed."""
    parts, at = [], 0
    for word in free_words(text):
        parts += [text[at : word.start()], change(word[0])]
        at = word.end()
    return "".join([*parts, text[at:]])


def typos(text: str, rng: Random, entry: BehaviourEntry) -> Iterator[Edit]:
    """Yield the text with one slip in every eight words: a neighbour, a swap or a drop."""
    able = [word for word in free_words(text) if len(word[0]) >= 4 and word[0].islower()]
    chosen = rng.sample(able, min(len(able), max(1, len(able) // _WORDS_PER_TYPO)))
    changed, said = text, []
    for word in sorted(chosen, key=lambda word: -word.start()):
        slip = _slip(word[0], rng)
        changed = changed[: word.start()] + slip + changed[word.end() :]
        said.append(f"`{word[0]}` became `{slip}`")
    if changed != text:
        yield Edit(changed, ", ".join(reversed(said)))


def _slip(word: str, rng: Random) -> str:
    """Return a word with one slip behind its first letter; it is always another word."""
    at = rng.randrange(1, len(word) - 1)
    beside = neighbours(word[at])
    sort = rng.choice(("neighbour", "swap", "drop"))
    if sort == "neighbour" and beside:
        return word[:at] + rng.choice(beside) + word[at + 1 :]
    if sort == "swap" and word[at] != word[at + 1]:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + word[at + 1 :]


def letter_case(text: str, rng: Random, entry: BehaviourEntry) -> Iterator[Edit]:
    """Yield the text in another case; words all in capitals are codes, and stay."""
    changes: list[tuple[str, Callable[[str], str]]] = [
        ("all in small letters", str.lower),
        ("all in capitals", str.upper),
        ("every word with a capital", str.capitalize),
    ]
    rng.shuffle(changes)
    for said, change in changes:
        changed = each_free_word(text, lambda word, c=change: word if _is_code(word) else c(word))  # type: ignore[misc]
        if changed != text:
            yield Edit(changed, said)
            return


def _is_code(word: str) -> bool:
    return len(word) > 1 and word.isupper()


def spaces(text: str, rng: Random, entry: BehaviourEntry) -> Iterator[Edit]:
    """Yield the text with other spaces, or another sign at its end."""
    if not text.strip():
        return
    changes = [
        ("two spaces between words", re.sub(r"(?<=\S) (?=\S)", "  ", text)),
        ("a space before and behind", f" {text} "),
        ("a line break between sentences", _SENTENCE_END.sub("\n", text)),
        ("a line break at the end", f"{text}\n"),
        ("a tab before", f"\t{text}"),
        ("spaces that do not break", text.replace(" ", "\u00a0")),
        ("no sign at the end", re.sub(r"[.!?]+\s*$", "", text)),
        ("the sign at the end doubled", re.sub(r"([.!?])\s*$", r"\1\1", text)),
    ]
    able = [Edit(changed, said) for said, changed in changes if changed not in (text, "")]
    yield rng.choice(able)


def frames(text: str, rng: Random, entry: BehaviourEntry) -> Iterator[Edit]:
    """Yield the text in another format: Markdown, a list, quotes, lines."""
    if not text.strip():
        return
    sentences = _SENTENCE_END.split(text.strip())
    changes = [
        ("in quotes", f'"{text}"'),
        ("as a quotation in Markdown", "\n".join(f"> {line}" for line in text.splitlines())),
        ("in bold", f"**{text.strip()}**"),
        ("as a list", "\n".join(f"- {sentence}" for sentence in sentences)),
        ("one sentence a line", "\n\n".join(sentences)),
        ("in a fence", f"```\n{text}\n```"),
        ("under a heading", f"# Message\n\n{text}"),
    ]
    able = [Edit(changed, said) for said, changed in changes if changed != text]
    yield rng.choice(able)
