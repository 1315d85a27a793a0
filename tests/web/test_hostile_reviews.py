"""Text of others in every field of a case: it is words, it is cut, and it hides nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
import pytest
from review_stage import a_chat, a_late, certify, served_reviews, store
from sqlalchemy import text
from test_hostile_pages import HOSTILE, LONG, check_is_clean
from test_review_pages import Reviewer

from control_plane import Plane
from roadworthy.store.explanations import save_explanation
from roadworthy.types import DAY_US

NOW_US = 1_795_444_320_000_000


def content(words: str) -> dict[str, object]:
    """Return what is shown beside a case, every text of it `words`."""
    return {
        "model": words,
        "features": {"view": {"values": {words[:300]: words, "list": [words]}}},
        "passages": [{"file": words, "heading": words, "text": words}, words, 7],
        "sentences": [[words, 0.2], [words], words, ["", 0.9]],
        "verdicts": [[words, "deny", words], [words], words],
    }


@pytest.fixture(scope="module", params=[HOSTILE, LONG], ids=["hostile", "a megabyte"])
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Plane, dict[str, str]]]:
    """A project where such words wait, are decided, and are why a certificate is stopped."""
    words = request.param
    with served_reviews(tmp_path_factory.mktemp("hostile"), NOW_US - 34 * DAY_US) as plane:
        certify(plane)
        known = {"reasons": (words, words), "owner": words, "content": content(words)}
        known |= {"user": words, "role": words, "input": json.dumps({"text": words}).encode()}
        waits, decided, like = (a_chat(plane, words, **known) for _ in range(3))
        broken = a_chat(plane, draft=b"{not json", digest="", input=b"\xff\x00", content={})
        odd = a_late(plane, input=json.dumps({words[:200]: words}).encode(), content=content(words))
        store(plane, waits, decided, like, broken, odd)
        save_explanation(
            plane.project.state,
            odd.request_id,
            1,
            {
                "attribution": {
                    "reference": 0.1,
                    "value": 0.2,
                    "parts": [[words, 0.1]],
                    "background_rows": 9,
                    "is_exact": False,
                }
            },
        )
        ruling = {"decision": "correct", "output": {"text": words}, "text": words}
        ruling |= {"reason_code": words, "severity": words, "label": words}
        with plane.project.state.begin() as connection:
            change = "UPDATE reviews SET state = 'decided', decision = 'correct', decided_by = :w,"
            change += " decided_at_us = :at, ruling = :ruling WHERE id IN (:one, :two)"
            values = {"w": words, "at": NOW_US, "ruling": msgspec.json.encode(ruling)}
            connection.execute(text(change), {**values, "one": decided.id, "two": like.id})
        plane.serving.switchboard.ask_people("late", by=words, reason=words)
        plane.follow()
        ids = {"waits": waits.id, "decided": decided.id, "broken": broken.id, "odd": odd.id}
        yield plane, ids


@pytest.mark.parametrize(
    ("path", "has_words"),
    [
        ("/review", True),
        ("/review?state=decided", True),
        ("/review/{waits}", True),
        ("/review/{decided}", True),
        ("/review/{broken}", True),
        ("/review/{odd}", True),
        ("/reviewers", True),
        ("/certificates", False),
        ("/certificates/late", True),
        ("/services/late", False),
        ("/", False),
    ],
)
def test_a_page_shows_such_words_and_stays_whole(
    stage: tuple[Plane, dict[str, str]], path: str, has_words: bool
) -> None:
    plane, ids = stage
    shown = Reviewer(plane, "review", "admin").see(path.format_map(ids))
    assert shown.status == 200
    check_is_clean(shown)
    assert ("<script>alert(1)" in shown.words) == has_words


def test_such_words_are_sent_back_by_a_form_and_shown_again(
    stage: tuple[Plane, dict[str, str]],
) -> None:
    plane, ids = stage
    visitor = Reviewer(plane)
    fields = {"output": HOSTILE, "text": HOSTILE, "reason_code": HOSTILE[:30], "label": HOSTILE}
    again = visitor.decide(ids["waits"], "correct", **fields)
    assert again.status == 400
    check_is_clean(again)
    again = visitor.send_again(ids["waits"], HOSTILE[:20], severity=HOSTILE[:20])
    assert again.status == 400
    check_is_clean(again)
