"""What every part of a declaration is made of: a frozen table, and fields with units and bounds."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from ..plugins import installed

MICRO_PER_USD = 1_000_000
MOST_USD = 1_000_000_000
DAY_MS = 86_400_000
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

WORD = r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"
"""A name that may stand in a URL, a host name and a file name alike."""
LABEL = r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,99}$"
"""A name that may stand in a header and a metric; upstream model names fit."""

CONTRACT_VERSION = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}@[A-Za-z0-9][A-Za-z0-9.+_-]{0,62}$"
"""A source and the version of its contract: `weather@2.0.0`."""
LENGTH_OF_TIME = r"[1-9][0-9]{0,8}[smhd]"
"""A length of time: `90m`."""
VIEW_VERSION = r"^[a-z][a-z0-9_-]{0,62}@[1-9][0-9]{0,6}$"
"""A feature view and its version: `weather_now@2`."""

PATTERNS_IN_WORDS = {
    WORD: "a DNS-like word (a-z, 0-9 and `-`, a letter first, at most 63 characters)",
    LABEL: "a name of letters, digits and `._:/@+-`, at most 100 characters",
    CONTRACT_VERSION: "a source and a version of its contract, like `weather@2.0.0`",
    VIEW_VERSION: "a feature view and its version, like `weather_now@2`",
}


class Section(BaseModel):
    """A table of a declaration: frozen, with known keys only, and no types converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class File(Section):
    """A whole file of a declaration."""

    @property
    def hash(self) -> str:
        """Sha256 (hex) of what the file means, however it is spaced, ordered or spelt out."""
        value = self.model_dump(mode="json", by_alias=True)
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def refusal(expected: str, got: str = "", advice: str = "") -> PydanticCustomError:
    """Return the error of a field's validator; `got` is said where the value says too little."""
    context = {"expected": expected, "got": got, "advice": advice}
    return PydanticCustomError("refused", "{expected}", context)


def _amount(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise refusal("an amount in USD")
    # `repr` of a float is the shortest text that reads back as it: what the file's author wrote.
    amount = Decimal(str(value))
    if not amount.is_finite():
        raise refusal("an amount in USD")
    return amount.normalize()


def _ceiling(value: Any) -> Decimal:
    amount = _amount(value)
    if not 0 < amount <= MOST_USD:
        raise refusal(f"an amount in USD > 0 and <= {MOST_USD}")
    if amount * MICRO_PER_USD % 1:
        raise refusal("an amount in USD of at most 6 decimals")
    return amount


def _rate(value: Any) -> Decimal:
    amount = _amount(value)
    if not 0 <= amount <= MOST_USD:
        raise refusal(f"an amount in USD >= 0 and <= {MOST_USD}")
    return amount


def _json(value: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise refusal("a table that JSON can hold", "a date, `inf` or `nan` in it") from None
    return value


def _length_of_time(text: str) -> str:
    if re.fullmatch(LENGTH_OF_TIME, text) is None:
        raise refusal("a length of time such as `90m`, `3h` or `7d`")
    return text


def seconds_of(length: str) -> int:
    """Return the seconds of a length of time.

    >>> seconds_of("90m")
    5400
    """
    return int(length[:-1]) * _SECONDS[length[-1]]


def plugin_of(group: str, built_in: tuple[str, ...], reserved: tuple[str, ...]) -> PlainValidator:
    """Return the check that a value names a plugin of `group`: a built-in or an installed one.

    A `reserved` name is no plugin's: what it will mean is settled already.
    """

    def check(value: Any) -> str:
        if isinstance(value, str) and value in built_in:
            # Looking for others reads the metadata of all that is installed; most files need none.
            return value
        others = installed(group).difference(built_in, reserved)
        if isinstance(value, str) and value in others:
            return value
        names = [*built_in, *sorted(others)]
        expected = ", ".join(f"`{name}`" for name in names[:-1]) + f" or `{names[-1]}`"
        close = difflib.get_close_matches(str(value), names, 1)
        advice = f"did you mean `{close[0]}`?" if close else "install the package that brings it"
        raise refusal(expected, advice=advice)

    return PlainValidator(check)


def known_or_other(known: tuple[str, ...]) -> WithJsonSchema:
    """Return the JSON Schema of a name: editors complete the `known` ones and accept any other."""
    names = {"enum": list(known), "type": "string"}
    return WithJsonSchema({"anyOf": [names, {"type": "string", "minLength": 1}]})


_as_text = PlainSerializer(lambda amount: format(amount, "f"), return_type=str, when_used="json")

Usd = Annotated[
    Decimal,
    PlainValidator(_ceiling),
    _as_text,
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": MOST_USD}),
]
"""Money that may be spent: above zero, a whole number of micro-dollars."""
Rate = Annotated[
    Decimal,
    PlainValidator(_rate),
    _as_text,
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": MOST_USD}),
]
"""A price: zero or more, as fine as the provider sets it."""
Milliseconds = Annotated[int, Field(gt=0, le=DAY_MS)]
Word = Annotated[str, Field(pattern=WORD)]
Label = Annotated[str, Field(pattern=LABEL)]
ContractVersion = Annotated[str, Field(pattern=CONTRACT_VERSION)]
ViewVersion = Annotated[str, Field(pattern=VIEW_VERSION)]
LengthOfTime = Annotated[str, AfterValidator(_length_of_time)]
Text = Annotated[str, Field(min_length=1, max_length=4000)]
Json = Annotated[dict[str, Any], AfterValidator(_json)]


def micro(amount: Decimal | None) -> int | None:
    """Return `amount` in micro-dollars."""
    return None if amount is None else int(amount * MICRO_PER_USD)
