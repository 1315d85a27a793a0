from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from model_calls import ask
from onnx import TensorProto, helper

from roadworthy.errors import (
    BadAnswer,
    DeclarationError,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
)
from roadworthy.models.onnx import OnnxModel, open_model
from roadworthy.models.spec import ModelSpec
from roadworthy.testing import check_model

FLOAT, INT64, STRING, BOOL = (
    TensorProto.FLOAT,
    TensorProto.INT64,
    TensorProto.STRING,
    TensorProto.BOOL,
)
COLUMN = ["N", 1]
FLIGHT = {"minutes": 1.0, "seats": 2, "hub": True, "carrier": "AA"}

Port = tuple[str, int, list[str | int]]


def tensors(ports: Sequence[Port]) -> list[Any]:
    return [helper.make_tensor_value_info(*port) for port in ports]


def write_model(
    path: Path, inputs: Sequence[Port], outputs: Sequence[Port], nodes: Sequence[Any], **meta: str
) -> Path:
    """Write an ONNX file of `nodes`; `meta` becomes its metadata."""
    tensors_in, tensors_out = map(tensors, (inputs, outputs))
    constants = [
        helper.make_tensor("five", FLOAT, [], [5.0]),
        helper.make_tensor("one", FLOAT, [], [1.0]),
        helper.make_tensor("half", FLOAT, [], [0.5]),
        helper.make_tensor("flat", INT64, [1], [-1]),
    ]
    graph = helper.make_graph(nodes, "test", tensors_in, tensors_out, initializer=constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    helper.set_model_props(model, meta)
    onnx.save(model, path)
    return path


def node(op: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(op, inputs.split(), [output], **attributes)


def write_classifier(path: Path, **meta: str) -> Path:
    """P(positive) = sigmoid(minutes + seats + hub + carrier); an unknown minute counts as 5."""
    inputs: list[Port] = [
        ("minutes", FLOAT, ["N", 1]),
        ("seats", INT64, ["N", 1]),
        ("hub", BOOL, ["N", 1]),
        ("carrier", STRING, ["N", 1]),
    ]
    outputs: list[Port] = [("label", INT64, ["N"]), ("probabilities", FLOAT, ["N", 2])]
    codes = {"keys_strings": ["AA", "UA"], "values_floats": [-3.0, 3.0], "default_float": 0.0}
    nodes = [
        node("IsNaN", "minutes", "unknown"),
        node("Where", "unknown five minutes", "known"),
        node("Cast", "seats", "seats_f", to=FLOAT),
        node("Cast", "hub", "hub_f", to=FLOAT),
        node("LabelEncoder", "carrier", "carrier_f", domain="ai.onnx.ml", **codes),
        node("Sum", "known seats_f hub_f carrier_f", "score"),
        node("Sigmoid", "score", "p"),
        node("Sub", "one p", "q"),
        node("Concat", "q p", "probabilities", axis=1),
        node("Greater", "p half", "late"),
        node("Cast", "late", "late_i", to=INT64),
        node("Reshape", "late_i flat", "label"),
    ]
    return write_model(path, inputs, outputs, nodes, **meta)


def opened(path: Path) -> OnnxModel:
    return open_model(ModelSpec(name="late", upstream=path.name, folder=path.parent))


def output_of(model: OnnxModel, values: dict[str, Any]) -> Any:
    return asyncio.run(model.answer(ask(values))).output


@pytest.fixture
def classifier(tmp_path: Path) -> OnnxModel:
    return opened(write_classifier(tmp_path / "late.onnx", classes='["on time", "late"]'))


def sigmoid(score: float) -> float:
    return 1 / (1 + math.exp(-score))


def test_a_classifier_gives_label_and_probabilities_by_class(classifier: OnnxModel) -> None:
    output = output_of(classifier, FLIGHT)
    late = sigmoid(1.0 + 2 + 1 - 3)
    assert output["label"] == "late"
    assert output["probability"] == pytest.approx(late)
    assert output["probabilities"] == pytest.approx({"on time": 1 - late, "late": late})


def test_each_row_is_answered_by_its_own_values(classifier: OnnxModel) -> None:
    first = output_of(classifier, FLIGHT)
    other = output_of(classifier, {"minutes": -9.0, "seats": 0, "hub": False, "carrier": "UA"})
    assert other["label"] == "on time"
    assert other["probability"] == pytest.approx(sigmoid(-6.0), rel=1e-5)
    assert output_of(classifier, FLIGHT) == first


@pytest.mark.parametrize("unknown", [{"minutes": None}, {"minutes": math.nan}, {}])
def test_a_number_that_is_null_or_absent_is_nan(
    classifier: OnnxModel, unknown: dict[str, Any]
) -> None:
    row = {name: value for name, value in FLIGHT.items() if name != "minutes"}
    output = output_of(classifier, {**row, **unknown})
    assert output["probability"] == pytest.approx(sigmoid(5.0 + 2 + 1 - 3))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("carrier", None, "a string, got null or nothing"),
        ("carrier", 5, "a string, got int"),
        ("minutes", "soon", "a number or null, got str"),
        ("minutes", True, "a number or null, got bool"),
        ("minutes", [1.0], "a number or null, got list"),
        ("seats", None, "a whole number, got null or nothing"),
        ("seats", 1.5, "a whole number, got float"),
        ("seats", False, "a whole number, got bool"),
        ("seats", 2**70, "a number beyond its range"),
        ("minutes", 10**400, "a number beyond its range"),
        ("hub", 1, "true or false, got int"),
        ("hub", None, "true or false, got null or nothing"),
    ],
)
def test_a_value_the_model_cannot_take_is_rejected_by_name(
    classifier: OnnxModel, name: str, value: Any, expected: str
) -> None:
    with pytest.raises(ModelRejected) as caught:
        output_of(classifier, {**FLIGHT, name: value})
    assert f"`input.{name}`" in str(caught.value)
    assert expected in str(caught.value)
    assert caught.value.param == name
    assert caught.value.attempts[0].status == "model_rejected"


