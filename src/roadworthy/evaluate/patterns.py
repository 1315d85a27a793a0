"""Regular expressions on texts that models wrote: linear in the text, whatever the pattern is."""

from __future__ import annotations

from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

from ..errors import DeclarationError

LONGEST_TEXT = 1_000_000
"""Characters of a text that are looked at."""
LONGEST_PATTERN = 10_000
_SIZE = 10 * 2**20


class Pattern:
    """A compiled regular expression.

    It is matched by the engine that JSON Schemas are checked with, which never goes back in a text
    (so it knows no look-around and no back-references): a pattern that takes minutes is none.

    Args:
        source: As it is written.
        ignore_case: Whether upper and lower case are the same.

    Raises:
        DeclarationError: It is none, or one that cannot be matched in linear time.
    """

    def __init__(self, source: str, *, ignore_case: bool = False) -> None:
        self.source = source
        schema = {"pattern": f"(?i){source}" if ignore_case else source}
        try:
            if len(source) > LONGEST_PATTERN:
                raise ValueError("too long")
            self._check = Draft202012Validator(schema, pattern_options=RegexOptions(_SIZE))
        except (ValidationError, ValueError) as error:
            raise DeclarationError(
                "pattern: expected a regular expression without look-around and back-references, "
                f"got `{_clean(source[:60])}`"
            ) from error

    def matches(self, text: str) -> bool:
        r"""Return whether some part of a text matches.

        >>> Pattern(r"refund.{0,20}\b24 hours").matches("A refund within 24 hours.")
        True
        """
        return self._check.is_valid(_clean(text[:LONGEST_TEXT]))


def _clean(text: str) -> str:
    """Return a text without halves of characters, which no UTF-8 holds."""
    return text.encode(errors="replace").decode()
