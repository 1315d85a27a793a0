"""A scorer that looks at the shape of an output alone."""

from __future__ import annotations

import msgspec

from ...declare.evaluation import ScorerEntry
from ...declare.schemas import open_schema
from ..asked import Asked
from ..cases import Case
from ..scorer import Score, ScoringGround
from .reading import Compared, is_set, json_of, no_answer, rated, version_of


class Shape:
    """The output keeps a JSON Schema: that of `schema`, else the service's own contract. 1 or 0.

    Of a text that holds JSON, the JSON does. What it says may still be wrong.

    Raises:
        DeclarationError: The file is missing or holds no usable schema, or `path` is none.
    """

    is_dear = False

    def __init__(self, entry: ScorerEntry, ground: ScoringGround) -> None:
        self.name = entry.name
        self._compared = Compared(entry)
        self._check = open_schema(ground.folder, entry.schema_file, "output")
        schema = msgspec.json.encode({} if self._check is None else self._check.schema)
        self.version = version_of(entry, 1, schema)

    def score(self, case: Case, asked: Asked) -> Score:
        """Return 1 where it keeps it; it asks nothing of the case."""
        if asked.schema_problem:
            return Score(0.0, False, asked.schema_problem)
        if (missing := no_answer(asked)) is not None:
            return missing
        if self._check is None:
            return Score(1.0, True)
        got = self._compared.of(asked)
        if isinstance(got, str) and not self._check.is_valid(_clean(got)):
            parsed = json_of(got)
            got = parsed if is_set(parsed) else _clean(got)
        problem = self._check.first_problem(got if is_set(got) else None)
        return rated(float(not problem), None, problem)


def _clean(text: str) -> str:
    """Return a text that JSON can hold."""
    return text.encode(errors="replace").decode()
