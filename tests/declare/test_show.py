from __future__ import annotations

import tomllib
from pathlib import Path

from declare_files import EIGHT_LINES, ENFORCES, load_text

from roadworthy.declare.show import check_report, show


def test_the_report_names_what_enforces_each_key_of_the_file(tmp_path: Path) -> None:
    service = load_text(tmp_path, EIGHT_LINES)
    enforces = {name: where for name, where in ENFORCES.items() if not name.startswith("owners")}
    report = check_report(service, enforces)
    assert [(path, enforcer) for path, _, enforcer in report] == [
        ("name", "somewhere.py"),
        ("kind", "somewhere.py"),
        ("owners.product", "descriptive"),
        ("objectives.deadline_ms", "somewhere.py"),
        ("cost.per_day_usd", "somewhere.py"),
        ("models[0].provider", "somewhere.py"),
        ("models[0].model", "somewhere.py"),
    ]
    assert ("objectives.deadline_ms", 30_000, "somewhere.py") in report


def test_an_alias_is_reported_by_its_name_in_the_file(tmp_path: Path) -> None:
    guard = '[[guards]]\nuse = "schema"\nschema = "reply.schema.json"\n'
    paths = [
        path for path, _, _ in check_report(load_text(tmp_path, EIGHT_LINES + guard), ENFORCES)
    ]
    assert paths[-2:] == ["guards[0].use", "guards[0].schema"]


def test_show_fills_in_every_default(tmp_path: Path) -> None:
    text = show(load_text(tmp_path, EIGHT_LINES))
    shown = tomllib.loads(text)
    cost = shown["cost"]
    assert (cost["per_day_usd"], cost["on_exhausted"], cost["soft_share"]) == (20, "refuse", 0.8)
    assert shown["records"] == {"bodies": "full", "keep_days": 90}
    assert shown["owners"] == {"product": "Ana", "model": "Ana", "platform": "Ana"}
    assert shown["models"][0]["name"] == "gpt-5-2025-08-07"
    assert "# chat is not set: " in text
    assert "# timeout_ms is not set: " in text
