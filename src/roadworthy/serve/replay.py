"""One request again: a release is asked what was asked then, and the two answers are compared.

Nothing of it is recorded, charged or shown to a caller.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any

import msgspec

from ..errors import NotFound
from ..types import Record
from .chat import write_chat
from .engine import CORRECTION
from .opened import OpenRelease
from .rehearsal import Rehearsal, Rehearsed
from .size import size_of

DETERMINISTIC = frozenset({"builtin", "onnx", "rule"})
"""Kinds of providers whose models give the same answer to the same input, to the last bit."""
OWN_CODE = frozenset({"python"})
"""Kinds that run the team's own code, of which nobody else knows whether it draws at random."""
MOST_CHANGES = 200
_MOST_COMPARED = 5_000
"""Characters of two texts whose likeness is measured: beyond it costs seconds."""
BYTES_OF_TOKEN = 8
"""Room for a token of a passage and the JSON around it, where what a call may cost is foretold."""
_OF_CHOICE = ("message", "finish_reason")
_HOW_IT_IS_SENT = ("stream", "stream_options")

_decode = msgspec.json.decode
_encode = msgspec.json.Encoder(order="deterministic").encode


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One place at which two answers differ.

    Attributes:
        path: Where, like `$.items[0].price`.
        change: `changed`, `added` or `removed`.
    """

    path: str
    change: str
    before: Any = None
    after: Any = None


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """How a request ended: as it was recorded, or in its replay.

    Attributes:
        output: What is compared, as JSON values; of a chat its messages, without ids and times.
    """

    disposition: str
    output: Any = None
    model: str = ""
    error_code: str = ""
    reasons: tuple[str, ...] = ()
    latency_us: int = 0
    cost_micro: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a request that is to be asked again.

    Attributes:
        input, output: JSON bytes as they were kept; None where they were not.
        draft: What the models said of one that waited for a person; empty for others.
    """

    record: Record
    input: bytes | None
    output: bytes | None
    draft: bytes = b""


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request that was asked again.

    Attributes:
        release: What was asked now.
        same: Whether the answer is the same, and how the request ended.
        is_exact: Whether the same answer is to be expected to the last bit.
        similarity: How alike the texts are (0-1), where the answer need not be the same; else None.
        diff: Where the answers differ, at most `MOST_CHANGES` places.
        notes: What of the request could not be as it was then, and what was compared.
    """

    request_id: str
    service: str
    release: str
    same: bool
    is_exact: bool
    similarity: float | None
    diff: tuple[Change, ...]
    recorded_release: str
    recorded: Told
    replayed: Told
    notes: tuple[str, ...] = ()


def check_kept(asked: Asked) -> bytes:
    """Return the input of a request.

    Raises:
        NotFound: It was not kept.
    """
    if asked.input is None:
        raise NotFound(
            f"expected the input of `{asked.record.id:.60}`, got none: `{asked.record.service}` "
            'keeps no bodies (`records.bodies = "none"`), or its user was forgotten; declare '
            '`records.bodies = "full"` to replay what comes from then on'
        )
    return asked.input


async def replay(
    rehearsal: Rehearsal, asked: Asked, kinds: Mapping[str, str], environment_hash: str
) -> Replay:
    """Ask a release what was asked then, and compare.

    Args:
        rehearsal: Of the release.
        asked: What was asked, and what came of it.
        kinds: Model of the release → the kind of its provider.
        environment_hash: What is installed here.

    Raises:
        NotFound: The input of the request was not kept.
    """
    record = asked.record
    rehearsed = await ask_again(rehearsal, asked)
    recorded, replayed = told_of_record(asked), told_of_rehearsal(rehearsed)
    before, after = in_one_form(recorded.output, replayed.output)
    recorded = msgspec.structs.replace(recorded, output=before)
    replayed = msgspec.structs.replace(replayed, output=after)
    diff = tuple(differences(recorded.output, replayed.output))[:MOST_CHANGES]
    models = {name for name in (record.model, replayed.model) if name}
    is_exact = all(_is_exact(name, kinds) for name in models)
    return Replay(
        request_id=record.id,
        service=record.service,
        release=rehearsal.opened.id,
        same=not diff and _ended_alike(recorded, replayed, is_held=bool(asked.draft)),
        is_exact=is_exact,
        similarity=None if is_exact else similarity(recorded.output, replayed.output),
        diff=diff,
        recorded_release=record.release,
        recorded=recorded,
        replayed=replayed,
        notes=tuple(_notes(rehearsal, asked, kinds, environment_hash, is_exact=is_exact)),
    )


def worst_case_micro(opened: OpenRelease, asked: Asked) -> int:
    """Return about the most that asking a release again can cost, in micro-dollars.

    Raises:
        NotFound: The input of the request was not kept.
        ContractViolation: It is nothing that the release could be asked.
    """
    if not opened.is_paid:
        return 0
    values, body = _sent(asked)
    if body is None:
        body = write_chat(values, opened.chat) if opened.kind == "generate" else {}
    size, context = size_of(body, len(opened.judge.told)), opened.declaration.context
    looked_up = 0 if context.retrieval is None else context.retrieval.max_tokens
    prompt = opened.declaration.prompt
    added = looked_up * BYTES_OF_TOKEN
    if prompt is not None:
        added += (opened.declaration.folder / prompt.file).stat().st_size
    grown = msgspec.structs.replace(size, input_bytes=size.input_bytes + added)
    return opened.worst_case_micro(grown)


def _sent(asked: Asked) -> tuple[dict[str, Any], dict[str, msgspec.Raw] | None]:
    """Return the input of a request, and the body of one that came as a chat."""
    input = check_kept(asked)
    if asked.record.protocol != "openai":
        return _decode(input, type=dict[str, Any]), None
    body = _decode(input, type=dict[str, msgspec.Raw])
    return {}, {name: raw for name, raw in body.items() if name not in _HOW_IT_IS_SENT}


async def ask_again(rehearsal: Rehearsal, asked: Asked) -> Rehearsed:
    """Ask a release what a record says was asked, with the features that were served then.

    Raises:
        NotFound: The input of the request was not kept.
    """
    record, (values, body) = asked.record, _sent(asked)
    return await rehearsal.ask(
        values,
        body=body,
        features=served_features(record),
        user=record.user,
        role=record.role,
        tags=record.tags,
        conversation=record.conversation,
    )


def served_features(record: Record) -> dict[str, Any] | None:
    """Return the features that a request was served; None where it was served none."""
    return None if record.features is None else dict(record.features.get("values") or {})


def told_of_record(asked: Asked) -> Told:
    """Return how a request ended then; of one that waits for a person, what the models said."""
    record = asked.record
    output = asked.draft or asked.output
    return Told(
        disposition=record.disposition,
        output=None if output is None else shown(output),
        model=record.model,
        error_code=record.error_code,
        reasons=record.reasons,
        latency_us=record.latency_us,
        cost_micro=record.cost_micro,
        input_tokens=record.input_tokens,
        output_tokens=record.output_tokens,
    )


def told_of_rehearsal(rehearsed: Rehearsed) -> Told:
    """Return how a request ended in its replay."""
    record = rehearsed.record
    if record is None:
        error = rehearsed.error
        code, why = ("", "") if error is None else (error.code, str(error))
        return Told(disposition="refused", error_code=code, reasons=(why,))
    return told_of_record(Asked(record=record, input=record.input, output=record.output))


def shown(output: bytes) -> Any:
    """Return an output as JSON values; of a chat completion only what was said."""
    found = _decode(output)
    if isinstance(found, dict) and isinstance(found.get("choices"), list):
        choices = [one for one in found["choices"] if isinstance(one, dict)]
        return {"choices": [{k: one[k] for k in _OF_CHOICE if k in one} for one in choices]}
    return found


def in_one_form(recorded: Any, replayed: Any) -> tuple[Any, Any]:
    """Return two outputs in one form: of chats the message, or the text where one is no more.

    What was streamed is kept as its text, and a draft as its message.
    """
    ours, theirs = _message_of(recorded), _message_of(replayed)
    if _is_message(ours) and _is_message(theirs):
        return ours, theirs
    return _text_form(ours), _text_form(theirs)


def _message_of(output: Any) -> Any:
    """Return the message of a completion with a single one; anything else as it is."""
    match output:
        case {"choices": [{"message": dict(message)}]}:
            return message
    return output


def _is_message(output: Any) -> bool:
    return isinstance(output, dict) and "role" in output


def _text_form(output: Any) -> Any:
    match output:
        case {"role": str(), "content": str(text)}:
            return {"text": text}
    return output


def _ended_alike(recorded: Told, replayed: Told, *, is_held: bool) -> bool:
    """Whether two ended alike; what waits for a person now was an answer of the models first."""
    if is_held:
        return replayed.output is not None
    alike = (recorded.disposition, recorded.error_code)
    return alike == (replayed.disposition, replayed.error_code)


def _is_exact(model: str, kinds: Mapping[str, str]) -> bool:
    """Whether a model gives the same answer again; rungs of the ladder and people's words do."""
    if model == CORRECTION or model not in kinds:
        return True
    return kinds[model] in DETERMINISTIC | OWN_CODE


