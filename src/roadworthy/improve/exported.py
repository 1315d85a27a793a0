"""What leaves on command: which examples, without personal fields, into a file that is new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Engine

from ..declare.schemas import SchemaCheck
from ..errors import RequestError, StoreError
from ..store.examples import Example, list_examples
from .contracts import Contracts
from .personal import personal_of, required_of, without

_decode = msgspec.json.decode


class Leaving(NamedTuple):
    """An accepted example as it leaves: decoded, without personal fields.

    Attributes:
        served: The features that its record says were served.
        is_whole: Whether its input still has every field that the contract requires.
    """

    example: Example
    input: dict[str, Any]
    output: Any
    served: dict[str, Any]
    is_whole: bool

    @property
    def label(self) -> Any:
        """The right label; None where the answer has none."""
        if self.example.detail.kind == "label":
            return self.output
        return self.output.get("label") if isinstance(self.output, dict) else None


def leaving(
    state: Engine,
    contracts: Contracts,
    service: str,
    *,
    champion: str = "",
    only_corrections: bool = False,
) -> tuple[list[Leaving], tuple[str, ...]]:
    """Return a service's accepted examples by id, and the personal fields that were left out.

    A field is personal if the contract of any release says so that answered one of them, or that
    of the champion: what was learned to be personal since counts for older answers too.
    """
    found = sorted(list_examples(state, (service,), state="accepted"), key=lambda one: one.id)
    chosen = [one for one in found if one.detail.is_correction or not only_corrections]
    releases = {one.detail.release for one in chosen} | ({champion} if champion else set())
    opened = {release: contracts.of(release) for release in releases}
    personal = personal_of(opened.values())
    rows = [_leave(one, personal, opened[one.detail.release].input) for one in chosen]
    return rows, tuple(sorted(personal))


def _leave(example: Example, personal: frozenset[str], check: SchemaCheck | None) -> Leaving:
    input = _decode(example.input)
    output = _decode(example.output)
    served = example.detail.features.get("values") or {}
    return Leaving(
        example,
        input=without(input, personal),
        output=without(output, personal),
        served=without(served, personal),
        is_whole=not (required_of(check) & personal & input.keys()),
    )


def classes_of(rows: Iterable[Leaving]) -> Mapping[str, int]:
    """Return how many rows have each label, as JSON text; empty where answers have no label."""
    labels = Counter(
        msgspec.json.encode(one.label).decode() for one in rows if one.label is not None
    )
    return dict(sorted(labels.items()))


def check_new(path: Path, *, force: bool) -> None:
    """Refuse to write over a file.

    Raises:
        RequestError: There is one of this name, and it is not to be replaced.
    """
    if path.exists() and not force:
        raise RequestError(
            f"expected the name of a new file, got one that exists - {path}; choose another, or say"
            " `--force`"
        )


def write_lines(path: Path, lines: Iterator[bytes]) -> int:
    """Write lines to a file, of which half is never seen, and return how many they are.

    Raises:
        StoreError: It cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    count = 0
    try:
        with unfinished.open("wb") as file:
            for line in lines:
                file.write(line + b"\n")
                count += 1
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise StoreError(
            f"expected a file that can be written, got `{error.strerror or error}` - {path}; "
            "check the folder, its permissions and the free space"
        ) from error
    return count
