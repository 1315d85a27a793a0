"""`roadworthy certificates` of cheaper models, as it is read without a server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from command_line import run

from conftest import write_project
from roadworthy.app import open_project
from roadworthy.store.pairs import add_pairs
from roadworthy.types import Pair
from routed import opened, service

ROUTING = """
[routing]
strategy = "cascade"
reference = "large"
max_error = 0.1
of = "routed"
[outcomes]
unit = "request"
window = "1s"
"""
MODELS = {
    "small": "{'label': 'right', 'confidence': input.p}",
    "large": "{'label': 'right', 'confidence': 1.0}",
}


def test_decisions_about_cheaper_models_are_listed_and_stopped(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "project", {"desk": service(ROUTING, MODELS)})
    with open_project(folder) as project:
        assert project.serving
    (line,) = run("certificates", "--project", folder, "--json").json
    assert (line["decision"], line["state"], line["reference"]) == ("route", "collecting", "large")
    assert line["needed"] > 0
    with open_project(folder) as project:
        now_us, release = project.clock.now_us(), opened(project).id
        pairs = [
            Pair(
                id=f"pr_{number:05}",
                at_us=now_us - 3_600_000_000 + number,
                decision="route",
                service="desk",
                release=release,
                request_id=f"rq_{number:05}",
                scorer="own",
                score=float(score),
                share=0.2,
                unit=f"u{number}",
                quality=1.0,
                reference_quality=1.0,
                loss=0.0,
            )
            for number, score in enumerate(np.random.default_rng(0).random(600))
        ]
        with project.state.begin() as connection:
            add_pairs(connection, pairs)
        project.serving.jobs.run_now("pairs")
    (line,) = run("certificates", "--project", folder, "--decision", "route", "--json").json
    assert (line["state"], line["needed"], line["n"]) == ("certified", 0, 600)
    assert "may go to a cheaper model" in run("certificates", "--project", folder).out
    assert run("certificates", "--project", folder, "--decision", "reuse", "--json").json == []
    held = line["certificate"]
    assert run("stop", "desk", "--certificate", held, "--project", folder).code == 0
    (line,) = run("certificates", "--project", folder, "--json").json
    assert (line["state"], line["why"]) == ("off", f"a person stopped `{held}`")
    assert run("resume", "desk", "--certificate", held, "--project", folder).code == 0
    (line,) = run("certificates", "--project", folder, "--json").json
    assert line["state"] == "certified"
