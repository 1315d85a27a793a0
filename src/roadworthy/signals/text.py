"""Take a text apart: its sentences, its numbers, its names, whether it denies something."""

from __future__ import annotations

import re

_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(]*[A-Z0-9À-ÞЀ-Я])")
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|St|No|vs|etc|approx|incl|excl|e\.g|i\.e|a\.m|p\.m|U\.S)|\b[A-Z])\.$"
)
_CITATION = re.compile(r"\[([^\[\]\n:]+\.md)(?::[^\[\]\n]*)?\]")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NOT = re.compile(
    r"\b(?:not|no|never|none|neither|nor|without|cannot|nobody|nothing|except|unless"
    r"|nicht|kein\w*|nie|ohne|ne|pas|jamais|sans|sin|nunca)\b|n['\u2019]t\b",
    re.IGNORECASE,
)
_WORDS = re.compile(r"\w+")
_I = re.compile(r"I\b")
_NAME = re.compile(r"\b[A-ZÀ-ÞЀ-Я]\w*(?:[-'\u2019]\w+)*")


def sentences_of(text: str) -> list[str]:
    """Return the sentences of prose, in order, without the space around them.

    >>> sentences_of("Bags up to 50 lb. are free. Call us before 9 p.m. Eastern!")
    ['Bags up to 50 lb. are free.', 'Call us before 9 p.m. Eastern!']
    """
    found: list[str] = []
    for line in text.splitlines():
        start = 0
        for end in _END.finditer(line):
            if not _ABBREVIATION.search(line[start : end.start()]):
                found.append(line[start : end.end()].strip())
                start = end.end()
        found.append(line[start:].strip())
    return [sentence for sentence in found if _WORDS.search(sentence)]


def without_citations(text: str) -> tuple[str, list[str]]:
    """Return a text without its citations like `[refunds.md: Refunds]`, and the files they name."""
    files = [match[1] for match in _CITATION.finditer(text)]
    return (_CITATION.sub("", text), files) if files else (text, files)


def numbers_of(text: str) -> set[str]:
    """Return the numbers in a text, however their thousands are parted.

    >>> sorted(numbers_of("$1,500 or 2.50 within 24 hours."))
    ['1500', '2.5', '24']
    """
    return {_plain(match[0]) for match in _NUMBER.finditer(text)}


def _plain(number: str) -> str:
    whole, _, rest = number.replace(",", "").partition(".")
    rest = rest.rstrip("0")
    return f"{whole.lstrip('0') or '0'}.{rest}" if rest else whole.lstrip("0") or "0"


def names_of(text: str) -> set[str]:
    """Return what looks like a name in a text: words that begin large inside of a sentence.

    The first word of a sentence is one only where all of it is large, for any word begins it so.
    `I` is none. In German, where every noun begins large, these are the nouns.

    >>> sorted(names_of("Ask United at JFK. FAA rules hold, and I am Ann."))
    ['Ann', 'FAA', 'JFK', 'United']
    """
    found = set()
    for sentence in sentences_of(text):
        first = _WORDS.search(sentence)
        start = first.start() if first else 0
        for match in _NAME.finditer(sentence):
            name = match[0]
            is_large = len(name) > 1 and name.isupper()
            if is_large or (match.start() != start and not _I.match(name)):
                found.add(name)
    return found


def words_of(text: str) -> list[str]:
    """Return the words of a text in their order, small."""
    return _WORDS.findall(text.casefold())


def is_negative(text: str) -> bool:
    """Return whether a text denies or excepts something, by its words."""
    return _NOT.search(text) is not None


def normalised(text: str) -> str:
    """Return the words of a text alone, so that spacing and punctuation make no difference."""
    return " ".join(words_of(text))
