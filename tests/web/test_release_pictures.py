"""Pictures of releases by their geometry: what is drawn stands where its value says."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from roadworthy.evaluate.report import Metric, Paired
from roadworthy.web.console import evaluation_pictures, release_pictures
from roadworthy.web.evaluation_page import metric_of, paired_of
from roadworthy.web.release_figures import Band, FigureShown, LookShown, RolloutShown, Timeline
from roadworthy.web.signed import SignedPlot, signed_ticks

NOW = datetime(2026, 11, 23, 14, 32, tzinfo=UTC)
FIGURE = FigureShown(
    name="errors",
    label="errors",
    unit="share",
    units=400,
    champion=0.189,
    candidate=0.182,
    difference=-0.007,
    low=-0.03,
    high=0.02,
    harm=0.04,
    gain=0.5,
    harm_level=0.0,
    gain_level=0.7,
    needed=100,
    word="wait",
    state="collecting",
)
ROLLOUT = RolloutShown(
    id="ro_1",
    service="risk",
    champion="risk@a",
    candidate="risk@b",
    judge="canary",
    progress="running",
    word="Running",
    state="collecting",
    step=1,
    share=0.25,
    steps=(),
    started_at=NOW - timedelta(days=1),
    step_at=NOW,
    ended_at=None,
    by="cli:ada",
    why="",
    says=(),
    next="",
    verdict="wait",
    allowed=0.02,
    false_alarm=0.05,
    sure=0.9,
    figures=(FIGURE,),
    expected=None,
    looks=(),
)


def look(units: int, low: float | None = -0.03, high: float | None = 0.02) -> LookShown:
    at = NOW - timedelta(hours=10) + timedelta(minutes=units)
    return LookShown(
        at=at, units=units, difference=-0.007, low=low, high=high, harm_level=0.1, gain_level=0.7
    )


def parsed(markup: Markup) -> ElementTree.Element:
    """Read markup as XML, which refuses what is not well-formed."""
    return ElementTree.fromstring(f"<all>{markup}</all>")


def having(root: ElementTree.Element, cls: str) -> list[ElementTree.Element]:
    return [e for e in root.iter() if cls in e.get("class", "").split()]


def number(element: ElementTree.Element, name: str) -> float:
    return float(element.get(name, "nan").rstrip("%"))


def places(path: ElementTree.Element) -> list[tuple[float, float]]:
    pairs = re.findall(r"([-\d.]+) ([-\d.]+)", path.get("d", ""))
    return [(float(x), float(y)) for x, y in pairs]


def words_of(root: ElementTree.Element) -> str:
    return " ".join(root.itertext())


def canary(*looks: LookShown, **more: object) -> ElementTree.Element:
    return parsed(
        release_pictures.canary(msgspec.structs.replace(ROLLOUT, looks=looks, **more), NOW)
    )


def test_a_canary_promotes_above_where_it_rolls_back_and_its_band_holds_the_line() -> None:
    root = canary(look(100), look(200), look(400))
    (go,), (halt,), (band,) = having(root, "go"), having(root, "halt"), having(root, "band")
    assert places(go)[0][1] < places(halt)[0][1]
    (line,) = having(root, "line")
    inside = [y for _, y in places(band)]
    assert all(min(inside) <= y <= max(inside) for _, y in places(line))
    assert "promote: band below +2.0" in words_of(root)


def test_the_dashed_line_leads_as_far_as_is_needed() -> None:
    root = canary(look(100), look(400))
    (coming,) = having(root, "coming-line")
    (start, _), (end, _) = places(coming)
    assert start == pytest.approx(800)
    assert end == pytest.approx(1000)
    assert (
        having(
            canary(look(100), figures=(msgspec.structs.replace(FIGURE, needed=None),)),
            "coming-line",
        )
        == []
    )


def test_a_band_that_is_not_known_is_no_band() -> None:
    root = canary(look(100, None, None), look(400, None, None))
    assert having(root, "band") == []
    assert release_pictures.canary(ROLLOUT, NOW) == ""


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0.001, 1))
def test_what_lies_beyond_a_signed_ground_is_drawn_at_its_edge(
    low: float, high: float, most: float
) -> None:
    plot = SignedPlot([0.0, 1.0], [low, high], most, str)
    top, bottom = plot.y(plot.ticks[-1]), plot.y(plot.ticks[0])
    assert all(top <= plot.y(y) <= bottom for y in (low, high, 0.0))
    assert plot.ticks == tuple(sorted(plot.ticks))
    assert 0.0 in signed_ticks(low, high)


def test_evidence_grows_towards_enough() -> None:
    root = parsed(
        release_pictures.evidence(msgspec.structs.replace(ROLLOUT, looks=(look(0), look(60))))
    )
    assert "enough" in words_of(root)
    assert len(having(root, "line")) == len(having(root, "line2")) == 1
    assert release_pictures.evidence(ROLLOUT) == ""


def test_bands_lie_where_a_release_served() -> None:
    page = Timeline(
        says="",
        as_of=NOW,
        service="risk",
        champion="risk@a",
        candidate="",
        last_good="risk@b",
        frozen=None,
        says_frozen="",
        rollout=None,
        bands=(
            Band(release="risk@a", since=NOW - timedelta(hours=5), until=None),
            Band(
                release="risk@b",
                since=NOW - timedelta(hours=10),
                until=NOW - timedelta(hours=5),
            ),
        ),
        moves=(),
        releases=(),
        before="",
    )
    root = parsed(release_pictures.bands(page))
    (now,), (then,) = having(root, "serving"), having(root, "served")
    assert (number(now, "x"), number(now, "width")) == (50.0, 50.0)
    assert (number(then, "x"), number(then, "width")) == (0.0, 50.0)


def paired(difference: float, unit: str = "share") -> ElementTree.Element:
    one = Paired(
        name="x",
        unit=unit,  # type: ignore[arg-type]
        n=10,
        difference=difference,
        low=difference - 0.01,
        high=difference + 0.01,
        margin=0.02,
    )
    return parsed(evaluation_pictures.paired(paired_of([one])[0]))


def test_better_lies_to_the_right_whether_more_or_less_is_better() -> None:
    for root, is_right in (
        (paired(0.02), True),
        (paired(-0.02), False),
        (paired(0.02, "ms"), False),
        (paired(-0.02, "usd"), True),
    ):
        (point,), (wrong,) = having(root, "point"), having(root, "wrong")
        assert (number(point, "cx") > 50) is is_right
        assert number(wrong, "x") == 0
        assert 0 < number(wrong, "width") < 50


@given(st.floats(-2, 2, allow_nan=False), st.booleans())
def test_a_metric_stands_on_its_scale(value: float, is_least: bool) -> None:
    shown = metric_of(Metric(name="x", value=value, bar=0.9, is_least=is_least, n=5))
    (point,) = having(parsed(evaluation_pictures.metric(shown)), "point")
    assert 0 <= number(point, "cx") <= 100
    assert evaluation_pictures.metric(metric_of(Metric(name="x", value=value))) == ""
