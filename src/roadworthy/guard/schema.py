"""A guard that holds while a value keeps a JSON Schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..declare.schemas import SchemaError, compile_schema, read_schema
from ..declare.service import GuardEntry
from ..errors import DeclarationError
from ..types import Call, VerdictName


class SchemaGuard:
    """Allows what keeps its schema.

    Args:
        entry: Its declaration, with a `schema`.
        folder: Where the schema's file is.

    Raises:
        DeclarationError: The file is missing or holds no schema.
    """

    def __init__(self, entry: GuardEntry, folder: Path) -> None:
        self.name = entry.name
        self.on = entry.on
        self.fail = entry.fail
        self._verdict: VerdictName = entry.verdict
        try:
            self._check = compile_schema(read_schema(folder / (entry.schema_file or "")), entry.on)
        except SchemaError as error:
            raise DeclarationError(f"schema of guard `{entry.name}`: {error}") from error

    def check(self, call: Call, output: Any) -> tuple[VerdictName, str]:
        """Allow what keeps the schema; the reason names the first place that does not."""
        problem = self._check.first_problem(call.input if self.on == "input" else output)
        return (self._verdict, problem) if problem else ("allow", "")
