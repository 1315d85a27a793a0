"""The certificates of cheaper models: what is certified, what is missing, and who stopped it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from visitor import Visitor

from conftest import write_project
from control_plane import Plane
from roadworthy.app import open_project
from roadworthy.store.certificates import certificate_in_force
from roadworthy.store.pairs import add_pairs
from roadworthy.types import Pair
from routed import opened, service

ROUTING = """
[routing]
strategy = "cascade"
reference = "large"
max_error = 0.1
of = "{of}"
[outcomes]
unit = "request"
window = "1s"
"""
MODELS = {
    "small": "{'label': 'right', 'confidence': input.p}",
    "large": "{'label': 'right', 'confidence': 1.0}",
}
HOUR_US = 3_600_000_000


def pairs_of(plane: Plane, name: str, count: int, lost_below: float) -> list[Pair]:
    random = np.random.default_rng(0)
    now_us = plane.project.clock.now_us()
    scores = random.permutation(np.linspace(0, 1, count))
    return [
        Pair(
            id=f"pr_{name}_{number:05}",
            at_us=now_us - HOUR_US + number * 1000,
            decision="route",
            service=name,
            release=opened(plane.project, name).id,
            request_id=f"rq_{name}_{number:05}",
            scorer="own",
            score=float(score),
            share=0.2,
            unit=f"u{number}",
            model="small",
            reference="large",
            quality=1 - (loss := float(score < lost_below)),
            reference_quality=1.0,
            loss=loss,
            known_at_us=now_us,
        )
        for number, score in enumerate(scores)
    ]


@contextmanager
def staged(folder: Path) -> Iterator[Plane]:
    """Services that bet on cheaper models: certified twice, out of reach, and without pairs."""
    kinds = {"floor": "all", "strict": "routed", "hopeless": "routed", "new": "all"}
    services = {
        name: service(ROUTING.format(of=of), MODELS, name=name) for name, of in kinds.items()
    }
    project = open_project(write_project(folder / "project", services))
    plane = Plane(project)
    try:
        found = [
            *pairs_of(plane, "floor", 600, 0.2),
            *pairs_of(plane, "strict", 600, 0.2),
            *pairs_of(plane, "hopeless", 600, 0.95),
        ]
        with project.state.begin() as connection:
            add_pairs(connection, found)
        project.serving.jobs.run_now("pairs")
        project.run(project.serving.follow()).result()
        yield plane
    finally:
        project.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with staged(tmp_path_factory.mktemp("bets")) as plane:
        yield plane


@pytest.fixture
def visitor(stage: Plane) -> Visitor:
    return Visitor(stage, stage.secret)


def test_the_list_holds_every_decision_that_has_a_bound(stage: Plane, visitor: Visitor) -> None:
    shown, twin = visitor.see("/certificates"), stage.get("/api/certificates")
    assert unescape(shown.headline) == twin["says"]
    states = {row["service"]: (row["decision"], row["standing"]) for row in twin["rows"]}
    assert states == {
        "floor": ("route", "certified"),
        "strict": ("route", "certified"),
        "hopeless": ("route", "collecting"),
        "new": ("route", "collecting"),
    }
    assert "take a cheaper model" in shown.words
    assert "pairs missing" in shown.words


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("floor", "At least 90% of the quality of `large` is kept, over all requests."),
        ("strict", "Of what cheaper models answer at most 10% is lost against `large`."),
    ],
)
def test_a_certificate_says_what_is_promised_and_on_what(
    stage: Plane, visitor: Visitor, name: str, says: str
) -> None:
    held = certificate_in_force(stage.project.state, name, "route")
    assert held is not None
    twin = stage.get(f"/api/certificates/{held.id}")
    assert twin["says"] == says
    assert twin == stage.get(f"/api/certificates/{name}:route") | {"as_of": twin["as_of"]}
    assert twin["row"]["threshold"] == held.threshold
    assert (twin["counted"], twin["automated"]) == (600, held.detail["automated"])
    shown = visitor.see(f"/certificates/{name}:route")
    assert not shown.unclosed
    assert "to a cheaper model" in shown.words
    assert "answered anew unseen" in shown.words
    assert "A doubled error shows after about" in shown.words
    assert "Ask people of everything" not in shown.words


def test_what_cannot_be_reached_is_said_with_what_can(stage: Plane, visitor: Visitor) -> None:
    twin = stage.get("/api/certificates/hopeless:route")
    assert twin["says"] == "This bound is not reachable."
    assert "reachable: max_error >=" in twin["row"]["says"][1]
    shown = visitor.see("/certificates/hopeless:route")
    assert "The strongest model answers everything." in shown.words


def test_before_there_are_pairs_it_says_what_is_needed(stage: Plane, visitor: Visitor) -> None:
    twin = stage.get("/api/certificates/new:route")
    assert twin["row"]["needed"] > 0
    assert "0 of 200 scores of pairs are there" in twin["row"]["says"][1]
    assert "more pairs are needed" in visitor.see("/certificates/new:route").words


def test_a_person_stops_and_resumes_it(stage: Plane, visitor: Visitor) -> None:
    page = "/certificates/strict:route"
    visitor.see(page)
    assert visitor.send(f"{page}/stop", reason="odd answers").status in (200, 303)
    stage.project.run(stage.project.serving.follow()).result()
    twin = stage.get("/api/certificates/strict:route")
    assert twin["row"]["standing"] == "off"
    assert "odd answers" in " ".join(twin["row"]["says"])
    assert opened(stage.project, "strict").router.within.is_stopped  # type: ignore[union-attr]
    assert "Resume the certificate" in visitor.see(page).words
    assert visitor.send(f"{page}/resume", reason="").status in (200, 303)
    stage.project.run(stage.project.serving.follow()).result()
    assert stage.get("/api/certificates/strict:route")["row"]["standing"] == "certified"


def test_a_decision_that_is_not_declared_is_not_found(stage: Plane, visitor: Visitor) -> None:
    assert stage.ask("GET", "/api/certificates/floor:reuse").status == 404
    visitor.see("/certificates/floor:route")
    assert visitor.send("/certificates/floor/ask", reason="").status == 404
