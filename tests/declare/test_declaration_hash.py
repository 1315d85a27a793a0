from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from declare_files import ENFORCES, load_text, write_project, write_service
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.declare.load import load_service
from roadworthy.declare.project import ProjectDeclaration
from roadworthy.declare.service import ServiceDeclaration
from roadworthy.declare.show import show

Table = dict[str, Any]

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20)
usd = st.integers(1, 10**9).map(lambda micro: Decimal(micro) / 10**6)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Draw a sound service, with or without each of its optional parts."""
    deadline = draw(st.integers(1, 86_400_000))
    optional = {
        "purpose": texts,
        "risk": st.sampled_from(["low", "limited"]),
        "contract": st.just({"input": "request.schema.json"}),
        "chat": st.fixed_dictionaries(
            {},
            optional={
                "variable": st.just("question"),
                "history": st.booleans(),
                "allow": st.lists(st.sampled_from(["temperature", "tools"]), unique=True),
            },
        ),
        "guards": st.just([{"use": "rule", "expression": "output.text != ''"}]),
        "records": st.fixed_dictionaries({"keep_days": st.integers(1, 36_500)}),
    }
    json_values = st.recursive(
        st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, width=32) | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=5,
    ).filter(lambda value: "Infinity" not in json.dumps(value))
    fallback = st.lists(
        st.fixed_dictionaries(
            {"use": st.just("static"), "output": st.dictionaries(texts, json_values, max_size=3)}
        ),
        min_size=1,
        max_size=2,
    )
    rest: Table = draw(st.fixed_dictionaries({}, optional={**optional, "fallback": fallback}))
    return {
        "name": "case",
        "kind": "generate",
        "owners": draw(st.fixed_dictionaries({"product": texts}, optional={"model": texts})),
        "objectives": {"deadline_ms": deadline},
        "cost": {"per_day_usd": draw(usd)},
        "models": [{"provider": "upstream", "model": "gpt-5-2025-08-07"}],
        **rest,
    }


def toml(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def written(table: Table, shuffle: random.Random) -> str:
    """Write a table in any order, with comments, each part inline or below a header."""
    plain, headed = [], []
    for key, value in sorted(table.items(), key=lambda _: shuffle.random()):
        if isinstance(value, dict) and shuffle.random() < 0.5:
            lines = [f"{toml(k)} = {toml(v)}" for k, v in value.items()]
            shuffle.shuffle(lines)
            headed.append("\n".join([f"[ {key} ]  # {key}", *lines]))
        else:
            plain.append(f"\n{key}  =  {toml(value)} # {key}")
    return "\n".join(plain + headed) + "\n"


@pytest.fixture(scope="module")
def project() -> Iterator[ProjectDeclaration]:
    with tempfile.TemporaryDirectory() as folder:
        yield write_project(Path(folder))


def load(project: ProjectDeclaration, text: str) -> ServiceDeclaration:
    return load_service(write_service(project.folder, text), project, ENFORCES)


@settings(max_examples=60, deadline=None)
@given(table=tables(), shuffle=st.randoms(use_true_random=False))
def test_the_same_meaning_has_the_same_hash(
    project: ProjectDeclaration, table: Table, shuffle: random.Random
) -> None:
    first = load(project, written(table, shuffle))
    again = load(project, written(table, shuffle))
    assert again.hash == first.hash
    assert again == first


@settings(max_examples=60, deadline=None)
@given(table=tables(), shuffle=st.randoms(use_true_random=False))
def test_what_show_prints_reads_back_to_the_same_hash(
    project: ProjectDeclaration, table: Table, shuffle: random.Random
) -> None:
    service = load(project, written(table, shuffle))
    assert load(project, show(service)).hash == service.hash


CHANGES = [
    ('kind = "generate"', 'kind = "predict"'),
    ("deadline_ms = 2000", "deadline_ms = 2001"),
    ("availability = 0.999", "availability = 0.9991"),
    ("per_day_usd = 50\n", "per_day_usd = 50.000001\n"),
    ('"Ana"', '"Anna"'),
    ('model = "gpt-5-2025-08-07"', 'model = "gpt-5-2025-08-08"'),
    ("keep_days = 30", "keep_days = 31"),
    ('output = { text = "x" }', 'output = { text = "y" }'),
    ('output = { text = "x" }', "output = { text = 1 }"),
    ('fail = "open"', ""),
    ('allow = ["a"]', 'allow = ["a", "b"]'),
    ('purpose = "p"', ""),
]

SERVICE = """\
name = "case"
kind = "generate"
purpose = "p"
owners = { product = "Ana" }
[objectives]
deadline_ms = 2000
availability = 0.999
[cost]
per_day_usd = 50
[[models]]
provider = "upstream"
model = "gpt-5-2025-08-07"
[[guards]]
use = "rule"
expression = "true"
fail = "open"
[[fallback]]
use = "static"
output = { text = "x" }
[records]
keep_days = 30
"""


@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_a_changed_value_changes_the_hash(before: str, after: str, tmp_path: Path) -> None:
    text = SERVICE
    if "allow" in before:
        text = text.replace("[records]", '[chat]\nallow = ["a"]\n[records]')
    assert before in text
    changed = load_text(tmp_path, text.replace(before, after))
    assert changed.hash != load_text(tmp_path, text).hash


def test_a_default_written_out_does_not_change_the_hash(tmp_path: Path) -> None:
    first = load_text(tmp_path, SERVICE)
    spelt = SERVICE.replace("per_day_usd = 50", 'per_day_usd = 50.0\non_exhausted = "refuse"')
    spelt = spelt.replace('{ product = "Ana" }', '{ product = "Ana", model = "Ana" }')
    assert load_text(tmp_path, spelt).hash == first.hash
