"""ONNX files as models: one session per model, one row inline when the model is fast enough."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from math import isfinite, nan
from pathlib import Path
from typing import Any

import msgspec

from ..errors import (
    BadAnswer,
    DeclarationError,
    MissingExtra,
    ModelError,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
)
from ..types import MICRO, Answer, Call, Clock
from .spec import ModelSpec, Try, stream_whole

try:
    import numpy as np
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state
except ImportError:  # the extra `predict` is absent; open_model says which line installs it
    onnxruntime = None
else:
    # All that onnxruntime raises: its errors share no base of their own.
    _NATIVE_ERRORS: tuple[type[Exception], ...] = (
        RuntimeError,
        *(
            kind
            for kind in vars(onnxruntime_pybind11_state).values()
            if isinstance(kind, type) and issubclass(kind, Exception)
        ),
    )

INLINE_BELOW_US = 200
"""A hop to an executor costs 38 us: a model below this is cheaper where it stands."""
PROFILE_ROWS = 9

Row = Mapping[str, Any]
Rows = Sequence[Row]
Arrays = Sequence[Any]
Reader = Callable[[Arrays], list[dict[str, Any]]]


class _Type(msgspec.Struct, frozen=True):
    """How one ONNX type meets JSON; `dummy` is the value that a profile is measured with."""

    dtype: str
    expected: str
    accepts: frozenset[type]
    dummy: Any


_NUMBERS: frozenset[type] = frozenset({int, float})
TYPES = {
    "tensor(float)": _Type("float32", "a number or null", _NUMBERS, 0.0),
    "tensor(double)": _Type("float64", "a number or null", _NUMBERS, 0.0),
    "tensor(int64)": _Type("int64", "a whole number", frozenset({int}), 0),
    "tensor(int32)": _Type("int32", "a whole number", frozenset({int}), 0),
    "tensor(string)": _Type("object", "a string", frozenset({str}), ""),
    "tensor(bool)": _Type("bool", "true or false", frozenset({bool}), False),
}


class _Column(msgspec.Struct, frozen=True):
    """One field of a row, and its place in the input tensor that holds it.

    Attributes:
        offset: Its place within one row of the tensor; a row is `width` wide.
    """

    name: str
    type: _Type
    tensor: str
    offset: int = 0
    width: int = 1

    def convert(self, value: Any) -> Any:
        """Return what stands for a value of another type: NaN for null, 3 for 3.0.

        Raises:
            ModelRejected: Nothing does.
        """
        if value is None and self.type.accepts is _NUMBERS:
            return nan
        if type(value) is float and value.is_integer() and int in self.type.accepts:
            return int(value)
        got = "null or nothing" if value is None else type(value).__name__
        raise ModelRejected(
            f"`input.{self.name}`: the model expects {self.type.expected}, got {got}",
            param=self.name,
        )


def open_model(spec: ModelSpec) -> OnnxModel:
    """Load the ONNX file that `spec.upstream` names; option `threads` (default 1) is per run.

    Raises:
        MissingExtra: onnxruntime is not installed.
        DeclarationError: The file cannot be loaded, or has inputs or outputs this cannot map.
    """
    if onnxruntime is None:
        raise MissingExtra("predict", f"model `{spec.name}` (kind `onnx`)")
    session = _open_session(spec)
    shape = _Shape(spec, session)
    return OnnxModel(spec.name, session, shape, spec.clock)


def _open_session(spec: ModelSpec) -> Any:
    path = spec.folder / spec.upstream
    if not path.is_file():
        raise DeclarationError(
            f"model `{spec.name}`: expected an ONNX file at `{spec.upstream}`, found none; "
            f"train or export it first"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(spec.options.get("threads", 1))
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _NATIVE_ERRORS as error:
        reason = str(error).replace(str(path), Path(spec.upstream).name).splitlines()[0]
        raise DeclarationError(
            f"model `{spec.name}`: expected an ONNX file that onnxruntime "
            f"{onnxruntime.__version__} can load, got `{spec.upstream}`: {reason}; "
            f"export it again, for an opset this version knows"
        ) from error


class _Shape:
    """What goes into a session and what comes out, read once from its metadata.

    Attributes:
        columns: Every field of a row.
        output_names: The tensors to ask for; `read` makes one mapping per row of them.
        is_single: Whether the file was exported for one row at a time.
    """

    def __init__(self, spec: ModelSpec, session: Any) -> None:
        self._model = spec.name
        self._metadata: Mapping[str, str] = session.get_modelmeta().custom_metadata_map
        inputs = session.get_inputs()
        self.columns = self._read_columns(inputs)
        self.tensors = {column.tensor: column for column in self.columns}
        self.ranks = {tensor.name: len(tensor.shape) for tensor in inputs}
        self.is_single = any(tensor.shape[:1] == [1] for tensor in inputs)
        self.output_names, self.read = self._read_outputs(session.get_outputs())

    def _read_columns(self, inputs: Sequence[Any]) -> tuple[_Column, ...]:
        for tensor in inputs:
            if tensor.type not in TYPES or len(tensor.shape) > 2:
                raise self._problem(
                    f"input `{tensor.name}`",
                    f"one scalar of {', '.join(TYPES)} per row",
                    f"{tensor.type} of shape {tensor.shape}",
                )
        if len(inputs) == 1 and "columns" in self._metadata:
            return self._read_matrix(inputs[0])
        for tensor in inputs:
            if len(tensor.shape) == 2 and tensor.shape[1] != 1:
                raise self._problem(
                    f"input `{tensor.name}`",
                    "shape [N, 1] or [N], or metadata `columns` that names the columns of the "
                    "only input, in order, as a JSON list",
                    f"shape {tensor.shape}",
                )
        return tuple(_Column(t.name, TYPES[t.type], t.name) for t in inputs)

    def _read_matrix(self, tensor: Any) -> tuple[_Column, ...]:
        names = self._read_list("columns")
        width = tensor.shape[-1]
        if len(tensor.shape) != 2 or (isinstance(width, int) and width != len(names)):
            raise self._problem(
                "metadata `columns`", f"one name per column of {tensor.shape}", f"{len(names)}"
            )
        kind = TYPES[tensor.type]
        return tuple(
            _Column(str(name), kind, tensor.name, offset, len(names))
            for offset, name in enumerate(names)
        )

    def _read_outputs(self, outputs: Sequence[Any]) -> tuple[list[str], Reader]:
        names = [output.name for output in outputs]
        for output in outputs:
            if not output.type.startswith("tensor("):
                raise self._problem(
                    f"output `{output.name}`",
                    "a tensor (skl2onnx: `options={'zipmap': False}`)",
                    output.type,
                )
        if "probabilities" not in names:
            return names, _NamedReader(names)
        classes = self._read_list("classes") if "classes" in self._metadata else None
        width = next(o.shape[-1] for o in outputs if o.name == "probabilities")
        if classes is not None and isinstance(width, int) and width != len(classes):
            raise self._problem("metadata `classes`", f"{width} names", f"{len(classes)}")
        asked = ["probabilities"] + (["label"] if "label" in names else [])
        return asked, _ClassReader(classes)

    def _read_list(self, key: str) -> list[str | int | bool]:
        try:
            return msgspec.json.decode(self._metadata[key], type=list[str | int | bool])
        except msgspec.DecodeError as error:
            raise self._problem(f"metadata `{key}`", "a JSON list of names", str(error)) from error

    def _problem(self, where: str, expected: str, got: str) -> DeclarationError:
        return DeclarationError(f"model `{self._model}`: {where}: expected {expected}, got {got}")


class _ClassReader:
    """Reads a classifier: `label`, `probabilities` by class, `probability` of the positive one.

    An int64 label is a position in `classes`, a string is itself. Of two classes the second is the
    positive one. Without `classes`, a class goes by its position.
    """

    def __init__(self, classes: Sequence[str | int | bool] | None) -> None:
        self._classes = classes
        self._keys = [
            name if isinstance(name, str) else msgspec.json.encode(name).decode()
            for name in classes or ()
        ]

    def __call__(self, arrays: Arrays) -> list[dict[str, Any]]:
        rows = arrays[0].tolist()
        is_labelled = len(arrays) > 1
        labels = arrays[1].ravel().tolist() if is_labelled else [_highest(row) for row in rows]
        return [self._read(row, label) for row, label in zip(rows, labels, strict=True)]

    def _read(self, row: list[float], label: Any) -> dict[str, Any]:
        _check_finite(row)
        if self._classes is not None and type(label) is int:
            if not 0 <= label < len(self._classes):
                raise BadAnswer(f"expected a position in metadata `classes`, got label {label}")
            label = self._classes[label]
        keys = self._keys or [str(position) for position in range(len(row))]
        output = {"label": label, "probabilities": dict(zip(keys, row, strict=True))}
        if len(row) == 2:
            output["probability"] = row[1]
        return output


class _NamedReader:
    """Reads other outputs by their names; a lone one is `value`, or `probability` if so named."""

    def __init__(self, names: Sequence[str]) -> None:
        is_lone = len(names) == 1 and names[0] != "probability"
        self._names = ["value"] if is_lone else list(names)

    def __call__(self, arrays: Arrays) -> list[dict[str, Any]]:
        columns = [array.reshape(len(array), -1).tolist() for array in arrays]
        for cell in chain.from_iterable(columns):
            _check_finite(cell)
        return [
            {
                name: cell[0] if len(cell) == 1 else cell
                for name, cell in zip(self._names, row, strict=True)
            }
            for row in zip(*columns, strict=True)
        ]


def _highest(row: list[float]) -> int:
    return row.index(max(row))


def _check_finite(numbers: list[Any]) -> None:
    """Raise `BadAnswer` for NaN and infinity, which JSON would show as null."""
    if numbers and type(numbers[0]) is float and not isfinite(sum(numbers)):
        raise BadAnswer("expected finite numbers from the model, got NaN or infinity")


class OnnxModel:
    """Answers rows with an ONNX session, by the names of its inputs.

    Inputs hold one scalar per row each ([N, 1] or [N]), or there is a single matrix whose columns
    metadata `columns` names in order. Null is NaN for a float; for any other type it is refused.
    Fields that the model does not know are left to the contract.

    Outputs: a classifier has `probabilities` (n, k) and mostly `label` (n), and gives
    `{"label", "probabilities": {class: p}}` and, for two classes, `"probability"` of the second;
    metadata `classes` is the JSON list of their names. A single other output gives `{"value"}`;
    several give one entry each, by name.

    A model whose row takes less than 200 us answers inline. A slower one has a thread of its own;
    a row that is running there when its deadline passes runs on, and the next one waits for it.
    """

    def __init__(self, name: str, session: Any, shape: _Shape, clock: Clock) -> None:
        self.name = name
        self._session = session
        self._shape = shape
        self._clock = clock
        # Rows run one at a time, inline or in one thread: they share one set of buffers.
        self._feeds, self._cells = self._allocate(1)
        self.row_us = self._measure()
        self._executor = (
            None
            if self.row_us < INLINE_BELOW_US
            else ThreadPoolExecutor(1, thread_name_prefix=name)
        )

    def _allocate(self, count: int) -> tuple[dict[str, Any], list[tuple[_Column, Any]]]:
        """Return tensors for `count` rows, and each column with the flat cells of its tensor."""
        feeds: dict[str, Any] = {}
        cells: dict[str, Any] = {}
        for name, column in self._shape.tensors.items():
            dims = (count,) if self._shape.ranks[name] == 1 else (count, column.width)
            feeds[name] = np.empty(dims, dtype=column.type.dtype)
            flat = feeds[name].reshape(-1)
            # A memoryview writes one number in a fifth of the time an array takes.
            cells[name] = flat if flat.dtype == object else memoryview(flat)
        return feeds, [(column, cells[column.tensor]) for column in self._shape.columns]

    def _measure(self) -> float:
        """Return the median microseconds of a dummy row; infinite if the model refuses it."""
        row = {column.name: column.type.dummy for column in self._shape.columns}
        spent_us = []
        try:
            for _ in range(PROFILE_ROWS):
                started = self._clock.monotonic()
                self._run_row(row)
                spent_us.append((self._clock.monotonic() - started) * MICRO)
        except ModelError:
            return float("inf")
        return statistics.median(spent_us)

    async def answer(self, call: Call) -> Answer:
        """Answer the one row that `call.input` is.

        Raises:
            ModelTimeout: The deadline passed.
            ModelRejected: A field is missing or has another type than the model expects.
            BadAnswer: The model gave NaN or infinity.
            ModelUnavailable: onnxruntime failed.
        """
        this_try = Try(self.name, self._clock)
        this_try.check_time(call)
        try:
            if self._executor is None:
                output = self._run_row(call.input)
            else:
                output = await self._run_in_thread(self._executor, call)
        except ModelError as error:
            raise this_try.failed(error) from error.__cause__
        return Answer(model=self.name, output=output, attempts=(this_try.ended(),))

    async def _run_in_thread(self, executor: ThreadPoolExecutor, call: Call) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        try:
            running = loop.run_in_executor(executor, self._run_row, call.input)
        except RuntimeError as error:
            raise ModelUnavailable(f"model `{self.name}` is closed") from error
        try:
            async with asyncio.timeout_at(call.deadline):
                return await running
        except TimeoutError as error:
            raise ModelTimeout(f"model `{self.name}` did not answer in time") from error

    def _run_row(self, row: Row) -> dict[str, Any]:
        self._fill(self._cells, 0, row)
        return self._run(self._feeds)[0]

    def predict_rows(self, rows: Rows) -> list[dict[str, Any]]:
        """Return one output per row, as `answer` gives them, in one run.

        Raises:
            ModelRejected: A field of a row is missing or has another type than the model expects.
            BadAnswer: The model gave NaN or infinity.
            ModelUnavailable: onnxruntime failed.
        """
        at_once = 1 if self._shape.is_single else max(len(rows), 1)
        outputs: list[dict[str, Any]] = []
        for start in range(0, len(rows), at_once):
            feeds, cells = self._allocate(at_once)
            for place, row in enumerate(rows[start : start + at_once]):
                self._fill(cells, place, row)
            outputs += self._run(feeds)
        return outputs

    @staticmethod
    def _fill(cells: list[tuple[_Column, Any]], place: int, row: Row) -> None:
        for column, flat in cells:
            value = row.get(column.name)
            if type(value) not in column.type.accepts:
                value = column.convert(value)
            try:
                flat[place * column.width + column.offset] = value
            except (ValueError, OverflowError) as error:
                raise ModelRejected(
                    f"`input.{column.name}`: the model expects {column.type.dtype}, "
                    f"got a number beyond its range",
                    param=column.name,
                ) from error

    def _run(self, feeds: dict[str, Any]) -> list[dict[str, Any]]:
        try:
            arrays = self._session.run(self._shape.output_names, feeds)
        except UnicodeEncodeError as error:
            raise ModelRejected("expected text, got half of a surrogate pair") from error
        except _NATIVE_ERRORS as error:
            # Its message may quote the row.
            message = f"onnxruntime failed inside model `{self.name}`: {type(error).__name__}"
            raise ModelUnavailable(message) from error
        return self._shape.read(arrays)

    def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        """Yield the answer, whole."""
        return stream_whole(self, call)

    async def close(self) -> None:
        """Stop its thread, if it has one; a row that is running runs on."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
