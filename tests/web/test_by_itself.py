"""What Roadworthy did by itself stands on Home and on the service's page, with its evidence."""

from __future__ import annotations

import re
from typing import Any

from visitor import Visitor

from control_plane import Plane
from roadworthy.types import HOUR_US, SettableClock
from roadworthy.web.by_itself import MOST_SEEN, deeds_of

HEAD = "What Roadworthy did by itself"


def told(plane: Plane, **more: Any) -> list[tuple[str, str]]:
    return [(deed["service"], deed["says"]) for deed in plane.get("/api/home", **more)["deeds"]]


def test_the_first_start_promotes_what_nobody_had(plane: Plane) -> None:
    ids = {name: release.id for name, release in plane.serving.engine.releases.items()}
    short = {name: id.partition("@")[2][:6] for name, id in ids.items()}
    says = "Built and promoted release {}: nothing served before."
    assert sorted(told(plane)) == [(name, says.format(short[name])) for name in sorted(ids)]
    visitor = Visitor(plane, plane.secret)
    home = visitor.see("/")
    assert HEAD in home.words
    for name in ids:
        assert says.format(short[name]) in home.words
        evidence = f"/releases/{ids[name].replace('@', '%40')}"
        assert evidence in home.links
        assert visitor.see(evidence).status == 200
    page = visitor.see("/services/risk")
    assert says.format(short["risk"]) in page.words
    assert short["reply"] not in page.words
    assert [deed["service"] for deed in plane.get("/api/services/risk/page")["deeds"]] == ["risk"]


def test_what_people_do_is_not_its_own_doing(plane: Plane) -> None:
    before = told(plane)
    plane.ask("POST", "/api/services/risk/stop", {"reason": "trial"})
    plane.ask("POST", "/api/services/risk/resume")
    plane.project.build_release("risk", by="cli:ada")
    plane.serving.switchboard.stop("risk", by="upstairs", reason="a name that begins so")
    assert told(plane) == before


def test_a_stop_by_a_job_is_told_with_its_reason(plane: Plane) -> None:
    board = plane.serving.switchboard
    board.stop("risk", "by-rule", by="job:watch", reason="9 of 10 answers were wrong.")
    board.resume("risk", "by-rule", by="job:watch")
    board.stop("risk", by="job:watch")
    assert told(plane)[:3] == [
        ("risk", "Stopped the service."),
        ("risk", "Resumed model by-rule."),
        ("risk", "Stopped model by-rule: 9 of 10 answers were wrong."),
    ]
    plane.follow()
    shown = Visitor(plane, plane.secret).see("/services/risk")
    assert "Stopped model by-rule: 9 of 10 answers were wrong." in shown.words


def test_a_day_later_the_section_is_gone(plane: Plane) -> None:
    clock = plane.project.clock
    assert isinstance(clock, SettableClock)
    clock.set(clock.now_us() + 25 * HOUR_US)
    assert told(plane) == []
    visitor = Visitor(plane, plane.secret)
    assert HEAD not in visitor.see("/").words
    assert HEAD not in visitor.see("/services/risk").words
    clock.set(1_364_774_400_000_000)  # and in 2013 it has not happened yet
    assert told(plane) == []


def test_a_key_of_one_service_is_told_of_that_one(plane: Plane) -> None:
    _, secret = plane.make_key("read", services=["reply"])
    assert {service for service, _ in told(plane, key=secret)} == {"reply"}


def test_a_long_chain_does_not_hold_up_the_page(plane: Plane) -> None:
    board, now_us = plane.serving.switchboard, plane.project.clock.now_us
    for _ in range(MOST_SEEN):
        board.resume("risk", by="key:k_1")
    assert deeds_of(plane.project.state, ["risk", "reply"], now_us()) == ()


def test_times_and_services_stand_beside_each_line(plane: Plane) -> None:
    shown = Visitor(plane, plane.secret).see("/")
    section = shown.source.partition(HEAD)[2].partition("</section>")[0]
    assert len(re.findall(r"<li>", section)) == 2
    assert section.count("<time datetime=") == 2
    assert section.count('href="/services/') == 2
