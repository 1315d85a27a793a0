"""Turns values into pages: Jinja with nothing that is shown left unescaped."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.resources import files
from typing import Any, NamedTuple

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response

from .. import (
    bodies,
    cache_words,
    certificate_words,
    charts,
    cost_words,
    evaluation_words,
    measures,
    numbers,
    release_words,
    review_words,
    routing_words,
    states,
    svg,
    words,
)
from . import (
    cache_pictures,
    cost_pictures,
    data_pictures,
    evaluation_pictures,
    pictures,
    provider_pictures,
    release_pictures,
    review_pictures,
    routing_pictures,
)

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}
NOTHING = Markup('<span aria-hidden="true">\N{EN DASH}</span><span class="vh">none</span>')
"""What stands where there is no value: not a zero, and not a blank."""

MOST_PRINTED = 4000
"""Characters of one text that a template writes where nothing says how many."""

_SAID_NOTHING = re.compile(
    r"""(?P<kept>"[^"]*")|/\*.*?\*/\s*|\s*(?P<mark>[{};,])\s*|(?<=:)\s+|(?P<space>\s+)""", re.DOTALL
)
_KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}


class Asset(NamedTuple):
    """A file that pages load, as it is sent."""

    body: bytes
    kind: str


def _load_assets() -> Mapping[str, Asset]:
    """Return every static file under its name with the digest of its content."""
    assets = {}
    for path in files("roadworthy.web.console").joinpath("static").iterdir():
        stem, dot, ending = path.name.rpartition(".")
        body = path.read_bytes()
        if ending == "css":
            body = compact(body.decode()).encode()
        name = f"{stem}.{hashlib.sha256(body).hexdigest()[:12]}{dot}{ending}"
        assets[name] = Asset(body, _KINDS[dot + ending])
    return assets


def compact(sheet: str) -> str:
    """Return a style sheet without comments and the white space that says nothing.

    >>> compact('a, b { /* x */ color: red;  content: ": "; }')
    'a,b{color:red;content:": "}'
    """

    def written(found: re.Match[str]) -> str:
        return found["kept"] or found["mark"] or (" " if found["space"] else "")

    return _SAID_NOTHING.sub(written, sheet).replace(";}", "}").strip()


ASSETS = _load_assets()
_URL_OF = {"{0}.{2}".format(*name.split(".")): f"/static/{name}" for name in ASSETS}


def html(body: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a page as a response that no cache keeps and no other site frames."""
    return Response(body, status, {**HEADERS, **(headers or {})}, "text/html; charset=utf-8")


def render(template: str, context: Mapping[str, Any]) -> str:
    """Return a page.

    Whatever a template writes is escaped, and characters that would hide text or turn it around are
    made visible; only markup that our own code made passes as it is.
    """
    return _environment.get_template(template).render(context)


def seen(value: Any) -> Any:
    """Return what stands on a page for a value; of a text that nothing has cut, the beginning."""
    if value is None:
        return NOTHING
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return svg.text(cut(value, MOST_PRINTED))


def cut(text: str, most: int = 200) -> str:
    """Return the beginning of a long text, and how long it is.

    >>> cut("abcdef", 3)
    'abc… (6 characters)'
    """
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def lines(text: str) -> Markup:
    """Return a text of several lines for `pre`: its line ends stay, all else is as `seen`."""
    return Markup("\n").join(svg.text(line) for line in text.split("\n"))


def ticks(text: str) -> Markup:
    """Return a message with what stands in backticks as code.

    >>> str(ticks("no `<b>`"))
    'no <code>&lt;b&gt;</code>'
    """
    parts = text.split("`")
    if len(parts) % 2 == 0:  # one is not closed
        return svg.text(text)
    code = Markup("<code>{}</code>")
    return Markup().join(
        code.format(svg.text(part)) if index % 2 else svg.text(part)
        for index, part in enumerate(parts)
    )


def pair(value: str) -> tuple[str, str]:
    """Return a choice that is shown as it is."""
    return value, value


def labelled(release: str, is_one_of_many: bool) -> tuple[str, str]:
    """Return a release as a choice: shown as lists show it, with its service among those of others.

    >>> labelled("risk@e0539fc43b6c", False), labelled("risk@e0539fc43b6c", True)
    (('risk@e0539fc43b6c', 'e0539f'), ('risk@e0539fc43b6c', 'e0539f risk'))
    """
    shown = numbers.short(release)
    return release, f"{shown} {release.partition('@')[0]}" if is_one_of_many else shown


def p(value: float) -> str:
    """Write the p of a test.

    >>> p(0.0312), p(0.00001)
    ('0.031', '<0.001')
    """
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def as_json(value: Any) -> str:
    """Return a declared value as JSON on one line."""
    return msgspec.json.encode(value).decode()


def _open_environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("roadworthy.web.console"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=seen,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    shown: tuple[Callable[..., Any], ...] = (
        cut,
        labelled,
        lines,
        pair,
        ticks,
        bodies.pretty,
        bodies.left_out,
        bodies.turns,
        bodies.given,
        p,
        *numbers.WRITERS,
        *measures.WRITERS,
    )
    environment.filters.update({function.__name__: function for function in shown})
    environment.filters["json"] = as_json
    environment.globals.update(
        nothing=NOTHING,
        charts=charts,
        cost_words=cost_words,
        cost_pictures=cost_pictures,
        pictures=pictures,
        data_pictures=data_pictures,
        provider_pictures=provider_pictures,
        review_pictures=review_pictures,
        cache_pictures=cache_pictures,
        cache_words=cache_words,
        routing_pictures=routing_pictures,
        routing_words=routing_words,
        words_of=review_words,
        words_of_certificates=certificate_words,
        evaluation_pictures=evaluation_pictures,
        evaluation_words=evaluation_words,
        release_pictures=release_pictures,
        release_words=release_words,
        words=words,
        states=states,
        url_of=_URL_OF,
        version=version("roadworthy"),
    )
    return environment


_environment = _open_environment()