def _notes(
    rehearsal: Rehearsal,
    asked: Asked,
    kinds: Mapping[str, str],
    environment_hash: str,
    *,
    is_exact: bool,
) -> Iterator[str]:
    record, opened = asked.record, rehearsal.opened
    if record.release != opened.id:
        yield f"`{record.release}` answered then; `{opened.id}` was asked now"
    if record.environment_hash and record.environment_hash != environment_hash:
        yield (
            "other packages or another Python are installed than when it was answered: numbers "
            "may differ in their last digits"
        )
    if not is_exact:
        yield "a model that was asked may answer otherwise each time: see how alike the texts are"
    elif kinds.get(record.model) in OWN_CODE:
        yield f"`{record.model}` is your own code: it answers alike only if it draws nothing"
    if opened.features is not None and record.features is None:
        yield "no features are in the record: the views were read as they are now"
    if record.passages is not None:
        yield "passages were looked up again, in the pages as they were released"
    yield from _how_it_ended(asked)


def _how_it_ended(asked: Asked) -> Iterator[str]:
    """Say what of the way a request ended has no part in a replay."""
    record = asked.record
    kind = (record.cache or {}).get("kind")
    if kind == CORRECTION:
        yield "a person's correction was given then; now the models were asked"
    if record.disposition == "review":
        yield (
            "it was held for a person: what the models had said is compared"
            if asked.draft
            else "it was held for a person, and no model's answer of it was kept"
        )
    elif record.disposition == "fallback":
        yield f"it went down the ladder: {'; '.join(record.reasons) or 'no reason is recorded'}"
    elif record.error_code == "not_sure":
        yield "it was refused as not sure enough: a replay says what the models say"
    elif record.error_code == "budget_exhausted":
        yield "it was refused for want of budget: a replay has a budget of its own"


