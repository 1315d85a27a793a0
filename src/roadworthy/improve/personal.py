"""What is personal does not leave: fields that contracts name, and patterns in free text. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from ..declare.schemas import SchemaCheck
from .contracts import Contract

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,6}")
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?!\w)")
_CARD = re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w.]?\d)")
_PHONE = re.compile(
    r"(?<![\w.])(?:"
    r"\+\d{1,3}(?:[ ./-]?\(?\d{1,5}\)?){2,6}"  # +49 (89) 123-4567
    r"|\(?0\d{2,4}\)?[ /-]\d{3,4}[ /-]?\d{3,5}"  # 089 1234567
    r"|\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}"  # (212) 555-0100
    r")(?!\w)"
)
_IBAN_LENGTH = (15, 34)
_LEAST_DIGITS = 7
_COUNTRY = 4


def personal_of(contracts: Iterable[Contract]) -> frozenset[str]:
    """Return the fields that any of these contracts marks as personal, in inputs or outputs."""
    checks = [check for one in contracts for check in (one.input, one.output) if check]
    return frozenset(name for check in checks for name in check.personal)


def without(value: Any, personal: Collection[str]) -> Any:
    """Return a value without its personal fields; what has no fields is returned as it is."""
    if not isinstance(value, dict):
        return value
    return {name: part for name, part in value.items() if name not in personal}


def required_of(check: SchemaCheck | None) -> frozenset[str]:
    """Return the fields that an input must have."""
    return frozenset() if check is None else frozenset(check.schema.get("required", ()))


class Pseudonyms:
    """Puts a name without meaning in the place of each person's: the same one for the same value.

    They are counted up, so that none leads back to what it stands for.
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, field: str, value: str) -> str:
        """Return what stands for a value of a field."""
        key = f"{field}={value}"
        return self._known.setdefault(key, f"{field}-{len(self._known) + 1}")


def masked(value: Any, found: Counter[str]) -> Any:
    """Return a value in which no text holds an e-mail address, phone, card or bank account number.

    Args:
        value: JSON values.
        found: Gets how many of each kind were masked.

    >>> masked({"text": "write to ann@example.com"}, Counter())
    {'text': 'write to [e-mail]'}
    """
    if isinstance(value, str):
        return _masked_text(value, found)
    if isinstance(value, Mapping):
        return {name: masked(part, found) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [masked(part, found) for part in value]
    return value


def _masked_text(text: str, found: Counter[str]) -> str:
    for kind, pattern, is_one in _KINDS:

        def put(match: re.Match[str], kind: str = kind, is_one: _IsOne = is_one) -> str:
            if not is_one(match.group()):
                return match.group()
            found[kind] += 1
            return f"[{kind}]"

        text = pattern.sub(put, text)
    return text


def _digits(text: str) -> list[int]:
    return [int(letter) for letter in text if letter.isascii() and letter.isdigit()]


def _is_card(text: str) -> bool:
    """Whether the last digit is what Luhn's sum (ISO/IEC 7812-1) makes of the others."""
    digits = _digits(text)[::-1]
    doubled = [d * 2 - 9 if d > 4 else d * 2 for d in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _is_iban(text: str) -> bool:
    """Whether the check digits fit (ISO 13616: 97 divides the number less one)."""
    plain = text.replace(" ", "")
    if not _IBAN_LENGTH[0] <= len(plain) <= _IBAN_LENGTH[1]:
        return False
    turned = plain[_COUNTRY:] + plain[:_COUNTRY]
    return int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1


def _is_phone(text: str) -> bool:
    return len(_digits(text)) >= _LEAST_DIGITS


_IsOne = Callable[[str], bool]
_KINDS: tuple[tuple[str, re.Pattern[str], _IsOne], ...] = (
    ("e-mail", _EMAIL, lambda text: True),
    ("iban", _IBAN, _is_iban),
    ("card", _CARD, _is_card),
    ("phone", _PHONE, _is_phone),
)
