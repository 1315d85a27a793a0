"""What a source is called in reports and messages: where it is, without a password."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.exc import ArgumentError

from ..errors import StoreError


def name_of(source: Any) -> str:
    """Return what reports call a source; a password in a URL is left out."""
    if not isinstance(source, str | Path):
        return f"a {type(source).__name__} in memory"
    text = str(source)
    scheme, is_url, rest = text.partition("://")
    if not is_url:
        return text
    url, _, table = text.partition("#")
    # A `#` or a `/` in a password cuts it in two, and what follows is no name.
    if "@" in table or "@" in rest.partition("/")[2]:
        return f"{scheme}://***"
    try:
        address = sqlalchemy.make_url(url)
    except (ArgumentError, ValueError):
        return f"{scheme}://***"
    # A query may hold a password too.
    return f"{address.set(query={}).render_as_string(hide_password=True)}#{table}"


def failed_source(name: str, error: Exception) -> StoreError:
    """Return what to raise where a source cannot be read to its end."""
    reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
    return StoreError(f"expected a source that can be read, got `{reason[:200]}` - {name}")