def test_a_text_field_that_is_absent_is_rejected(classifier: OnnxModel) -> None:
    with pytest.raises(ModelRejected, match=r"`input.carrier`: the model expects a string"):
        output_of(classifier, {"minutes": 1.0, "seats": 2, "hub": True})


def test_text_that_is_no_unicode_is_rejected(classifier: OnnxModel) -> None:
    with pytest.raises(ModelRejected, match="surrogate"):
        output_of(classifier, {**FLIGHT, "carrier": "\ud800"})


def test_whole_numbers_and_floats_stand_for_each_other_when_they_are_equal(
    classifier: OnnxModel,
) -> None:
    exact = output_of(classifier, FLIGHT)
    assert output_of(classifier, {**FLIGHT, "minutes": 1, "seats": 2.0}) == exact


def test_fields_the_model_does_not_know_are_left_to_the_contract(classifier: OnnxModel) -> None:
    assert output_of(classifier, {**FLIGHT, "gate": "B7"}) == output_of(classifier, FLIGHT)


def test_without_names_a_class_goes_by_its_position(tmp_path: Path) -> None:
    output = output_of(opened(write_classifier(tmp_path / "late.onnx")), FLIGHT)
    assert output["label"] == 1
    assert set(output["probabilities"]) == {"0", "1"}


def test_class_names_may_be_any_json_scalar(tmp_path: Path) -> None:
    model = opened(write_classifier(tmp_path / "late.onnx", classes="[false, true]"))
    output = output_of(model, FLIGHT)
    assert output["label"] is True
    assert set(output["probabilities"]) == {"false", "true"}


def test_a_matrix_takes_its_columns_in_the_order_of_the_metadata(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "matrix.onnx",
        [("x", FLOAT, ["N", 3])],
        [("y", FLOAT, ["N", 3])],
        [node("Identity", "x", "y")],
        columns='["a", "b", "c"]',
    )
    model = opened(path)
    assert output_of(model, {"c": 3, "a": 1.5, "b": 2}) == {"value": [1.5, 2.0, 3.0]}
    rows = [{"a": i, "b": 10 + i, "c": 20 + i} for i in range(3)]
    assert [row["value"] for row in model.predict_rows(rows)] == [
        [0, 10, 20],
        [1, 11, 21],
        [2, 12, 22],
    ]
    with pytest.raises(ModelRejected, match=r"input\.b"):
        output_of(model, {"a": 1.0, "b": "x", "c": 2.0})


def write_ratio(path: Path, output: str = "y", shape: tuple[str | int, ...] = ("N", 1)) -> Path:
    ports: list[Port] = [("a", FLOAT, list(shape)), ("b", FLOAT, list(shape))]
    return write_model(path, ports, [(output, FLOAT, list(shape))], [node("Div", "a b", output)])


@pytest.mark.parametrize("shape", [("N", 1), ("N",), (1, 1), (1,)])
def test_a_regressor_gives_a_value(tmp_path: Path, shape: tuple[str | int, ...]) -> None:
    model = opened(write_ratio(tmp_path / "ratio.onnx", shape=shape))
    assert output_of(model, {"a": 3.0, "b": 2.0}) == {"value": 1.5}
    rows = [{"a": i, "b": 2.0} for i in range(3)]
    assert [row["value"] for row in model.predict_rows(rows)] == [0.0, 0.5, 1.0]


