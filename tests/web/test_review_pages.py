"""What waits for people, and a case as whoever decides it sees it: in pages and their twins."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from review_stage import ANSWER, QUESTION, a_chat, a_late, fill, plain, served_reviews, store
from visitor import Shown, Visitor

from control_plane import Plane
from roadworthy.store.actions import list_actions
from roadworthy.store.records import outcomes_of
from roadworthy.store.review_lists import take_review
from roadworthy.store.reviews import Waiting, read_corrections, read_review
from roadworthy.types import HOUR_US, MICRO, SettableClock
from roadworthy.web.review_page import row_of


class Reviewer(Visitor):
    """Somebody who decides."""

    def __init__(self, plane: Plane, *scopes: str, **more: Any) -> None:
        self.key, secret = plane.make_key("read", *(scopes or ("review",)), **more)
        super().__init__(plane, secret)

    @property
    def by(self) -> str:
        return f"key:{self.key.id}"

    def once_for(self, target: str) -> dict[str, str]:
        found = re.search(r'name="once" value="([^"]+)"', self.page)
        return {"once": found[1]} if found else {}

    def decide(self, id: str, do: str, **fields: str) -> Shown:
        """Open a case, fill in its form and send it."""
        self.see(f"/review/{id}")
        return self.send_again(id, do, **fields)

    def send_again(self, id: str, do: str, **fields: str) -> Shown:
        """Send the form of the page that was seen last, as a browser without script does."""
        digest = re.search(r'name="digest" value="([^"]*)"', self.page)
        output = re.search(
            r"<textarea[^>]*name=\"output\"[^>]*>\n(.*?)</textarea>", self.page, re.S
        )
        known = {"severity": "none", "reason_code": "", "text": "", "label": ""}
        known |= {"digest": digest[1]} if digest else {}
        known |= {"output": unescape(output[1]).replace("\n", "\r\n")} if output else {}
        return self.send(f"/review/{id}", (), do=do, **{**known, **fields})


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Plane]:
    """A project with two services that ask people."""
    with served_reviews(tmp_path) as plane:
        yield plane


def stands(plane: Plane, id: str) -> Waiting:
    return read_review(plane.project.state, id)


def test_what_is_due_first_stands_on_top_and_the_headline_says_until_when(desk: Plane) -> None:
    ids = fill(desk)
    visitor = Reviewer(desk)
    shown = visitor.see("/review")
    assert shown.headline == "7 cases wait. The first is due at 14:35, in 3 min."
    rows = re.findall(r'<a class="row" href="/review/([^"]+)"', shown.source)
    order = ("soon", "chat", "late", "audit", "second", "planted", "bare")
    assert rows == [ids[kind] for kind in order]
    assert "When a case expires, the ladder answers in its place." in shown.words
    assert "Review 7 waiting" in shown.words
    assert visitor.see("/review?queue=leads").headline.startswith(
        "3 cases wait in leads. The first"
    )
    assert visitor.see("/review?service=late&state=decided").headline == "No case was decided."
    assert visitor.see("/review?state=lost").status == 400
    assert "Expected" in visitor.see("/review?state=lost").words


def test_a_case_past_its_time_is_late_until_it_expires(desk: Plane) -> None:
    review = a_late(desk)
    store(desk, review)
    waits = stands(desk, review.id)
    assert not row_of(waits, "key:k_1", review.due_us).is_late
    assert row_of(waits, "key:k_1", review.due_us + 1).is_late


def test_a_queue_and_a_case_say_what_their_twins_say(desk: Plane) -> None:
    ids = fill(desk)
    visitor = Reviewer(desk)
    shown, twin = visitor.see("/review"), desk.get("/api/review/page")
    assert unescape(shown.headline) == twin["says"]
    for row in twin["rows"]:
        assert row["says"] in shown.words
        assert row["why"] in shown.words.replace(" .", ".")
    for line in twin["queues"]:
        assert f"{line['queue']} {line['service']} {line['owner']} {line['waiting']}" in shown.words
    case, page = desk.get(f"/api/review/{ids['chat']}/page"), visitor.see(f"/review/{ids['chat']}")
    assert unescape(page.headline) == case["says"]
    for words in (*case["reasons"], *case["ends"], case["digest"][:12], "0.58", QUESTION):
        assert words in page.words
    assert "".join(part["text"] for part in case["parts"]) == ANSWER
    assert [part["support"] for part in case["parts"] if part["number"]] == [
        "supported",
        "unsupported",
    ]


def test_pages_are_read_forty_at_a_time_to_the_end(desk: Plane) -> None:
    now_us = desk.project.clock.now_us()
    store(desk, *(a_late(desk, due_us=now_us + HOUR_US + n // 3 * MICRO) for n in range(95)))
    visitor, seen, target = Reviewer(desk), [], "/review"
    while target:
        shown = visitor.see(target)
        seen += re.findall(r'<a class="row" href="/review/([^"]+)"', shown.source)
        following = re.search(r'rel="next" href="([^"]+)"', shown.source)
        target = unescape(following[1]) if following else ""
    assert len(seen) == len(set(seen)) == 95
    assert visitor.see("/review?before=nonsense").status == 400


def test_without_a_queue_a_page_teaches_and_no_word_leads_there(plane: Plane) -> None:
    visitor = Reviewer(plane)
    shown = visitor.see("/review")
    assert shown.headline == "No service asks people yet."
    assert "[queues.desk]" in shown.source
    assert "/review" not in [link for link in visitor.see("/").links if link == "/review"]


def test_an_empty_queue_says_when_a_case_appears(desk: Plane) -> None:
    shown = Reviewer(desk).see("/review")
    assert shown.headline == "Nothing waits for a person."
    assert "A case appears here when" in shown.words
    assert "/review" in shown.links
    assert "waiting" not in shown.source.partition("</nav>")[0]


def test_a_person_approves_exactly_what_was_shown_and_gets_the_next_case(desk: Plane) -> None:
    ids = fill(desk)
    visitor = Reviewer(desk)
    done = visitor.decide(ids["chat"], "approve")
    assert (done.status, done.headers["location"]) == (303, f"/review/{ids['second']}")
    after = stands(desk, ids["chat"])
    assert (after.state, after.decision, after.decided_by) == ("decided", "approve", visitor.by)
    assert after.ruling["digest"] == after.review.digest
    (known,) = outcomes_of(desk.project.state, after.review.request_id)
    assert (known.kind, known.value, known.by) == ("correct", True, visitor.by)
    following = visitor.see(done.headers["location"])
    assert f"Approved case {ids['chat']} at 14:32 by test. This is the next one." in following.words
    assert "It is yours until" in following.words
    actions = [action.action for action in list_actions(desk.project.state, subject=ids["chat"])]
    assert actions == ["review.decide"]


def test_what_was_edited_is_no_approval_also_without_script(desk: Plane) -> None:
    ids = fill(desk)
    visitor = Reviewer(desk)
    refused = visitor.decide(ids["chat"], "approve", output="Hotels are not paid.")
    assert refused.status == 400
    assert "an edit is sent as a correction" in refused.words
    assert "Hotels are not paid." in refused.source
    assert refused.having("textarea", name="output")[0]["aria-invalid"] == "true"
    assert stands(desk, ids["chat"]).state == "open"
    missing = visitor.send_again(ids["chat"], "correct")
    assert missing.status == 400
    assert "reason_code" not in missing.words
    assert missing.having("select", name="reason_code")[0]["aria-invalid"] == "true"
    done = visitor.send_again(ids["chat"], "correct", reason_code="unsupported", severity="major")
    assert done.status == 303
    after = stands(desk, ids["chat"])
    assert after.ruling["output"] == {"text": "Hotels are not paid."}
    assert after.ruling["severity"] == "major"
    (row,) = read_corrections(desk.project.state, "chat")
    assert json.loads(row.output) == {"text": "Hotels are not paid."}


def test_an_answer_that_is_json_is_corrected_as_json_or_by_its_label(desk: Plane) -> None:
    ids = fill(desk)
    visitor = Reviewer(desk)
    broken = visitor.decide(ids["late"], "correct", output='{"label": fal', reason_code="other")
    assert broken.status == 400
    assert "expected" not in broken.headline
    assert "JSON, which this is not" in broken.words
    said = visitor.decide(ids["late"], "correct", label="false", reason_code="wrong_label")
    assert said.status == 303
    assert stands(desk, ids["late"]).ruling["label"] is False
    whole = '{"label": false, "probability": 0.1}'
    visitor.decide(ids["soon"], "correct", output=whole, reason_code="wrong_label")
    assert stands(desk, ids["soon"]).ruling["output"] == json.loads(whole)
    nothing = visitor.decide(ids["bare"], "correct", reason_code="other")
    assert nothing.status == 400
    assert "No model gave one." in nothing.words
    assert not nothing.having("button", value="approve")


def test_a_rejection_needs_a_reason_so_that_no_single_key_does_it(desk: Plane) -> None:
    ids = fill(desk)
    visitor = Reviewer(desk)
    refused = visitor.decide(ids["chat"], "reject")
    assert refused.status == 400
    assert refused.having("select", name="reason_code")[0]["aria-invalid"] == "true"
    assert stands(desk, ids["chat"]).state == "open"
    assert visitor.send_again(ids["chat"], "reject", reason_code="unsafe").status == 303
    assert stands(desk, ids["chat"]).decision == "reject"


def test_a_case_is_handed_over_and_does_not_come_back(desk: Plane) -> None:
    ids = fill(desk)
    visitor = Reviewer(desk)
    done = visitor.decide(ids["chat"], "hand_over", to="queue:desk", text="not mine")
    assert done.headers["location"] == "/review"
    after = stands(desk, ids["chat"])
    assert (after.state, after.review.queue, after.owner) == ("open", "desk", "Ada")
    assert f"Handed over case {ids['chat']}" in visitor.see("/review").words
    assert visitor.decide(ids["chat"], "hand_over", to="queue:nowhere").status == 400


def test_a_form_sent_twice_decides_once(desk: Plane) -> None:
    ids = fill(desk)
    visitor = Reviewer(desk)
    visitor.see(f"/review/{ids['chat']}")
    page = visitor.page
    first = visitor.send_again(ids["chat"], "approve")
    visitor.page = page
    again = visitor.send_again(ids["chat"], "approve")
    assert (first.status, again.status) == (303, 303)
    assert again.headers["location"] == f"/review/{ids['chat']}"
    assert "had been sent before" in visitor.see(again.headers["location"]).words
    assert len(outcomes_of(desk.project.state, stands(desk, ids["chat"]).review.request_id)) == 1


def test_of_two_people_at_once_one_decides_and_the_other_is_told_who(desk: Plane) -> None:
    ids = fill(desk)
    people = [Reviewer(desk), Reviewer(desk)]
    for one in people:
        one.see(f"/review/{ids['chat']}")
    said: list[Shown] = []

    def decide(who: Reviewer, do: str) -> None:
        said.append(who.send_again(ids["chat"], do, reason_code="unsafe" if do == "reject" else ""))

    threads = [
        threading.Thread(target=decide, args=pair)
        for pair in zip(people, ("approve", "reject"), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {shown.status for shown in said} == {303}
    told = [one.see(f"/review/{ids['chat']}").words for one in people]
    assert sum("Not done:" in words for words in told) == 1
    assert len(outcomes_of(desk.project.state, stands(desk, ids["chat"]).review.request_id)) == 1


def test_a_case_in_somebodys_hands_says_whose_and_offers_no_form(desk: Plane) -> None:
    ids = fill(desk)
    take_review(desk.project.state, desk.project.clock, ids["chat"], by="key:k_other")
    visitor = Reviewer(desk)
    visitor.see(f"/review/{ids['late']}")
    shown = visitor.see(f"/review/{ids['chat']}")
    assert "key:k_other is at work on it until 14:42." in shown.words
    assert not shown.having("button", name="do")
    taken = visitor.see("/review").words
    assert "key:k_other" in taken


def test_the_first_free_case_is_taken_by_one_click(desk: Plane) -> None:
    ids = fill(desk)
    take_review(desk.project.state, desk.project.clock, ids["soon"], by="key:k_other")
    visitor = Reviewer(desk)
    visitor.see("/review")
    assert visitor.send("/review").headers["location"] == f"/review/{ids['chat']}"
    assert stands(desk, ids["chat"]).taken_by == visitor.by
    visitor.see("/review?queue=desk")
    assert visitor.send("/review", queue="desk").headers["location"] == f"/review/{ids['late']}"
    visitor.see("/review")
    assert visitor.send("/review", queue="nowhere").headers["location"] == "/review"
    assert "in somebody's hands" in visitor.see("/review").words


def test_a_blind_case_hides_doubt_and_earlier_decisions_until_it_is_decided(desk: Plane) -> None:
    first = a_chat(desk)
    second = a_chat(desk, kind="second", request_id=first.request_id)
    like = a_chat(desk)
    store(desk, first, like)
    plain(desk, second)
    one, other = Reviewer(desk), Reviewer(desk)
    one.decide(like.id, "reject", reason_code="unsafe")
    one.decide(first.id, "reject", reason_code="unsafe")
    shown = other.see(f"/review/{second.id}")
    twin = desk.get(f"/api/review/{second.id}/page")
    assert "Judge the answer by itself" in shown.words
    for hidden in ("0.58", "0.300", "rejected", "unsupported", "Why a person is asked"):
        assert hidden not in shown.words.replace("nothing that was found supports it", "")
    hides = ("reasons", "verdicts", "parts", "similar")
    assert [twin[name] for name in hides] == [[]] * 4
    assert (twin["confidence"], twin["score"], twin["request_id"]) == (None, None, "")
    assert "somebody else's" in one.see(f"/review/{second.id}").words
    other.decide(second.id, "approve")
    after = other.see(f"/review/{second.id}").words
    assert "0.58" in after
    assert "rejected by" in after


def test_a_planted_case_looks_like_any_other(desk: Plane) -> None:
    ids = fill(desk)
    visitor = Reviewer(desk)
    planted, other = (visitor.see(f"/review/{ids[kind]}") for kind in ("planted", "chat"))

    def plainly(shown: Shown) -> str:
        return re.sub(r"rv_\w+|\d\d:\d\d(:\d\d)?|in \d+ \w+|[0-9a-f]{12}", "", shown.words)

    assert plainly(planted) == plainly(other)
    for target in ("/review", f"/review/{ids['planted']}"):
        assert "planted" not in visitor.see(target).source
    for target in ("/api/review/page", f"/api/review/{ids['planted']}/page"):
        assert "planted" not in json.dumps(desk.get(target))


def test_an_expired_case_counts_as_evidence_and_says_so(desk: Plane) -> None:
    late = a_late(desk, due_us=desk.project.clock.now_us() - HOUR_US)
    store(desk, late)
    desk.serving.jobs.run_now("reviews")
    assert stands(desk, late.id).state == "expired"
    visitor = Reviewer(desk)
    shown = visitor.see(f"/review/{late.id}")
    assert shown.headline == "Nobody decided this in time; it expired at 13:32."
    assert "still counts as evidence" in shown.words
    assert visitor.send_again(late.id, "approve").status == 303
    assert stands(desk, late.id).decision == "approve"


def test_a_decided_case_shows_what_was_decided_and_similar_ones_find_it(desk: Plane) -> None:
    first, again = a_chat(desk), a_chat(desk)
    store(desk, first, again)
    visitor = Reviewer(desk)
    visitor.decide(
        first.id, "correct", output="No.", reason_code="unsupported", severity="minor", text="<b>"
    )
    shown = visitor.see(f"/review/{first.id}")
    assert shown.headline == "This answer was corrected."
    assert "nothing that was found supports it; annoying" in shown.words
    assert "&lt;b&gt;" in shown.source
    assert not shown.having("button", name="do")
    like = visitor.see(f"/review/{again.id}").words
    assert "the very same input" in like
    assert "corrected by key:" in like
    request = Visitor(desk, desk.secret).see(f"/requests/{first.request_id}")
    assert request.status == 404, "nobody asked that"


@pytest.mark.parametrize("fields", [{"digest": "0" * 64}, {"digest": ""}])
def test_an_approval_of_something_else_is_refused(desk: Plane, fields: dict[str, str]) -> None:
    ids = fill(desk)
    visitor = Reviewer(desk)
    done = visitor.decide(ids["chat"], "approve", **fields)
    assert done.status in (303, 400)
    assert stands(desk, ids["chat"]).state == "open"


def test_deciding_needs_the_scope_the_service_and_the_form_of_the_session(desk: Plane) -> None:
    ids = fill(desk)
    looker = Reviewer(desk, "answer")
    assert looker.see("/review").status == 403
    assert "Review" not in looker.see("/").source.partition("</nav>")[0]
    other = Reviewer(desk, "review", services=["late"])
    assert other.see(f"/review/{ids['chat']}").status == 403
    assert other.see("/review").headline == "4 cases wait. The first is due at 14:35, in 3 min."
    assert "chat" not in other.see("/review").words
    visitor = Reviewer(desk)
    visitor.see(f"/review/{ids['chat']}")
    forged = visitor.post(f"/review/{ids['chat']}", do="approve", csrf="x")
    assert forged.status == 403
    assert stands(desk, ids["chat"]).state == "open"


def test_a_session_that_is_revoked_midway_decides_nothing_more(desk: Plane) -> None:
    ids = fill(desk)
    visitor = Reviewer(desk)
    visitor.see(f"/review/{ids['chat']}")
    assert desk.ask("DELETE", f"/api/keys/{visitor.key.id}").status == 200
    desk.follow()
    refused = visitor.send_again(ids["chat"], "approve")
    assert refused.status == 401
    assert QUESTION not in refused.words
    assert stands(desk, ids["chat"]).state == "open"


def test_while_the_database_is_written_pages_load_and_an_act_says_what_to_do(desk: Plane) -> None:
    ids = fill(desk)
    visitor = Reviewer(desk)
    visitor.see(f"/review/{ids['chat']}")
    page = visitor.page
    file = desk.project.folder / ".roadworthy" / "state.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        for target in ("/review", f"/review/{ids['chat']}", "/certificates", "/reviewers"):
            started = time.monotonic()
            assert visitor.see(target).status == 200, target
            assert time.monotonic() - started < 2, target
        lock.execute("ROLLBACK")
    visitor.page = page
    assert visitor.send_again(ids["chat"], "approve").status == 303


def test_too_long_an_answer_is_not_approved_on_a_page_that_cannot_show_it(desk: Plane) -> None:
    long = a_chat(desk, "word " * 20_000)
    store(desk, long)
    shown = Reviewer(desk).see(f"/review/{long.id}")
    assert "too long to be read whole here" in shown.words
    assert [button.get("value") for button in shown.having("button", name="do")] == [
        "nothing",
        "hand_over",
        "reject",
    ]
    assert len(shown.source) < 60_000


def test_a_chat_is_answered_with_the_text_that_a_person_wrote(desk: Plane) -> None:
    message = {"role": "assistant", "content": ANSWER}
    chat = a_chat(desk)
    asked = a_chat(
        desk,
        input=json.dumps({"messages": [{"role": "user", "content": QUESTION}]}).encode(),
        draft=json.dumps(message).encode(),
        digest=hashlib.sha256(json.dumps(message).encode()).hexdigest(),
    )
    store(desk, asked, chat)
    visitor = Reviewer(desk)
    assert QUESTION in visitor.see(f"/review/{asked.id}").words
    assert visitor.decide(asked.id, "correct", output="No.", reason_code="other").status == 303
    assert stands(desk, asked.id).ruling["output"] == {"text": "No."}


def test_features_and_what_each_added_are_shown(desk: Plane) -> None:
    ids = fill(desk)
    shown = Reviewer(desk).see(f"/review/{ids['late']}")
    assert "The prediction is 0.8." in shown.words
    assert "+0.4" in shown.words
    assert "wind 31.5" in shown.words
    bare = Reviewer(desk).see(f"/review/{ids['soon']}").words
    assert "Features" in bare
    assert "31.5" in bare


def test_reviewers_are_named_not_ranked_and_see_only_themselves(desk: Plane) -> None:
    assert isinstance(desk.project.clock, SettableClock)
    one, other = Reviewer(desk), Reviewer(desk)
    cases = [a_chat(desk) for _ in range(4)]
    store(desk, *cases)
    for case in cases:
        one.decide(case.id, "approve")
    seconds = [a_chat(desk, kind="second", request_id=case.request_id) for case in cases]
    plain(desk, *seconds)
    for case in seconds[:3]:
        other.decide(case.id, "approve")
    other.decide(seconds[3].id, "reject", reason_code="unsafe")
    mine = one.see("/reviewers")
    assert mine.headline == "One reviewer decided 4 cases in 14 days."
    assert other.by not in mine.words.partition("Agreement")[0]
    whole = Reviewer(desk, "review", "admin").see("/reviewers")
    assert whole.headline == "Two reviewers decided 8 cases in 14 days."
    assert "3 of 4" in whole.words
    twin = desk.get("/api/reviewers/page")
    names = [person["by"] for person in twin["people"]]
    assert names == sorted(names)
    assert (twin["pairs"][0]["both"], twin["pairs"][0]["agreed"]) == (4, 3)


def test_a_request_shows_what_was_decided_of_it(desk: Plane) -> None:
    reply = desk.answer("late", {"p": 0.9})
    visitor = Reviewer(desk)
    asked = visitor.see(f"/requests/{reply.request_id}")
    assert asked.headline == "late asked a person: nothing is certified yet."
    assert "a person is asked: nothing is certified yet" in asked.words
    assert f"/review/{reply.review_id}" in asked.links
    assert "not decided yet, due" in asked.words
    visitor.decide(reply.review_id, "correct", label="false", reason_code="wrong_label")
    after = visitor.see(f"/requests/{reply.request_id}").words
    assert "corrected by key:" in after
    assert "another label is right" in after
    desk.follow()
    again = desk.answer("late", {"p": 0.9})
    told = visitor.see(f"/requests/{again.request_id}")
    assert "gave in" in told.headline
    assert "what a person had said" in told.headline
    assert visitor.see("/requests?disposition=review").headline == "1 request matches."
