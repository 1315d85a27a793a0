"""Reviews and certificates in a real browser: each page, wide and narrow, and by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browser_window import (
    PHONE,
    SCREENS,
    WIDE,
    Seen,
    axe_source,
    browser_open,
    check_accessible,
    check_fits,
)
from review_stage import NOW_US, a_chat, a_late, certify, fill, served_reviews, store

from control_plane import Plane, listening
from roadworthy.store.reviews import read_review
from roadworthy.types import DAY_US, HOUR_US

pytestmark = pytest.mark.slow

PAGES = (
    "/review",
    "/review?queue=leads",
    "/review?state=decided",
    "/review?state=lost",
    "/review/{chat}",
    "/review/{late}",
    "/review/{second}",
    "/review/{bare}",
    "/review/{decided}",
    "/review/{hostile}",
    "/review/rv_gone",
    "/reviewers",
    "/certificates",
    "/certificates/late",
    "/certificates/chat",
    "/services/late/calibration",
    "/services/chat/calibration",
    "/services/late",
    "/requests/{asked}",
    "/",
)
HOSTILE = "<script>alert(1)</script>\u202eevil\u2066 \x07\x1b[31m \U0001f600\U0001f3f3 " + "w" * 300


class Stage:
    """A served project where cases wait, and where it listens."""

    def __init__(self, plane: Plane, port: int, facts: dict[str, str]) -> None:
        self.plane = plane
        self.url = f"http://127.0.0.1:{port}"
        self.facts = facts

    def path(self, page: str) -> str:
        """Return where a page is, with the ids of this stage."""
        return self.url + page.format_map(self.facts)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("reviews")
    with (
        served_reviews(folder, NOW_US - 34 * DAY_US) as plane,
        listening(plane) as port,
    ):
        certify(plane)
        ids = fill(plane)
        _, reviewer = plane.make_key("read", "review", "admin")
        decided = a_chat(plane)
        hostile = a_chat(plane, HOSTILE, reasons=(HOSTILE,), owner=HOSTILE[:100])
        store(plane, decided, hostile)
        ruling = {"decision": "correct", "output": {"text": HOSTILE}, "text": HOSTILE}
        ruling |= {"reason_code": "other", "severity": "minor", "digest": decided.digest}
        plane.ask("POST", f"/api/review/{decided.id}/decide", ruling)
        ids |= {"decided": decided.id, "hostile": hostile.id}
        ids["asked"] = plane.answer("chat", {"text": "May I?"}).request_id
        found = Stage(plane, port, ids)
        found.facts["secret"] = reviewer
        yield found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser_open() as browser:
        yield browser


@pytest.fixture(scope="session")
def axe() -> str:
    return axe_source()


@pytest.fixture(scope="module", params=SCREENS)
def screen(request: pytest.FixtureRequest, chromium: Any, stage: Stage) -> Iterator[Seen]:
    width, scheme = request.param
    seen = Seen(chromium, stage, width, color_scheme=scheme)
    seen.log_in(stage.facts["secret"])
    yield seen
    seen.context.close()


@pytest.fixture
def window(chromium: Any, stage: Stage) -> Iterator[Seen]:
    """Somebody who decides, before a wide screen."""
    seen = Seen(chromium, stage)
    seen.log_in(stage.facts["secret"])
    yield seen
    seen.context.close()


def decision(stage: Stage, id: str) -> str:
    return read_review(stage.plane.project.state, id).decision


def cases(stage: Stage, count: int) -> list[str]:
    """Let so many cases wait that are due before all others, and return their ids."""
    now_us = stage.plane.project.clock.now_us()
    found = [
        a_chat(stage.plane, due_us=now_us + HOUR_US // 2 + n, at_us=now_us) for n in range(count)
    ]
    store(stage.plane, *found)
    return [review.id for review in found]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_its_screen_and_nothing_complains(screen: Seen, path: str) -> None:
    check_fits(screen, path)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_passes_axe(screen: Seen, axe: str, path: str) -> None:
    check_accessible(screen, axe, path)


def test_three_cases_are_decided_with_the_keyboard_alone(window: Seen, stage: Stage) -> None:
    page = window.page
    page.goto(stage.path("/review/{chat}"))
    one, two, three = cases(stage, 3)
    page.goto(f"{stage.url}/review/{one}")
    page.keyboard.press("a")
    page.wait_for_url(lambda url: one not in url)
    assert decision(stage, one) == "approve"
    page.goto(f"{stage.url}/review/{two}")
    assert page.get_by_role("button", name="Send correction").is_disabled()
    page.keyboard.press("c")
    answer = page.get_by_label("Answer")
    assert answer.evaluate("field => field === document.activeElement")
    page.keyboard.press("Control+a")
    page.keyboard.insert_text("a c r h: hotels are not paid.")
    assert page.get_by_role("button", name="Approve").is_disabled()
    page.get_by_label("What is wrong").select_option("unsupported")
    answer.focus()
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    page.wait_for_url(lambda url: two not in url)
    assert decision(stage, two) == "correct"
    page.goto(f"{stage.url}/review/{three}")
    page.keyboard.press("r")
    page.locator("#wrong").wait_for()
    assert decision(stage, three) == ""
    page.locator("#c-reason:focus").wait_for()
    page.get_by_label("What is wrong").select_option("unsafe")
    page.get_by_role("heading", name="Your decision").click()
    page.keyboard.press("r")
    page.wait_for_url(lambda url: three not in url)
    assert decision(stage, three) == "reject"
    assert window.complaints == []


def test_a_list_is_walked_with_j_and_k_and_a_case_taken_with_t(window: Seen, stage: Stage) -> None:
    page = window.page
    page.goto(f"{stage.url}/review")
    second = page.locator("a.row").nth(1).get_attribute("href")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(stage.url + second)
    page.goto(f"{stage.url}/review?queue=desk")
    first = page.locator("a.row").first.get_attribute("href")
    page.keyboard.press("t")
    page.wait_for_url(stage.url + first)
    assert "It is yours until" in page.locator("form.decide").inner_text()


def test_single_keys_are_switched_off_and_on(window: Seen, stage: Stage) -> None:
    (id,) = cases(stage, 1)
    page = window.page
    page.goto(f"{stage.url}/review/{id}")
    page.get_by_role("button", name="Switch single keys off").click()
    page.keyboard.press("a")
    page.keyboard.press("h")
    assert decision(stage, id) == ""
    assert page.url.endswith(id)
    page.get_by_role("button", name="Switch single keys on").click()
    page.keyboard.press("a")
    page.wait_for_url(lambda url: id not in url)
    assert decision(stage, id) == "approve"


def test_a_double_click_decides_once_and_goes_on(window: Seen, stage: Stage) -> None:
    (id,) = cases(stage, 1)
    page = window.page
    page.goto(f"{stage.url}/review/{id}")
    page.get_by_role("button", name="Approve").dblclick(no_wait_after=True)
    page.wait_for_url(lambda url: id not in url)
    assert f"Approved case {id}" in page.locator("[role=status]").inner_text()
    assert window.complaints == []


def test_a_wrong_field_has_the_focus_and_nothing_typed_is_lost(window: Seen, stage: Stage) -> None:
    page = window.page
    page.goto(stage.path("/review/{late}"))
    page.get_by_label("Answer, JSON").fill('{"label": fal')
    page.get_by_label("Note").fill("looked at the radar")
    page.get_by_label("costs money").check()
    page.get_by_role("button", name="Send correction").click()
    wrong = page.get_by_label("Answer, JSON")
    assert wrong.evaluate("field => field === document.activeElement")
    assert wrong.input_value() == '{"label": fal'
    assert page.get_by_label("Note").input_value() == "looked at the radar"
    assert page.get_by_label("costs money").is_checked()
    assert page.get_by_role("button", name="Approve").is_disabled()
    assert page.get_by_role("button", name="Send correction").is_enabled()


def test_enter_in_a_field_decides_nothing(window: Seen, stage: Stage) -> None:
    (id,) = cases(stage, 1)
    page = window.page
    page.goto(f"{stage.url}/review/{id}")
    page.get_by_label("annoying").check()
    page.keyboard.press("Enter")
    page.get_by_text("Expected a button").wait_for()
    assert decision(stage, id) == ""


def test_without_script_an_edit_is_sent_as_a_correction_or_refused(
    chromium: Any, stage: Stage
) -> None:
    (id,) = cases(stage, 1)
    seen = Seen(chromium, stage, java_script_enabled=False)
    seen.log_in(stage.facts["secret"])
    seen.page.goto(f"{stage.url}/review/{id}")
    seen.page.get_by_label("Answer").fill("Hotels are not paid.")
    seen.page.get_by_role("button", name="Approve").click()
    assert "an edit is sent as a correction" in seen.page.locator("#wrong").inner_text()
    seen.page.get_by_label("What is wrong").select_option("unsupported")
    seen.page.get_by_role("button", name="Send correction").click()
    assert decision(stage, id) == "correct"
    seen.context.close()


def test_hostile_text_stays_text_and_an_untouched_answer_can_be_approved(
    window: Seen, stage: Stage
) -> None:
    review = a_chat(stage.plane, HOSTILE)
    store(stage.plane, review)
    page = window.page
    page.goto(f"{stage.url}/review/{review.id}")
    assert page.get_by_role("button", name="Approve").is_enabled()
    assert "<script>alert(1)" in page.locator("#c-output").input_value()
    page.keyboard.press("a")
    page.wait_for_url(lambda url: review.id not in url)
    assert decision(stage, review.id) == "approve"
    assert window.complaints == []


def test_a_session_that_is_revoked_midway_is_sent_to_the_log_in(
    chromium: Any, stage: Stage
) -> None:
    (id,) = cases(stage, 1)
    key, secret = stage.plane.make_key("read", "review")
    seen = Seen(chromium, stage)
    seen.log_in(secret)
    seen.page.goto(f"{stage.url}/review/{id}")
    stage.plane.ask("DELETE", f"/api/keys/{key.id}")
    stage.plane.follow()
    seen.page.keyboard.press("a")
    seen.page.get_by_role("heading", name="Log in to go on.").wait_for()
    assert decision(stage, id) == ""
    seen.context.close()


def test_a_lever_of_a_certificate_is_pulled_and_taken_back(window: Seen, stage: Stage) -> None:
    page = window.page
    page.goto(f"{stage.url}/certificates/late")
    form = page.locator("form", has=page.get_by_role("button", name="Stop the certificate"))
    form.get_by_label("Reason").fill("odd answers")
    form.get_by_role("button").click()
    assert window.headline.startswith("Off since")
    page.locator("form.done").get_by_role("button", name="Resume").click()
    assert window.headline == "Of the answers given alone, at most 10% are wrong."
    assert window.complaints == []


def test_pictures_are_whole_and_their_words_stay_within_the_page(
    chromium: Any, stage: Stage
) -> None:
    for width in (WIDE, PHONE):
        seen = Seen(chromium, stage, width)
        seen.log_in(stage.facts["secret"])
        seen.page.goto(f"{stage.url}/certificates/late")
        words = [one.bounding_box() for one in seen.page.locator(".curve text").all()]
        assert len(words) > 20
        assert [w for w in words if w["x"] < 0 or w["x"] + w["width"] > width] == []
        seen.context.close()


def test_what_one_touches_on_a_phone_is_large_enough(chromium: Any, stage: Stage) -> None:
    seen = Seen(chromium, stage, PHONE, has_touch=True)
    seen.log_in(stage.facts["secret"])
    late = a_late(stage.plane)
    store(stage.plane, late)
    for path in ("/review", f"/review/{late.id}", "/certificates/late"):
        seen.page.goto(stage.path(path))
        kinds = "main :is(button, select, summary, input:not([type=hidden], [type=radio]))"
        boxes = [part.bounding_box() for part in seen.page.locator(kinds).all()]
        assert [box for box in boxes if box and box["height"] < 44] == [], path
    seen.context.close()


def test_pages_read_the_same_without_script(chromium: Any, stage: Stage) -> None:
    texts = []
    for has_script in (True, False):
        seen = Seen(chromium, stage, java_script_enabled=has_script)
        seen.log_in(stage.facts["secret"])
        read = []
        for path in ("/certificates", "/certificates/chat", "/reviewers"):
            seen.page.goto(stage.path(path))
            head = seen.page.locator(".asof").inner_text()
            read.append(seen.page.locator("main").inner_text().replace(head, ""))
        texts.append(read)
        seen.context.close()
    assert texts[0] == texts[1]
