"""How many more or fewer tokens the same texts are for another model. Pure.

The ratio of two sums over a sample has an interval by linearisation (Cochran, Sampling Techniques,
1977, section 6.4): the texts are the sample, and each is counted for both models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from ..signals.tokens import Counter

_Z = 1.959964
_decode = msgspec.json.decode
_encode = msgspec.json.Encoder().encode

How = Literal["exact", "learned", "unknown"]
Source = Literal["records", "suites", "none"]


class Sample(msgspec.Struct, frozen=True):
    """Texts that went into models and came out of them.

    Attributes:
        inputs: Bodies of requests, as JSON.
        outputs: What was answered, as JSON.
        source: Where they are from.
    """

    inputs: tuple[bytes, ...] = ()
    outputs: tuple[bytes, ...] = ()
    source: Source = "none"


class Ratio(msgspec.Struct, frozen=True):
    """Tokens for the new model to those for the old, of the same texts.

    Attributes:
        low, high: Interval of 95 %; None of fewer than two texts.
        n: How many texts.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    old_tokens: int
    new_tokens: int


class TokenChange(msgspec.Struct, frozen=True, kw_only=True):
    """What another model makes of the same texts.

    Attributes:
        old, new: The models, as their providers call them.
        old_counted, new_counted: By its own vocabulary (`exact`), at what its provider counted
            (`learned`), or not at all (`unknown`): then no ratio says anything.
        input, output: Of what goes in and what comes out; None where nothing is known.
    """

    old: str
    new: str
    old_counted: How
    new_counted: How
    source: Source
    input: Ratio | None = None
    output: Ratio | None = None

    @property
    def is_known(self) -> bool:
        """Whether there is a ratio that says something."""
        return self.input is not None or self.output is not None

    @property
    def sentence(self) -> str:
        """What it says, in one sentence."""
        if "unknown" in (self.old_counted, self.new_counted):
            known = (self.old_counted, self.new_counted)
            pairs = zip((self.old, self.new), known, strict=True)
            names = " and ".join(f"`{name}`" for name, how in pairs if how == "unknown")
            return f"tokens: not comparable, because nothing is known of how {names} counts"
        if not self.is_known:
            return "tokens: no recorded text and no suite to count"
        parts = [
            f"{name} {_said(ratio)}"
            for name, ratio in (("input", self.input), ("output", self.output))
            if ratio is not None
        ]
        return f"tokens: for `{self.new}` instead of `{self.old}` {', '.join(parts)}"


def _said(ratio: Ratio) -> str:
    span = ""
    if ratio.low is not None and ratio.high is not None:
        span = f" ({ratio.low - 1:+.1%} to {ratio.high - 1:+.1%})"
    return f"{ratio.value - 1:+.1%}{span} of {ratio.n} texts"


def how_counted(counter: Counter) -> How:
    """Return what a counter goes by."""
    if counter.is_exact:
        return "exact"
    return "learned" if counter.is_learned else "unknown"


def token_change(
    sample: Sample, old: str, new: str, old_counter: Counter, new_counter: Counter
) -> TokenChange:
    """Count the same texts for two models.

    Args:
        sample: The texts.
        old: The one model.
        new: The other.
        old_counter: Counts as the one does.
        new_counter: Counts as the other does.
    """
    old_how, new_how = how_counted(old_counter), how_counted(new_counter)
    known = "unknown" not in (old_how, new_how) or old == new
    return TokenChange(
        old=old,
        new=new,
        old_counted=old_how,
        new_counted=new_how,
        source=sample.source,
        input=_ratio(sample.inputs, old_counter, new_counter, _count_input) if known else None,
        output=_ratio(sample.outputs, old_counter, new_counter, _count_output) if known else None,
    )


def _ratio(texts: Sequence[bytes], old: Counter, new: Counter, count: Any) -> Ratio | None:
    pairs = [(count(old, text), count(new, text)) for text in texts]
    return ratio_of([(one, other) for one, other in pairs if one])


def ratio_of(pairs: Sequence[tuple[int, int]]) -> Ratio | None:
    """Return the ratio of two sums with its interval; None where there is nothing to compare.

    >>> found = ratio_of([(100, 110), (200, 220)])
    >>> round(found.value, 6), round(found.low, 6), found.n, found.old_tokens, found.new_tokens
    (1.1, 1.1, 2, 300, 330)
    """
    n, old, new = len(pairs), sum(one for one, _ in pairs), sum(other for _, other in pairs)
    if not old:
        return None
    value = new / old
    if n < 2:
        return Ratio(value, None, None, n, old, new)
    squares = math.fsum((other - value * one) ** 2 for one, other in pairs)
    half = _Z * math.sqrt(squares / (n - 1) / n) / (old / n)
    return Ratio(value, max(value - half, 0.0), value + half, n, old, new)


def _count_input(counter: Counter, body: bytes) -> int:
    try:
        value = _decode(body)
    except msgspec.DecodeError:
        return 0
    messages = value.get("messages") if isinstance(value, dict) else None
    if isinstance(messages, list) and all(isinstance(m, dict) for m in messages):
        return counter.chat(messages, value.get("tools"))
    if isinstance(value, dict):
        return sum(counter.count(v if isinstance(v, str) else _text(v)) for v in value.values())
    return counter.count(_text(value))


def _count_output(counter: Counter, body: bytes) -> int:
    try:
        value = _decode(body)
    except msgspec.DecodeError:
        return 0
    if isinstance(value, dict) and isinstance(value.get("choices"), list):
        found = [c.get("message") or {} for c in value["choices"] if isinstance(c, dict)]
        return sum(counter.count(str(m.get("content") or "")) for m in found)
    if isinstance(value, dict) and set(value) == {"text"} and isinstance(value["text"], str):
        return counter.count(value["text"])
    return counter.count(_text(value))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _encode(value).decode()
