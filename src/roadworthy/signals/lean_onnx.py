"""Makes an ONNX graph look rows up before it scales them, so that no table grows to float32.

The weights are kept as `Cast(table) * scale`, one scale a row. onnxruntime works that out for the
whole table when it opens the file: 47 MB where 12 are stored, of which a question reads 20 rows.
What is looked up first and scaled then gives the same numbers, bit by bit. Only this much of the
format is read here, because the package `onnx` would cost more memory than is saved.
"""

from __future__ import annotations

from collections.abc import Iterator

_GRAPH, _NODE = 7, 1
_INPUT, _OUTPUT, _KIND = 1, 2, 4
"""Field numbers of onnx.proto: of `ModelProto.graph`, `GraphProto.node`, and in `NodeProto`."""
_TO_FLOAT = bytes((0x2A, 9, 0x0A, 2)) + b"to" + bytes((0x18, 1, 0xA0, 1, 2))
"""The attribute `to = FLOAT` of a `Cast`; a `Gather` without attributes looks up rows."""


def look_up_before_scaling(model: bytes, table: str, ids: str) -> bytes:
    """Return a model in which rows are looked up in `table` first, and cast and scaled then.

    Args:
        model: The bytes of an ONNX file.
        table: Name of the looked-up weights; `{table}_q` holds them and `{table}_scale` scales.
        ids: Name of the input that says which rows.

    Raises:
        ValueError: The graph does not look words up like that.
    """
    return b"".join(
        _field(number, _rewired(value, table, ids))
        if number == _GRAPH and isinstance(value, bytes)
        else _field(number, value)
        for number, value in _fields(model)
    )


def _rewired(graph: bytes, table: str, ids: str) -> bytes:
    """Return the graph with `Gather(Mul(Cast(q), scale), ids)` the other way round."""
    kept: list[tuple[int, bytes | int]] = []
    found = ""
    made = {f"{table}_f", table}
    for number, value in _fields(graph):
        if number == _NODE and isinstance(value, bytes):
            kind, inputs, output = _node(value)
            if kind in ("Cast", "Mul") and output in made:
                continue
            if kind == "Gather" and inputs == [table, ids] and not found:
                found = output
                continue
            if table in inputs:
                raise ValueError(f"expected `{table}` to be looked up once, and used nowhere else")
        kept.append((number, value))
    if not found:
        raise ValueError(f"expected a `Gather` from `{table}` by `{ids}`")
    rows, floats, scales = (f"{found}_{part}" for part in ("rows", "floats", "scales"))
    nodes = (
        _made("Gather", [f"{table}_q", ids], rows),
        _made("Cast", [rows], floats) + _TO_FLOAT,
        _made("Gather", [f"{table}_scale", ids], scales),
        _made("Mul", [floats, scales], found),
    )
    fields = [*((_NODE, node) for node in nodes), *kept]
    return b"".join(_field(number, value) for number, value in fields)


def _node(node: bytes) -> tuple[str, list[str], str]:
    """Return a node's operator, its inputs, and its first output."""
    words: dict[int, list[str]] = {_INPUT: [], _OUTPUT: [], _KIND: []}
    for number, value in _fields(node):
        if number in words and isinstance(value, bytes):
            words[number].append(value.decode())
    return "".join(words[_KIND]), words[_INPUT], next(iter(words[_OUTPUT]), "")


def _made(kind: str, inputs: list[str], output: str) -> bytes:
    fields = [(_INPUT, name) for name in inputs] + [(_OUTPUT, output), (_KIND, kind)]
    return b"".join(_field(number, text.encode()) for number, text in fields)


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Yield the fields of a message that has only whole numbers and what has a length."""
    at = 0
    while at < len(message):
        tag, at = _read_number(message, at)
        value, at = _read_number(message, at)
        if tag & 7 == 0:
            yield tag >> 3, value
        elif tag & 7 == 2 and at + value <= len(message):
            yield tag >> 3, message[at : at + value]
            at += value
        else:
            raise ValueError(f"expected an ONNX file, got a field of wire type {tag & 7}")


def _read_number(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message):
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
    raise ValueError("expected an ONNX file, got one that is cut off")


def _field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return _number(number << 3) + _number(value)
    return _number(number << 3 | 2) + _number(len(value)) + value


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
