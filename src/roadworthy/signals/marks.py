"""What must agree before two texts can mean the same: numbers, negation, names, language, words.

These are hard guards: no similarity outweighs them. Vectors of texts hardly see a number or a `not`
(at a cosine of .95, 14 % of the hits of a cache were wrong), and each guard reads one of what they
miss. A guard that refuses too much costs a hit; one that lets pass costs a wrong answer, so all of
them are strict. All are pure, and a text is read once: `marks_of` keeps what they compare.
"""

from __future__ import annotations

import itertools
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from .text import is_negative, names_of, words_of
from .wordlists import (
    CURRENCIES,
    FILLERS,
    LANGUAGES,
    NEGATORS,
    NUMBER_WORDS,
    OPPOSITE,
    QUESTIONS,
    TIMES,
)

MOST_CHARACTERS = 4_000
"""Of a text that is read; of a longer one the rest must be the same to the letter."""
MOST_SWAPPED = 2
"""Of two texts that share a frame, so many other words on each side make another question."""

_NUMBER = re.compile(r"[-\u2212]?\d+(?:[.,:/\u2044]\d+)*\s*%?")
_SYMBOLS = re.compile(r"[$\u20ac\u00a3\u00a5\u20b9]|\b(?:[A-Z]{2,}\d+|\d+[A-Z]+)\b")
_NO_APOSTROPHE = re.compile(
    r"\b(?:do|does|did|is|are|was|were|wo|would|ca|could|should|has|have|had|ai|must|need)nt\b"
)
_UNSPACED_NOT = re.compile(r"[不没沒無无未別别]|ない|ません|안 |못 |없|아니")
_TURNED = {"from": "to", "to": "from", "into": "from"}
_NONE: frozenset[str] = frozenset()
_PREFIX = re.compile(r"^(?:un|dis|de|non|in|im|ir|il|mis|re)(?=\w{4})")


class Marks(NamedTuple):
    """What of a text is compared.

    Attributes:
        numbers: In their order, with what they are of: currency, per cent.
        negated: Whether it denies something.
        names: What begins large inside of a sentence, small.
        language: Script and, where its small words tell, language.
        asks: What kind of question it is: `when`, `where`, `who`, `why`, `amount`, `duration`.
        times: Days, months and times of day.
        words: The words that mean something, in order, without their endings.
        directions: Words that something goes `from` or `to`.
        every: All words, small.
        tail: What is beyond the part that is read.
    """

    numbers: tuple[str, ...]
    negated: bool
    names: frozenset[str]
    language: tuple[str, str]
    asks: str
    times: frozenset[str]
    words: tuple[str, ...]
    directions: frozenset[tuple[str, str]]
    every: frozenset[str]
    tail: str = ""


def folded(text: str) -> str:
    """Return a text in one spelling: composed, wide letters narrow, apostrophes straight.

    What cannot be seen is left out, so that it can hide nothing from a guard.

    >>> folded("Don\u2019t\u200b pay \uff15")
    "Don't pay 5"
    """
    text = unicodedata.normalize("NFKC", text)
    text = text.translate({0x2018: "'", 0x2019: "'", 0x02BC: "'", 0x0060: "'", 0x00B4: "'"})
    seen = [c for c in text if unicodedata.category(c) not in ("Cf", "Mn") or c == "\n"]
    return "".join(seen) if len(seen) < len(text) else text


def marks_of(text: str) -> Marks:
    """Return what is compared of a text.

    >>> marks_of("Can I bring 2 bags to Rome?").numbers
    ('2',)
    """
    read = folded(text[:MOST_CHARACTERS])
    every = [sys.intern(word) for word in words_of(read)]  # thousands of texts share them
    content = [
        sys.intern(_stem(word)) for word in every if word not in FILLERS and not word.isdigit()
    ]
    return Marks(
        numbers=_numbers(read, every),
        negated=_is_negated(read, every),
        names=frozenset(name.casefold() for name in names_of(read)),
        language=_language(read, every),
        asks=_asks(every),
        times=frozenset(TIMES[word] for word in every if word in TIMES),
        words=tuple(content),
        directions=frozenset(_directions(every)),
        every=frozenset(every),
        tail=text[MOST_CHARACTERS:],
    )


def why_not(one: Marks, other: Marks) -> str:
    """Return the first thing that speaks against two texts meaning the same; empty where nothing.

    >>> why_not(marks_of("Is a fee due for 1 bag?"), marks_of("Is a fee due for 2 bags?"))
    'numbers'
    >>> why_not(marks_of("weather in paris"), marks_of("weather in rome"))
    'words'
    >>> why_not(marks_of("How do I track my card?"), marks_of("how can I track my card"))
    ''
    """
    if one == other:
        return ""
    if one.tail != other.tail:
        return "length"
    if one.numbers != other.numbers:
        return "numbers"
    if one.negated != other.negated:
        return "negation"
    if not (one.names <= other.every and other.names <= one.every):
        return "names"
    if not _is_one_language(one.language, other.language):
        return "language"
    if one.asks != other.asks and one.asks and other.asks:
        return "question"
    if one.times != other.times:
        return "times"
    return _words_against(one, other)


