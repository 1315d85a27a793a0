"""The contract of the release that answered: what of a request is its input, and what fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Engine

from ..declare.schemas import SchemaCheck, compile_schema, open_schema
from ..declare.service import Chat
from ..errors import ContractViolation, RoadworthyError
from ..release.bundle import materialise, read_declared
from ..release.registry import read_release
from ..serve.chat import VARIABLES, read_chat
from ..store.artifacts import Artifacts
from ..types import Kind

MOST_OPEN = 64
"""Releases whose schemas stay compiled."""

_NOT_ASKED = frozenset({"model", "stream", "stream_options", "user"})
"""Parts of a chat's body that are not what was asked."""

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.decode


class Contract(NamedTuple):
    """What a release promises about its inputs and outputs.

    Attributes:
        problem: Why it cannot be read; empty when it can.
        label: The output's check for answers that are a label alone.
    """

    kind: Kind = "predict"
    chat: Chat | None = None
    input: SchemaCheck | None = None
    output: SchemaCheck | None = None
    label: SchemaCheck | None = None
    problem: str = ""

    def input_of(self, body: bytes) -> dict[str, Any]:
        """Return what was asked, without who asked it and how it was to be sent."""
        found: Any = _decode(body)
        if not isinstance(found, dict):
            return {"input": found}
        if self.kind == "generate" and "messages" in found:
            return {name: value for name, value in found.items() if name not in _NOT_ASKED}
        return found

    def output_of(self, answer: bytes) -> Any:
        """Return an answer as scorers meet it: of a chat its text, or the JSON that it is."""
        found = _decode(answer)
        if self.kind == "generate" and isinstance(found, dict):
            found = _text_of(found)
            if self.output is not None and set(found) == {"text"}:
                return _read_json(found)
        return found

    def first_problem(self, input: dict[str, Any], output: Any, *, is_label: bool) -> str:
        """Return what breaks the contract; empty where nothing does."""
        if self.problem:
            return self.problem
        return self.input_problem(input) or self._output_problem(output, is_label=is_label)

    def input_problem(self, input: dict[str, Any]) -> str:
        """Return what of an input breaks the contract; empty where nothing does."""
        if self.input is None:
            return ""
        if self.kind == "generate" and "messages" in input:
            body = {name: msgspec.Raw(_encode(value)) for name, value in input.items()}
            given = input.get(VARIABLES)
            names = tuple(given) if isinstance(given, dict) else ()
            try:
                input, _ = read_chat(body, self.chat, is_read=True, names=names)
            except ContractViolation as error:
                return str(error)
        return self.input.first_problem(input)

    def _output_problem(self, output: Any, *, is_label: bool) -> str:
        if is_label:
            return "" if self.label is None else self.label.first_problem({"label": output})
        return "" if self.output is None else self.output.first_problem(output)


class Contracts:
    """Opens the contracts of releases as they were released, and keeps them open.

    Args:
        state: Has the releases.
        artifacts: Has their files.
        folder: Where those are laid out.
    """

    def __init__(self, state: Engine, artifacts: Artifacts, folder: Path) -> None:
        self._state = state
        self._artifacts = artifacts
        self._folder = folder
        self._opened: dict[str, Contract] = {}

    def of(self, release_id: str) -> Contract:
        """Return the contract of one release; one that cannot be read says why."""
        if release_id not in self._opened:
            if len(self._opened) >= MOST_OPEN:
                self._opened.clear()
            try:
                self._opened[release_id] = self._open(release_id)
            except RoadworthyError as error:
                # Not kept: what is gone now may be put back.
                return Contract(problem=f"the release's contract cannot be read: {error}")
        return self._opened[release_id]

    def _open(self, release_id: str) -> Contract:
        release = read_release(self._state, release_id)
        declared = read_declared(release.manifest, self._artifacts)
        if declared is None:
            return Contract(problem=f"the declaration of `{release_id}` is read no more")
        files = materialise(release, self._artifacts, self._folder)
        output = open_schema(files, declared.contract.output, "output")
        return Contract(
            kind=declared.kind,
            chat=declared.chat,
            input=open_schema(files, declared.contract.input),
            output=output,
            label=_of_label(output),
        )


def _of_label(output: SchemaCheck | None) -> SchemaCheck | None:
    """Return the check of an output of which only the label is there."""
    if output is None:
        return None
    whole = {name: part for name, part in output.schema.items() if name != "required"}
    return compile_schema(whole, "output")


def _text_of(message: dict[str, Any]) -> dict[str, Any]:
    """Return a chat's message, or the completion it came in, as `{"text": …}`."""
    match message:
        case {"choices": [{"message": {"content": str(text)}}, *_]}:
            return {"text": text}
        case {"role": str(), "content": str(text)}:
            return {"text": text}
    return message


def _read_json(output: dict[str, Any]) -> Any:
    try:
        return _decode(output["text"])
    except (msgspec.DecodeError, TypeError):
        return output
