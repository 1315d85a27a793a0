"""Elements of SVG and HTML as safe markup: everything that is put into them is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable

from markupsafe import Markup, escape

_SPACES = dict.fromkeys([0x09, 0x0A, 0x0D], " ")
_UNSEEN = [*range(0x20), *range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F]
_UNSEEN += [*range(0x2028, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF]
_SEEN = dict.fromkeys(_UNSEEN, "\N{REPLACEMENT CHARACTER}") | _SPACES


def text(words: str) -> Markup:
    r"""Return words as markup; what would hide them or turn them around is made visible.

    Markup is safe already and stays as it is.

    >>> str(text("<b>\u202e"))
    '&lt;b&gt;\ufffd'
    """
    return words if isinstance(words, Markup) else escape(visible(words))


def visible(words: str) -> str:
    r"""Return words with a mark wherever something would hide them or turn them around.

    >>> visible("a\u202eb") == "a\N{REPLACEMENT CHARACTER}b"
    True
    """
    return words.translate(_SEEN)


def visible_lines(words: str) -> str:
    """Return words of several lines as they are shown: as `visible`, but for their line ends."""
    return "\n".join(visible(line) for line in words.split("\n"))


def tag(name: str, cls: str, **attributes: object) -> Markup:
    """Return one empty element; its attributes are escaped.

    >>> str(tag("rect", "s1", x="2%", width=3))
    '<rect class="s1" x="2%" width="3"/>'
    """
    return Markup(f"<{name}{_attributes(cls, attributes)}/>")  # noqa: S704 - both are escaped


def words_at(cls: str, x: str, y: float, words: str) -> Markup:
    """Return words in a picture; `x` is in per cent or pixels, `y` in pixels."""
    place = _attributes(cls, {"x": x, "y": n(y)})
    return Markup("<text{}>{}</text>").format(place, text(words))


def svg(cls: str, height: int, body: Iterable[Markup], label: str) -> Markup:
    """Return a whole picture, as wide as there is room; `label` says it in words."""
    return Markup(
        '<svg class="{}" width="100%" height="{}" role="img" aria-label="{}">{}</svg>'
    ).format(text(cls), height, text(label), Markup().join(body))


def share(part: float, whole: float) -> float:
    """Return a share in per cent; of nothing there is none.

    >>> share(1, 4), share(1, 0)
    (25.0, 0.0)
    """
    return part / whole * 100 if whole > 0 and math.isfinite(part) else 0.0


def pc(share: float) -> str:
    """Return a share in per cent as an attribute.

    >>> pc(33.333)
    '33.33%'
    """
    return f"{n(share)}%"


def n(number: float) -> str:
    """Return a coordinate with at most two decimals.

    >>> n(12.50), n(-0.001), n(100)
    ('12.5', '0', '100')
    """
    written = f"{number:.2f}".rstrip("0").rstrip(".")
    return "0" if written == "-0" else written


def _attributes(cls: str, attributes: dict[str, object]) -> Markup:
    given = {"class": cls, **attributes} if cls else attributes
    # A picture is hundreds of these: `Markup.format` takes three times as long.
    written = [f' {name}="{text(str(value))}"' for name, value in given.items()]
    return Markup("".join(written))  # noqa: S704 - names are ours, values are escaped
