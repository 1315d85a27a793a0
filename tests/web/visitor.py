"""A browser without a screen that also checks how the pages it reads are made."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html.parser import HTMLParser
from urllib.parse import unquote, urlencode

from browser import Browser
from control_plane import Answer, Plane

_VOID = {"meta", "link", "input", "br", "hr", "img"}


class Shown(HTMLParser):
    """A page as it was read.

    Attributes:
        elements: Every element's name and attributes, in the order of the page.
        words: Its text, with runs of white space as one.
        unclosed: Elements that were never closed, or closed in the wrong order.
    """

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__()
        self.status = status
        self.headers = headers
        self.source = body.decode()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.unclosed: list[str] = []
        self._open: list[str] = []
        self._texts: list[str] = []
        self.feed(self.source)
        self.close()
        self.unclosed += self._open
        self.words = re.sub(r"\s+", " ", " ".join(self._texts))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()
        else:
            self.unclosed.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if "script" not in self._open[-1:]:
            self._texts.append(data)

    def having(self, tag: str, **given: str) -> list[dict[str, str | None]]:
        """Return the attributes of the elements of a name that have these."""
        return [
            found
            for name, found in self.elements
            if name == tag and all(found.get(k) == v for k, v in given.items())
        ]

    @property
    def links(self) -> list[str]:
        return [found["href"] or "" for found in self.having("a") if "href" in found]

    @property
    def headline(self) -> str:
        found = re.search(r"<h1>(.*?)</h1>", self.source, re.DOTALL)
        assert found
        return re.sub(r"<[^>]*>", "", found[1]).strip()


class Visitor(Browser):
    """A browser that reads what it sees, logged in if it has a key's secret."""

    def __init__(self, plane: Plane, secret: str | None = None) -> None:
        super().__init__(plane)
        if secret is not None:
            self.log_in(secret)

    def see(self, target: str) -> Shown:
        """Read a page."""
        return self._read(self.get(_decoded(target)))

    def send(self, target: str, fields: Iterable[tuple[str, str]] = (), **more: str) -> Shown:
        """Send a form with the tokens of the page that was seen last."""
        pairs = [("csrf", self.token), *self.once_for(target).items(), *fields, *more.items()]
        return self._read(self._ask("POST", _decoded(target), urlencode(pairs).encode()))

    def _read(self, answer: Answer) -> Shown:
        return Shown(answer.status, answer.headers, answer.body)


def _decoded(target: str) -> str:
    """Return a target as a server hands it to an app."""
    path, mark, query = target.partition("?")
    return f"{unquote(path)}{mark}{query}"