def differences(before: Any, after: Any, path: str = "$") -> Iterator[Change]:
    """Yield each place at which two JSON values differ; numbers are equal only to the last bit.

    >>> [(one.path, one.before, one.after) for one in differences({"p": [1, 2]}, {"p": [1, 3]})]
    [('$.p[1]', 2, 3)]
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            yield from _differences_at(before, after, name, f"{path}.{name}")
    elif isinstance(before, list) and isinstance(after, list):
        ours, theirs = dict(enumerate(before)), dict(enumerate(after))
        for place in range(max(len(before), len(after))):
            yield from _differences_at(ours, theirs, place, f"{path}[{place}]")
    elif not _is_equal(before, after):
        yield Change(path=path, change="changed", before=before, after=after)


def _differences_at(
    before: Mapping[Any, Any], after: Mapping[Any, Any], name: Any, path: str
) -> Iterator[Change]:
    if name not in after:
        yield Change(path=path, change="removed", before=before[name])
    elif name not in before:
        yield Change(path=path, change="added", after=after[name])
    else:
        yield from differences(before[name], after[name], path)


def _is_equal(before: Any, after: Any) -> bool:
    """Whether two values are one; `true` is not 1, and 1.0 is."""
    if isinstance(before, bool) or isinstance(after, bool):
        return before is after
    return bool(before == after)


def similarity(before: Any, after: Any) -> float:
    """Return how alike two outputs are as text (0-1), by their longest common parts.

    >>> similarity({"text": "It left at noon."}, {"text": "It left at noon."})
    1.0
    """
    ours, theirs = (_text_of(value)[:_MOST_COMPARED] for value in (before, after))
    return round(SequenceMatcher(None, ours, theirs, autojunk=False).ratio(), 4)


def _text_of(output: Any) -> str:
    match output:
        case {"text": str(text)} | {"content": str(text)}:
            return text
        case {"choices": [{"message": {"content": str(text)}}, *_]}:
            return text
        case str(text):
            return text
    return "" if output is None else _encode(output).decode()
