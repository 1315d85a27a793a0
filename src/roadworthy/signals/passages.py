"""Cuts Markdown pages into passages: a part under one heading, small enough to be read whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import msgspec

from .text import sentences_of

MOST_TOKENS = 240
"""Tokens of a passage with its heading: MiniLM reads 256, a small language model a few passages."""

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*$")
_FENCE = re.compile(r"\s*(```|~~~)")
_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+")
_RULE = re.compile(r"\s*\|?[\s:|-]*-{3}[\s:|-]*\|?\s*$")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKS = re.compile(r"(\*\*|__|`|(?<!\w)[*_]|[*_](?!\w))")

Count = Callable[[str], int]


class Piece(msgspec.Struct, frozen=True):
    """One passage as it stands on its page.

    Attributes:
        file: The page, relative to the folder of all pages.
        heading: The headings above it, outermost first, joined by ` > `.
        sentences: What it says, in order.
    """

    file: str
    heading: str
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """All its sentences."""
        return " ".join(self.sentences)


def cut_page(file: str, text: str, count: Count, most_tokens: int = MOST_TOKENS) -> list[Piece]:
    """Return the passages of a Markdown page, in order.

    A passage never crosses a heading and never parts a sentence, unless that sentence alone is
    longer than `most_tokens`; then it is cut between words.

    Args:
        file: What the page is called.
        text: Its Markdown; front matter between `---` is left out.
        count: Counts the tokens of a text.
        most_tokens: How long a passage with its heading may be.
    """
    pieces: list[Piece] = []
    for heading, sentences in _sections(text):
        room = max(most_tokens - count(heading), most_tokens // 4)
        pieces += [Piece(file, heading, tuple(p)) for p in _parts(sentences, count, room)]
    return pieces


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each heading's path and the sentences below it, as far as there are any."""
    path: list[tuple[int, str]] = []
    lines: list[str] = []
    is_code = False
    for line in _without_front_matter(text.splitlines()):
        if _FENCE.match(line):
            is_code = not is_code
            lines.append("")
            continue
        found = None if is_code else _HEADING.match(line)
        if found is None:
            lines.append(line)
            continue
        if sentences := _sentences(lines):
            yield _joined(path), sentences
        lines = []
        depth = len(found[1])
        path = [(d, words) for d, words in path if d < depth]
        path.append((depth, _plain(found[2])))
    if sentences := _sentences(lines):
        yield _joined(path), sentences


def _without_front_matter(lines: list[str]) -> list[str]:
    if not lines or lines[0].strip() != "---":
        return lines
    ends = (n for n, line in enumerate(lines[1:], 1) if line.strip() == "---")
    end = next(ends, None)
    return lines if end is None else lines[end + 1 :]


def _joined(path: Sequence[tuple[int, str]]) -> str:
    return " > ".join(words for _, words in path)


def _sentences(lines: Sequence[str]) -> list[str]:
    """Return the sentences of a section; items of a list are read after what introduces them."""
    found: list[str] = []
    intro = ""
    header: list[str] = []
    for block in _blocks(lines):
        if block.startswith("|"):
            cells = [_plain(cell.strip()) for cell in block.strip("| ").split("|")]
            if header:
                pairs = zip(header, cells, strict=False)
                found.append(_ended("; ".join(f"{name}: {cell}" for name, cell in pairs)))
            header = header or cells
            continue
        header = []
        is_item = _ITEM.match(block) is not None
        words = _plain(_ITEM.sub("", block, count=1) if is_item else block)
        if is_item and intro:
            words = _ended(f"{intro} {words}")
        sentences = sentences_of(words)
        if not is_item:
            intro = ""
        if sentences and not is_item and sentences[-1].endswith(":"):
            intro = sentences.pop()
        found.extend(sentences)
    return found


def _ended(words: str) -> str:
    return words if words.endswith((".", "!", "?")) else f"{words}."


def _blocks(lines: Sequence[str]) -> Iterator[str]:
    """Yield paragraphs, list items and table rows, each on one line."""
    block: list[str] = []
    for line in (*lines, ""):
        is_row = line.lstrip().startswith("|")
        starts = not line.strip() or _ITEM.match(line) is not None or is_row
        if starts and block:
            yield " ".join(block)
            block = []
        if is_row:
            if not _RULE.match(line):
                yield line.strip()
        elif line.strip():
            block.append(line.strip().removeprefix("> "))


def _plain(text: str) -> str:
    return _MARKS.sub("", _LINK.sub(r"\1", text)).strip()


def _parts(sentences: Sequence[str], count: Count, most_tokens: int) -> Iterator[list[str]]:
    """Yield runs of sentences, each of at most `most_tokens`."""
    part: list[str] = []
    tokens = 0
    for sentence in sentences:
        for words in _cut(sentence, count, most_tokens):
            size = count(words)
            if part and tokens + size > most_tokens:
                yield part
                part, tokens = [], 0
            part.append(words)
            tokens += size
    if part:
        yield part


def _cut(sentence: str, count: Count, most_tokens: int) -> list[str]:
    if count(sentence) <= most_tokens:
        return [sentence]
    words = sentence.split()
    if len(words) == 1:
        return [sentence[: most_tokens * 2]]
    half = len(words) // 2
    left, right = " ".join(words[:half]), " ".join(words[half:])
    return [*_cut(left, count, most_tokens), *_cut(right, count, most_tokens)]
