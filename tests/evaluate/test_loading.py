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