def _words_against(one: Marks, other: Marks) -> str:
    if _has_opposites(one.every - other.every, other.every - one.every):
        return "opposites"
    if any((_TURNED[way], word) in other.directions for way, word in one.directions):
        return "order"
    ours, theirs = Counter(one.words), Counter(other.words)
    added, gone = ours - theirs, theirs - ours
    if not added and not gone:
        return "" if one.words == other.words else "order"
    shared, most = (ours & theirs).total(), max(added.total(), gone.total())
    if added and gone and most <= min(MOST_SWAPPED, shared + 1):
        return "words"
    return ""


def _has_opposites(ours: frozenset[str], theirs: frozenset[str]) -> bool:
    """Whether a word of one side is the opposite of one of the other."""
    stems = {_stem(word) for word in theirs}
    for word in ours:
        against = OPPOSITE.get(word, _NONE) | _OPPOSITE_STEMS.get(_stem(word), _NONE)
        if against & theirs or against & stems:
            return True
        if any(_is_prefixed(_stem(word), another) for another in stems):
            return True
    return False


def _directions(every: list[str]) -> Iterator[tuple[str, str]]:
    """Yield each word that follows on `from` or `to`, small words between them left out."""
    way = ""
    for word in every:
        if word in _TURNED:
            way = word
        elif way and word not in FILLERS:
            yield way, sys.intern(_stem(word))
            way = ""


def _is_prefixed(word: str, another: str) -> bool:
    """Whether one is the other with `un`, `dis`, `de` and the like before it."""
    longer, shorter = (word, another) if len(word) > len(another) else (another, word)
    bare = _PREFIX.sub("", longer)
    return bare != longer and bare == shorter


def _stem(word: str) -> str:
    """Return an English word without its ending; of other languages little is taken away."""
    for ending in ("ings", "ing", "ies", "ied", "es", "ed", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            bare = word[: -len(ending)]
            bare += "y" if ending in ("ies", "ied") else ""
            is_doubled = ending in ("ing", "ings", "ed") and bare[-1] == bare[-2]
            return bare[:-1] if is_doubled and bare[-1] not in "lsz" else bare
    return word


def _numbers(text: str, every: list[str]) -> tuple[str, ...]:
    found = [_plain(match[0]) for match in _NUMBER.finditer(text)]
    found += [NUMBER_WORDS[word] for word in every if word in NUMBER_WORDS]
    marks = {CURRENCIES.get(match[0], match[0]) for match in _SYMBOLS.finditer(text)}
    marks |= {CURRENCIES[word] for word in every if word in CURRENCIES}
    return (*found, *sorted(marks))


def _plain(number: str) -> str:
    """Return a number in one spelling: Latin digits, thousands together, no zeros at the end."""
    plain = "".join(str(unicodedata.digit(c)) if c.isdigit() else c for c in number)
    plain = plain.replace("\u2212", "-").replace(" ", "")
    if re.fullmatch(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?%?", plain):
        plain = plain.replace(",", "")
    whole, dot, rest = plain.rstrip("%").partition(".")
    if dot and rest.isdigit():
        plain = (f"{whole}.{rest.rstrip('0')}").rstrip(".") + ("%" if "%" in plain else "")
    return plain


def _is_negated(text: str, every: list[str]) -> bool:
    small = text.casefold()
    return (
        is_negative(text)
        or not NEGATORS.isdisjoint(every)
        or _NO_APOSTROPHE.search(small) is not None
        or _UNSPACED_NOT.search(text) is not None
    )


def _language(text: str, every: list[str]) -> tuple[str, str]:
    letters = [c for c in text if c.isalpha()]
    scripts = Counter(unicodedata.name(c, "?").partition(" ")[0] for c in letters[:200])
    script = scripts.most_common(1)[0][0] if scripts else ""
    if script != "LATIN":
        return script, ""
    known = Counter({name: sum(w in words for w in every) for name, words in LANGUAGES.items()})
    (best, count), (_, second) = known.most_common(2)
    return script, best if count > second else ""


def _is_one_language(one: tuple[str, str], other: tuple[str, str]) -> bool:
    if one[0] != other[0] and one[0] and other[0]:
        return False
    return one[1] == other[1] or not one[1] or not other[1]


def _asks(every: list[str]) -> str:
    """Return the first kind of question that the words are of."""
    for first, second in itertools.zip_longest(every, every[1:], fillvalue=""):
        kind = QUESTIONS.get(f"{first} {second}") or QUESTIONS.get(first)
        if kind:
            return kind
    return ""


_OPPOSITE_STEMS = {
    _stem(word): frozenset(_stem(another) for another in against)
    for word, against in OPPOSITE.items()
    if len(word) > 3
}