def test_a_lone_probability_keeps_its_name(tmp_path: Path) -> None:
    model = opened(write_ratio(tmp_path / "ratio.onnx", output="probability"))
    assert output_of(model, {"a": 1.0, "b": 2.0}) == {"probability": 0.5}


def test_several_outputs_go_by_their_names(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "two.onnx",
        [("a", FLOAT, ["N", 1]), ("s", STRING, ["N", 1])],
        [("low", FLOAT, ["N", 1]), ("word", STRING, ["N", 1])],
        [node("Neg", "a", "low"), node("Identity", "s", "word")],
    )
    assert output_of(opened(path), {"a": 2.0, "s": "hi"}) == {"low": -2.0, "word": "hi"}


def test_many_rows_at_once_equal_the_same_rows_one_by_one(classifier: OnnxModel) -> None:
    rows = [
        {"minutes": float(i) if i % 3 else None, "seats": i, "hub": i % 2 == 0, "carrier": code}
        for i, code in enumerate(["AA", "UA", "??", "AA", "UA"])
    ]
    single = [output_of(classifier, row) for row in rows]
    for one, many in zip(single, classifier.predict_rows(rows), strict=True):
        assert one["label"] == many["label"]
        assert one["probabilities"] == pytest.approx(many["probabilities"])
    assert classifier.predict_rows([]) == []


@pytest.mark.parametrize("rows", [1, 3])
def test_a_number_that_is_none_is_a_bad_answer(tmp_path: Path, rows: int) -> None:
    model = opened(write_ratio(tmp_path / "ratio.onnx"))
    with pytest.raises(BadAnswer, match="NaN or infinity"):
        model.predict_rows([{"a": 1.0, "b": 1.0}] * (rows - 1) + [{"a": 0.0, "b": 0.0}])
    with pytest.raises(BadAnswer, match="NaN or infinity") as caught:
        output_of(model, {"a": 1.0, "b": 0.0})
    assert caught.value.attempts[0].status == "bad_answer"


def write_lookup(path: Path) -> Path:
    """A model that fails inside for a position beyond its table."""
    nodes = [
        helper.make_node(
            "Constant", [], ["table"], value=helper.make_tensor("t", FLOAT, [2], [0.5, 0.7])
        ),
        node("Gather", "table at", "y"),
    ]
    return write_model(path, [("at", INT64, ["N", 1])], [("y", FLOAT, ["N", 1])], nodes)


def test_a_failure_inside_the_model_is_mapped_without_quoting_the_row(tmp_path: Path) -> None:
    model = opened(write_lookup(tmp_path / "lookup.onnx"))
    assert output_of(model, {"at": 1}) == {"value": pytest.approx(0.7)}
    with pytest.raises(ModelUnavailable, match="onnxruntime failed inside model `late`") as caught:
        output_of(model, {"at": 424242})
    assert "424242" not in str(caught.value)
    assert output_of(model, {"at": 0}) == {"value": 0.5}


def test_a_label_that_is_no_position_among_the_classes_is_a_bad_answer(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "odd.onnx",
        [("at", INT64, ["N", 1]), ("p", FLOAT, ["N", 1])],
        [("label", INT64, ["N"]), ("probabilities", FLOAT, ["N", 2])],
        [node("Reshape", "at flat", "label"), node("Concat", "p p", "probabilities", axis=1)],
        classes='["a", "b"]',
    )
    model = opened(path)
    assert output_of(model, {"at": 1, "p": 0.5})["label"] == "b"
    with pytest.raises(BadAnswer, match="label 2"):
        output_of(model, {"at": 2, "p": 0.5})


def test_a_missing_file_is_no_declaration(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"`nowhere\.onnx`, found none; train or export"):
        opened(tmp_path / "nowhere.onnx")


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_file_that_is_no_model_is_no_declaration(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(DeclarationError, match="export it again") as caught:
        opened(tmp_path / "bad.onnx")
    assert str(tmp_path) not in str(caught.value)


def test_a_classifier_with_zipmap_is_told_the_option(tmp_path: Path) -> None:
    proto = onnx.load(write_classifier(tmp_path / "late.onnx"))
    zipped = helper.make_node(
        "ZipMap", ["probabilities"], ["zipped"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]
    )
    proto.graph.node.append(zipped)
    kind = helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, []))
    value = helper.make_value_info("zipped", helper.make_sequence_type_proto(kind))
    proto.graph.output.append(value)
    onnx.save(proto, tmp_path / "late.onnx")
    with pytest.raises(DeclarationError, match=r"output `zipped`.*zipmap"):
        opened(tmp_path / "late.onnx")


