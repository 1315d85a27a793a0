from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.errors import DeclarationError
from roadworthy.evaluate.loading import load_cases

CASE = '{"id": "a", "input": {"text": "hi"}}\n'
TEMPLATE = '{"id": "t", "template": "Say {x}", "fill": {"x": [1, 2]}}\n'


def test_cases_and_templates_are_suites_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(CASE)
    (tmp_path / "t.templates.jsonl").write_text(TEMPLATE)
    suites = load_cases(tmp_path, ["t.templates.jsonl", "a.jsonl"])
    assert [suite.name for suite in suites] == ["t.templates.jsonl", "a.jsonl"]
    assert [case.id for suite in suites for case in suite.cases] == ["t-1", "t-2", "a"]


def test_an_id_that_stands_twice_and_a_file_that_is_missing_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(CASE.replace('"a"', '"t-2"'))
    (tmp_path / "t.templates.jsonl").write_text(TEMPLATE)
    with pytest.raises(DeclarationError, match=r"`t-2`, which is in a\.jsonl already"):
        load_cases(tmp_path, ["a.jsonl", "t.templates.jsonl"])
    with pytest.raises(DeclarationError, match="expected a file of templates"):
        load_cases(tmp_path, ["none.templates.jsonl"])


@pytest.mark.parametrize("name", ["a.jsonl", "a.templates.jsonl"])
def test_files_of_other_systems_are_read(tmp_path: Path, name: str) -> None:
    line = TEMPLATE if "templates" in name else CASE
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + line.encode().replace(b"\n", b"\r\n"))
    (suite,) = load_cases(tmp_path, [name])
    assert len(suite.cases) in (1, 2)


@pytest.mark.parametrize("name", ["a.jsonl", "a.templates.jsonl"])
@pytest.mark.parametrize(
    "line",
    [
        b'{"id": "caf\xe9", "input": {}}',
        b'{"id": "a", "input": {"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"id": "a", "input": {"x": NaN}}',
        b"[1]",
    ],
    ids=["latin-1", "deep", "nan", "list"],
)
def test_a_line_that_cannot_be_read_is_told_by_its_number(
    tmp_path: Path, name: str, line: bytes
) -> None:
    (tmp_path / name).write_bytes(b"\n" + line)
    with pytest.raises(DeclarationError, match=r"^line 2: expected .* as JSON, got "):
        load_cases(tmp_path, [name])


def test_a_case_without_a_name_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(CASE.replace('"a"', '""'))
    with pytest.raises(DeclarationError, match="line 1: id: expected a text, got an empty one"):
        load_cases(tmp_path, ["a.jsonl"])
