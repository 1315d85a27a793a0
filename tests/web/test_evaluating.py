from __future__ import annotations

import json
from typing import Any

import pytest

from control_plane import Plane

EVALUATION = """
[evaluation]
suites = ["golden.jsonl"]
"""


@pytest.fixture
def judged(plane: Plane) -> Plane:
    """Return a plane whose service `risk` has a suite and promises of it."""
    folder = plane.project.folder / "services" / "risk"
    cases: list[dict[str, Any]] = [
        {"id": f"c{n}", "input": {"wind": float(n)}, "expect": {"late": n > 20}} for n in range(400)
    ]
    (folder / "golden.jsonl").write_text("\n".join(map(json.dumps, cases)), encoding="utf-8")
    file = folder / "service.toml"
    text = file.read_text(encoding="utf-8").replace(
        "[cost]", 'quality = { scorer = "exact", at_least = 0.5 }\n[cost]', 1
    )
    file.write_text(text + EVALUATION, encoding="utf-8")
    return plane


def test_a_release_is_evaluated_beside_what_serves(judged: Plane) -> None:
    made = judged.ask("POST", "/api/services/risk/evaluations", {"against": "champion"})
    assert made.status == 201
    found = made.json
    assert (found["verdict"], found["needed"], found["asked"]) == ("pass", None, 800)
    assert found["baseline"] == judged.serving.engine.releases["risk"].id
    assert found["release"] != found["baseline"]
    act = judged.get("/api/actions?limit=1")["actions"][0]
    assert (act["action"], act["subject"]) == ("evaluation.run", found["release"])


def test_what_cannot_be_evaluated_is_refused_with_its_reason(judged: Plane) -> None:
    refused = judged.ask("POST", "/api/services/risk/evaluations", {"release": "abc"})
    assert (refused.status, refused.error["code"]) == (404, "not_found")
    bad_suites = ("none.jsonl", "../reply/service.toml", "/etc/passwd", "\x00")
    for name in bad_suites:
        refused = judged.ask("POST", "/api/services/risk/evaluations", {"suites": [name]})
        assert (refused.status, refused.error["code"]) == (422, "declaration_error")
        assert refused.error["message"].startswith("suite: expected a ")
