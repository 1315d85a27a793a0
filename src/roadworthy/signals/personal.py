"""Whether a text seems to say something of one person: then it is not for another one's eyes."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_LONG_NUMBER = re.compile(r"(?<![\w.])\+?\d(?:[ ().-]?\d){7,}")
"""Eight digits and more: telephones, cards, accounts."""
_ACCOUNT = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,}\b")
LEAST_ID = 3
"""Characters of a user's id that can be told from any other word."""


def is_personal(answer: str, question: str, user: str = "") -> bool:
    """Return whether an answer repeats a user's id, or tells an address or a long number.

    What the question holds too counts all the same where it is the user's id; addresses and numbers
    that were asked with are no secret from who asks with them.

    >>> is_personal("Write to help@air.example", "How do I reach you at help@air.example?")
    False
    >>> is_personal("Sent to ann@mail.example", "Where is my ticket?")
    True
    >>> is_personal("Dear ann.lee, it is on its way", "Where is my ticket?", "ann.lee")
    True
    """
    if len(user) >= LEAST_ID and _holds(answer, user):
        return True
    for pattern in (_ADDRESS, _LONG_NUMBER, _ACCOUNT):
        if any(match[0] not in question for match in pattern.finditer(answer)):
            return True
    return False


def _holds(text: str, user: str) -> bool:
    if user.casefold() not in text.casefold():
        return False
    whole = rf"(?<!\w){re.escape(user)}(?!\w)"
    return re.search(whole, text, re.IGNORECASE) is not None