@pytest.mark.parametrize(
    ("shape", "meta", "hint"),
    [
        (["N", 3], {}, "metadata `columns`"),
        (["N", 3], {"columns": '["a", "b"]'}, "one name per column"),
        (["N", 3], {"columns": "a, b, c"}, "a JSON list"),
        (["N", 2, 2], {}, "one scalar"),
    ],
)
def test_inputs_that_cannot_be_mapped_are_no_declaration(
    tmp_path: Path, shape: list[str | int], meta: dict[str, str], hint: str
) -> None:
    path = tmp_path / "wide.onnx"
    write_model(path, [("x", FLOAT, shape)], [("y", FLOAT, shape)], [node("Neg", "x", "y")], **meta)
    with pytest.raises(DeclarationError, match=hint):
        opened(path)


def test_class_names_must_fit_the_probabilities(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"metadata `classes`: expected 2 names, got 3"):
        opened(write_classifier(tmp_path / "late.onnx", classes='["a", "b", "c"]'))


def write_slow(path: Path) -> Path:
    """A model whose row takes tens of milliseconds: a chain of products of 512 x 512 matrices."""
    size = helper.make_node(
        "Constant", [], ["size"], value=helper.make_tensor("s", INT64, [2], [512, 512])
    )
    nodes = [size, node("Expand", "x size", "m0")]
    nodes += [node("MatMul", f"m0 m{i}", f"m{i + 1}") for i in range(8)]
    nodes += [node("ReduceMax", "m8", "top", keepdims=0), node("Mul", "x top", "y")]
    return write_model(path, [("x", FLOAT, [1, 1])], [("y", FLOAT, [1, 1])], nodes)


def test_a_slow_model_leaves_the_loop_free_and_keeps_the_deadline(tmp_path: Path) -> None:
    model = opened(write_slow(tmp_path / "slow.onnx"))
    threads: set[str] = set()

    async def run() -> float:
        loop = asyncio.get_running_loop()
        late = asyncio.create_task(model.answer(ask({"x": 0.0}, within_s=0.001)))
        turns = 0
        while not late.done():
            await asyncio.sleep(0)
            turns += 1
            threads.update(thread.name for thread in threading.enumerate())
        with pytest.raises(ModelTimeout) as caught:
            late.result()
        assert caught.value.attempts[0].status == "model_timeout"
        assert turns > 1
        answer = await model.answer(ask({"x": 0.0}))
        await model.close()
        with pytest.raises(ModelUnavailable, match="closed"):
            await model.answer(ask({"x": 0.0}))
        assert loop.is_running()
        return float(answer.output["value"])

    assert asyncio.run(run()) == 0.0
    assert any("late" in name for name in threads)


def test_onnx_models_keep_what_every_model_must(tmp_path: Path) -> None:
    path = write_classifier(tmp_path / "late.onnx")
    check_model(lambda: opened(path), ask(dict(FLIGHT)))
    check_model(lambda: opened(path), ask({"minutes": "soon"}))
    slow = write_slow(tmp_path / "slow.onnx")
    check_model(lambda: opened(slow), ask({"x": 1.0}))


def test_without_onnxruntime_the_error_is_the_line_that_installs_it() -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from roadworthy.models.onnx import open_model\n"
        "from roadworthy.models.spec import ModelSpec\n"
        "from roadworthy.errors import MissingExtra\n"
        "try: open_model(ModelSpec(name='late', upstream='late.onnx'))\n"
        "except MissingExtra as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'roadworthy[predict]'" in done.stdout
    assert "`late`" in done.stdout


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # skl2onnx hands numpy.bool to protobuf
def test_a_pipeline_of_scikit_learn_answers_as_it_does_there(tmp_path: Path) -> None:
    import pandas as pd
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OrdinalEncoder

    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "carrier": random.choice(["AA", "UA", "DL"], 500),
            "wind": random.normal(size=500).astype(np.float32),
            "hour": random.integers(0, 24, 500).astype(np.float32),
        }
    )
    frame.loc[::7, "wind"] = np.nan
    is_late = (frame["hour"] + 4 * (frame["carrier"] == "UA") + random.normal(size=500)) > 14
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("text", encoder, ["carrier"])], remainder="passthrough")
    pipeline = Pipeline([("columns", columns), ("trees", HistGradientBoostingClassifier())])
    pipeline.fit(frame, is_late.astype(int))
    kinds = [("carrier", StringTensorType([None, 1]))]
    kinds += [(name, FloatTensorType([None, 1])) for name in ("wind", "hour")]
    exported = to_onnx(pipeline, initial_types=kinds, options={"zipmap": False})
    (tmp_path / "late.onnx").write_bytes(exported.SerializeToString())

    rows = [
        {str(name): None if value != value else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]
    outputs = opened(tmp_path / "late.onnx").predict_rows(rows)
    expected = pipeline.predict_proba(frame)[:, 1]
    assert np.allclose([output["probability"] for output in outputs], expected, atol=1e-5)
    assert [output["label"] for output in outputs] == list(pipeline.predict(frame))
