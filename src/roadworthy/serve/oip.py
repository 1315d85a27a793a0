"""The Open Inference Protocol (v2, REST): tensors in and out, each row a request of its own.

Specification: https://github.com/kserve/open-inference-protocol, with the binary tensor data
extension on the way in, because Triton's client sends it by default.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..errors import ContractViolation, RequestError
from ..types import MICRO
from .engine import Engine
from .http import Incoming, Outgoing, flat_error_response, json_response, reply_headers, unreadable
from .request import Reply, Request

MAX_ROWS = 10_000

_FORMATS = {
    "BOOL": "?", "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "UINT8": "B",
    "UINT16": "H", "UINT32": "I", "UINT64": "Q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
_DATATYPES = (*_FORMATS, "BYTES")


class _Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class _Infer(msgspec.Struct):
    inputs: list[_Tensor]
    id: str | None = None
    parameters: dict[str, Any] = {}


_decoder = msgspec.json.Decoder(_Infer)


async def infer(engine: Engine, incoming: Incoming, service: str) -> Outgoing:
    """Answer `POST /v2/models/{service}/infer`."""
    body, tail = _read(incoming)
    rows = _rows(_columns(body.inputs, tail))
    fields = incoming.common()
    if timeout_us := body.parameters.get("timeout"):
        fields["deadline_ms"] = _positive(timeout_us) / 1000
    if len(rows) > 1:
        fields["parent"] = fields.get("parent") or engine.new_parent()
    requests = [Request(service=service, protocol="oip", input=row, **fields) for row in rows]
    if len(requests) == 1:
        reply = await engine.answer(requests[0])
        if reply.error is not None:
            return flat_error_response(reply.error, reply.request_id)
        replies = [reply]
    else:
        replies = await asyncio.gather(*map(engine.answer, requests))
    return _response(service, body.id, replies)


def _read(incoming: Incoming) -> tuple[_Infer, bytes]:
    raw, tail = incoming.body, b""
    length = incoming.text(b"inference-header-content-length")
    if length:
        if not length.isdigit() or int(length) > len(raw):
            raise RequestError("`inference-header-content-length`: expected the JSON part's length")
        raw, tail = raw[: int(length)], raw[int(length) :]
    try:
        return _decoder.decode(raw), tail
    except msgspec.DecodeError as error:
        raise unreadable(raw, error) from error


def _positive(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1e15:
        raise RequestError("`parameters.timeout`: expected microseconds above 0", param="timeout")
    return float(value)


def _columns(tensors: Sequence[_Tensor], tail: bytes) -> dict[str, list[Any]]:
    """Return each input as a flat list, one value a row."""
    if not tensors:
        raise RequestError("`inputs`: expected at least one tensor, got none", param="inputs")
    columns: dict[str, list[Any]] = {}
    offset = 0
    for tensor in tensors:
        rows = _check_tensor(tensor)
        size = tensor.parameters.get("binary_data_size")
        if size is not None:
            if not isinstance(size, int) or not 0 <= size <= len(tail) - offset:
                raise _bad(tensor, "as many bytes as `binary_data_size` says")
            values = _from_bytes(tensor, tail[offset : offset + size])
            offset += size
        elif tensor.data is not None:
            values = _flat(tensor.data)
        else:
            raise _bad(tensor, "`data`, or bytes and their `binary_data_size`; got neither")
        if len(values) != rows:
            raise _bad(tensor, f"{rows} values as its shape says, got {len(values)}")
        if tensor.name in columns:
            raise _bad(tensor, "one tensor of this name, got two")
        columns[tensor.name] = values
    if offset < len(tail):
        raise RequestError(f"body: expected {offset} bytes of tensors, got {len(tail)}")
    return columns


def _check_tensor(tensor: _Tensor) -> int:
    """Return how many rows a tensor says it has."""
    if tensor.datatype not in _DATATYPES:
        raise _bad(tensor, f"a datatype among {', '.join(_DATATYPES)}, got another")
    rows, *rest = tensor.shape or (1,)
    if rows < 1 or any(extent != 1 for extent in rest):
        wanted = "shape [n] or [n, 1] with n rows, at least one: one named tensor for each field"
        raise _bad(tensor, wanted)
    return rows


def _flat(data: list[Any]) -> list[Any]:
    return [
        item for value in data for item in (_flat(value) if isinstance(value, list) else [value])
    ]


def _from_bytes(tensor: _Tensor, raw: bytes) -> list[Any]:
    if tensor.datatype == "BYTES":
        return _strings(tensor, raw)
    code = _FORMATS[tensor.datatype]
    if len(raw) % struct.calcsize(f"<{code}"):
        raise _bad(tensor, f"whole values of {tensor.datatype}")
    values = [value for (value,) in struct.iter_unpack(f"<{code}", raw)]
    # A numpy client has no other word for null than NaN, which is not equal to itself.
    return [None if value != value else value for value in values]


def _strings(tensor: _Tensor, raw: bytes) -> list[str]:
    values, offset = [], 0
    while offset < len(raw):
        end = offset + 4 + int.from_bytes(raw[offset : offset + 4], "little")
        if end > len(raw) or offset + 4 > len(raw):
            raise _bad(tensor, "strings that end within the tensor")
        values.append(raw[offset + 4 : end].decode("utf-8", "replace"))
        offset = end
    return values


def _bad(tensor: _Tensor, expected: str) -> ContractViolation:
    return ContractViolation(f"`inputs.{tensor.name:.80}`: expected {expected}", param=tensor.name)


def _rows(columns: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1:
        raise ContractViolation("`inputs`: expected tensors of one and the same length")
    if max(lengths) > MAX_ROWS:
        raise ContractViolation(f"`inputs`: expected at most {MAX_ROWS} rows, got {max(lengths)}")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _response(service: str, request_id: str | None, replies: Sequence[Reply]) -> Outgoing:
    outputs = _outputs([reply.output for reply in replies])
    first = replies[0]
    parameters: dict[str, Any] = {"release": first.release}
    if len(replies) == 1:
        parameters |= {
            "request_id": first.request_id,
            "disposition": first.disposition,
            "model": first.model,
            "cost_usd": first.cost_micro / MICRO,
        }
        if first.review_id:
            parameters["review_id"] = first.review_id
    else:
        codes = [reply.error.code if reply.error else "" for reply in replies]
        outputs += [
            _tensor("roadworthy.request_id", [reply.request_id for reply in replies]),
            _tensor("roadworthy.disposition", [reply.disposition for reply in replies]),
            _tensor("roadworthy.error_code", codes),
        ]
        if any(reply.review_id for reply in replies):
            ids = [reply.review_id or None for reply in replies]
            outputs.append(_tensor("roadworthy.review_id", ids))
    body = {
        "model_name": service,
        "model_version": first.release,
        "id": request_id or first.request_id,
        "parameters": parameters,
        "outputs": outputs,
    }
    return json_response(body, headers=reply_headers(first) if len(replies) == 1 else None)


def _outputs(rows: Sequence[Any]) -> list[dict[str, Any]]:
    flat = [_flatten(row) for row in rows]
    names = dict.fromkeys(name for row in flat for name in row)
    return [_tensor(name, [row.get(name) for row in flat]) for name in names]


def _flatten(output: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(output, dict):
        return {} if output is None else {prefix or "output": output}
    flat: dict[str, Any] = {}
    for name, value in output.items():
        path = f"{prefix}.{name}" if prefix else str(name)
        flat.update(_flatten(value, path) if isinstance(value, dict) else {path: value})
    return flat


def _tensor(name: str, values: list[Any]) -> dict[str, Any]:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        datatype = "BOOL"
    elif kinds == {int}:
        datatype = "INT64"
    elif kinds and kinds <= {int, float}:
        datatype = "FP64"
    else:
        datatype = "BYTES"
        values = [_as_text(value) for value in values]
    return {"name": name, "shape": [len(values)], "datatype": datatype, "data": values}


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def metadata(engine: Engine, service: str) -> Outgoing:
    """Answer `GET /v2/models/{service}`: its tensors, as its contract says."""
    release = engine.release_of(service)
    check = release.input_check
    properties = check.schema.get("properties", {}) if check is not None else {}
    inputs = [
        {"name": name, "datatype": _datatype(schema), "shape": [-1]}
        for name, schema in properties.items()
    ]
    return json_response(
        {
            "name": service,
            "versions": [release.id],
            "platform": "roadworthy",
            "inputs": inputs,
            "outputs": [],
        }
    )


def _datatype(schema: Any) -> str:
    declared = schema.get("type") if isinstance(schema, dict) else None
    kinds = declared if isinstance(declared, list) else [declared]
    names = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "string": "BYTES"}
    return next((names[kind] for kind in kinds if kind in names), "BYTES")
