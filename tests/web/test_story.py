"""The story of a request: what became of it, why, and its walk on one clock."""

from __future__ import annotations

import doctest
from typing import Any

import pytest

from control_plane import Plane
from roadworthy.store.records import find_records, read_record
from roadworthy.types import Attempt, PassageFound, Record, Verdict
from roadworthy.web import bodies, lists, story
from roadworthy.web.judged import answer_of_each
from roadworthy.web.story import TITLES, Step, sentence, story_of

TIMINGS = {
    "identify": 60,
    "contract": 200,
    "guard_input": 1400,
    "reserve": 100,
    "call": 1_000_000,
    "schema": 200,
    "guard_output": 1800,
    "settle": 40,
}


def record(**given: Any) -> Record:
    usual: dict[str, Any] = {
        "id": "rq_1",
        "at_us": 0,
        "service": "reply",
        "kind": "generate",
        "disposition": "answered",
        "release": "reply@9d41c3aaaaaa",
        "key": "key_1",
        "model": "frontier",
        "attempts": (Attempt("frontier", "ok", 999_000),),
        "timings": TIMINGS,
        "latency_us": 1_004_000,
    }
    return Record(**{**usual, **given})


def steps_of(record: Record, **more: Any) -> dict[str, Step]:
    return {step.step: step for step in story_of(record, **more).steps}


def test_the_examples_of_the_docstrings_hold() -> None:
    for module in (story, lists, bodies):
        assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "reply answered in 1,004 ms with frontier."),
        (
            {"attempts": (Attempt("small", "rejected", 1), Attempt("frontier", "ok", 2))},
            "reply answered in 1,004 ms with frontier, after 1 other try.",
        ),
        (
            {"disposition": "cached", "cache": {"kind": "exact", "age_s": 0}},
            "reply gave again in 1,004 ms what it had answered just before to the same question.",
        ),
        (
            {"disposition": "cached", "cache": {"kind": "semantic", "age_s": 180}},
            "reply gave again in 1,004 ms what it had answered 3 min before to a question that "
            "means the same.",
        ),
        (
            {
                "disposition": "fallback",
                "model": "static:1",
                "reasons": ("all_models_failed: no model gave an answer: `frontier`: late",),
            },
            "reply fell back to static:1: no model gave an answer.",
        ),
        (
            {"disposition": "refused", "error_code": "contract_violation"},
            "reply refused this request: the input does not keep its contract.",
        ),
        (
            {
                "disposition": "refused",
                "error_code": "guard_denied",
                "verdicts": (Verdict("secrets", "input", "deny"),),
            },
            "reply refused this request: guard `secrets` denied it.",
        ),
        ({"disposition": "failed", "error_code": "cancelled"}, "reply failed: the client left."),
        ({"disposition": "failed", "error_code": "new_code"}, "reply failed: new_code."),
        ({"disposition": "failed"}, "reply failed: the reason was not recorded."),
    ],
)
def test_a_sentence_says_what_became_of_it_and_why(given: dict[str, Any], said: str) -> None:
    assert sentence(record(**given)) == said


def test_the_walk_has_all_fifteen_steps_in_the_order_of_the_engine() -> None:
    walked = story_of(record()).steps
    assert [step.step for step in walked] == list(TITLES)
    assert len(walked) == 15


def test_steps_lie_one_after_the_other_on_one_clock() -> None:
    at = 0.0
    for step in story_of(record()).steps:
        assert step.start_ms == pytest.approx(at)
        at += step.ms or 0
    assert at == pytest.approx(sum(TIMINGS.values()) / 1000)


def test_a_step_that_did_nothing_is_skipped() -> None:
    walked = steps_of(record(timings={"identify": 1, "contract": 1, "call": 9}))
    skipped = {name for name, step in walked.items() if step.progress == "skipped"}
    assert {"features", "guard_input", "cache", "reserve", "confidence"} <= skipped
    assert walked["features"].what == "none declared"


def test_what_comes_after_the_end_was_not_reached() -> None:
    refused = record(
        disposition="refused",
        error_code="contract_violation",
        reasons=("contract_violation: wind: expected a number, got null",),
        attempts=(),
        model="",
        timings={"identify": 5},
    )
    walked = steps_of(refused)
    assert walked["contract"].progress == "ended"
    assert "expected a number" in walked["contract"].what
    assert walked["identify"].progress == "done"
    assert {walked[name].progress for name in ("call", "schema", "decide")} == {"unreached"}
    assert walked["record"].progress == "done"


@pytest.mark.parametrize(
    ("code", "given", "step"),
    [
        ("service_stopped", {"attempts": ()}, "release"),
        ("budget_exhausted", {"attempts": ()}, "reserve"),
        ("guard_denied", {"attempts": ()}, "guard_input"),
        ("guard_denied", {"verdicts": (Verdict("pii", "output", "deny"),)}, "guard_output"),
        ("guard_denied", {}, "schema"),
        ("all_models_failed", {}, "call"),
        ("no_passages", {"attempts": (), "timings": {"context": 4}}, "context"),
        ("model_unavailable", {"attempts": (), "timings": {"context": 4}}, "context"),
        ("contract_violation", {"attempts": (), "timings": {"context": 4}}, "context"),
        ("budget_exhausted", {"attempts": (), "timings": {"context": 4}}, "reserve"),
    ],
)
def test_a_request_ends_in_the_step_that_ended_it(
    code: str, given: dict[str, Any], step: str
) -> None:
    walked = steps_of(record(disposition="refused", error_code=code, **given))
    assert [name for name, one in walked.items() if one.progress == "ended"] == [step]


@pytest.mark.parametrize(
    ("passages", "what"),
    [
        (None, ""),
        ((), "no passage is near enough"),
        (
            (PassageFound("pets.md", "Pets > Fees", 0.712), PassageFound("bags.md", "", 0.5)),
            "2 passages found: pets.md: Pets > Fees (0.71); bags.md (0.50)",
        ),
    ],
)
def test_the_context_names_the_passages_that_were_found(
    passages: tuple[PassageFound, ...] | None, what: str
) -> None:
    walked = steps_of(record(passages=passages, timings={"identify": 1, "context": 900, "call": 9}))
    assert walked["context"].what == what
    assert walked["context"].progress == "done"


def test_a_question_without_a_passage_falls_back_because_none_is_near() -> None:
    fell = record(
        disposition="fallback",
        model="static:1",
        attempts=(Attempt("static:1", "ok", 1),),
        reasons=("no_passages: no passage is near enough to the question",),
        passages=(),
        timings={"identify": 1, "context": 900, "decide": 9},
    )
    assert sentence(fell) == (
        "reply fell back to static:1: no passage is near enough to the question."
    )
    walked = steps_of(fell)
    assert walked["call"].progress == "skipped"
    assert walked["decide"].tries[0].model == "static:1"


def test_tries_follow_each_other_from_the_start_of_the_call() -> None:
    tried = (Attempt("small", "model_timeout", 414_000), Attempt("frontier", "ok", 500_000))
    call = steps_of(record(attempts=tried))["call"]
    assert [one.model for one in call.tries] == ["small", "frontier"]
    assert call.tries[0].start_ms == call.start_ms
    assert call.tries[1].start_ms == pytest.approx(call.start_ms + 414)
    assert call.tries[0].what == "the model took too long"


def test_what_the_ladder_tried_stands_below_the_decision() -> None:
    fell = record(
        disposition="fallback",
        model="static:1",
        attempts=(Attempt("frontier", "model_timeout", 800), Attempt("static:1", "ok", 0)),
        timings={"identify": 10, "contract": 10, "call": 810, "decide": 20},
    )
    walked = steps_of(fell)
    assert [one.model for one in walked["call"].tries] == ["frontier"]
    assert [one.model for one in walked["decide"].tries] == ["static:1"]
    assert walked["call"].what == "1 try"


def test_a_model_that_only_the_ladder_asks_stands_there_even_if_it_failed_too() -> None:
    fell = record(
        disposition="failed",
        error_code="all_models_failed",
        attempts=(Attempt("a", "model_timeout", 5), Attempt("spare", "model_timeout", 5)),
        timings={"identify": 10, "contract": 10, "call": 100, "decide": 20},
    )
    assert [one.model for one in steps_of(fell, rungs={"spare"})["decide"].tries] == ["spare"]


def test_a_step_that_only_some_services_have_stands_where_it_ran() -> None:
    walked = story_of(record(timings={"identify": 1, "contract": 1, "context": 7, "call": 9}))
    names = [step.step for step in walked.steps]
    assert names[names.index("context") - 1] == "contract"
    context = next(step for step in walked.steps if step.step == "context")
    assert context.title == "Find passages"


@pytest.mark.parametrize(
    ("latency_us", "scale_ms"), [(257_000, 300), (1_004_000, 1200), (1200, 1.2), (98_700, 100)]
)
def test_the_clock_ends_where_the_request_does_rounded_up(latency_us: int, scale_ms: float) -> None:
    quick = record(timings={"identify": 100, "call": 1000}, latency_us=latency_us)
    assert story_of(quick, objective_ms=2500, deadline_ms=8000).scale_ms == scale_ms
    assert story_of(quick, objective_ms=5, deadline_ms=1000).scale_ms == scale_ms


DENIED = (
    Verdict("grounded", "output", "deny", "no support", 70_000),
    Verdict("grounded", "output", "allow", "", 200),
)


def denied_and_extracted(**more: Any) -> Record:
    """Return a request whose model answered, was denied, and was replaced by the ladder."""
    given: dict[str, Any] = {
        "disposition": "fallback",
        "model": "extractive",
        "attempts": (
            Attempt("small", "model_unavailable", 40),
            Attempt("hosted", "no_key", 0),
            Attempt("practice", "rejected", 237_000, None, 0, "", "guard `grounded`: no support"),
            Attempt("extractive", "ok", 300),
        ),
        "verdicts": DENIED,
        "reasons": ("all_models_failed: no model gave an answer: `practice`: guard `grounded`",),
        "timings": {"identify": 30, "contract": 40, "call": 237_100, "decide": 310},
        "latency_us": 238_000,
    }
    return record(**{**given, **more})


def test_an_answer_that_a_guard_denied_was_an_answer() -> None:
    assert sentence(denied_and_extracted()) == (
        "reply fell back to extractive: guard `grounded` denied the answer of practice."
    )
    broken = Attempt("practice", "rejected", 9, None, 0, "", "schema: text: expected a string")
    assert sentence(
        denied_and_extracted(attempts=(broken, Attempt("static:1", "ok", 1)), verdicts=())
    ) == ("reply fell back to extractive: the answer of practice may not be shown.")


def test_a_verdict_names_whose_answer_it_is_about() -> None:
    asked = Verdict("short", "input", "allow")
    fell = denied_and_extracted(verdicts=(asked, *DENIED))
    assert answer_of_each(fell) == ("", "practice", "extractive")
    assert steps_of(fell)["guard_output"].what == (
        "answer of practice: grounded deny; answer of extractive: grounded allow"
    )


@pytest.mark.parametrize(
    "verdicts",
    [DENIED[:1], (*DENIED, DENIED[0]), DENIED[::-1]],
)
def test_whose_answer_it_is_about_is_not_guessed(verdicts: tuple[Verdict, ...]) -> None:
    fell = denied_and_extracted(verdicts=verdicts)
    assert set(answer_of_each(fell)) == {""}
    assert "answer of" not in steps_of(fell)["guard_output"].what


def test_a_rung_that_the_declaration_says_itself_may_have_gone_unjudged() -> None:
    said = denied_and_extracted(
        attempts=(
            Attempt("practice", "rejected", 100_000, None, 0, "", "guard `grounded`: no support"),
            Attempt("static:1", "ok", 1),
        ),
        verdicts=DENIED[:1],
    )
    assert answer_of_each(said) == ("practice",)


def test_what_the_declaration_says_itself_is_no_model_that_was_asked() -> None:
    fell = record(
        disposition="fallback",
        model="static:1",
        attempts=(Attempt("hosted", "no_key", 0), Attempt("static:1", "ok", 5)),
        timings={"identify": 1, "context": 900, "decide": 9},
    )
    assert story_of(fell).call_share is None
    assert story_of(denied_and_extracted()).call_share == pytest.approx(167_140 / 238_000)


def test_a_try_is_never_longer_than_its_step() -> None:
    judged = record(
        attempts=(Attempt("practice", "ok", 32_125),),
        verdicts=(Verdict("grounded", "output", "allow", "", 173),),
        timings={"identify": 18, "contract": 26, "call": 31_952, "guard_output": 173},
    )
    walked = steps_of(judged)
    assert walked["call"].tries[0].ms == 31.952
    for step in [*walked.values(), *steps_of(denied_and_extracted()).values()]:
        for one in step.tries:
            assert one.start_ms + one.ms <= step.start_ms + (step.ms or 0) + 1e-9


def test_a_model_that_was_not_asked_is_no_try_before_the_answer() -> None:
    tried = (Attempt("hosted", "no_key", 0), Attempt("frontier", "ok", 2))
    assert sentence(record(attempts=tried)) == "reply answered in 1,004 ms with frontier."


def test_a_request_without_any_time_has_a_clock() -> None:
    assert story_of(record(timings={}, latency_us=0)).scale_ms >= 0


def test_a_real_answer_has_a_real_walk(shared: Plane) -> None:
    id = shared.answer("reply", {"text": "hello"}).request_id
    told = story_of(read_record(shared.project.state, id))
    walked = {step.step: step for step in told.steps}
    assert told.sentence.startswith("reply answered in ")
    assert walked["reserve"].progress == walked["settle"].progress == "done"
    assert [one.model for one in walked["call"].tries] == ["script"]
    assert "held" in walked["reserve"].what
    assert told.scale_ms > 0


def test_a_real_refusal_ends_where_it_did(plane: Plane) -> None:
    plane.ask("POST", "/api/services/risk/stop", {"reason": "trial"})
    plane.follow()
    assert plane.answer("risk", {"wind": 1.0}).disposition == "refused"
    (found,) = find_records(plane.project.state, service="risk")
    assert sentence(found) == "risk refused this request: the service is stopped."
    assert steps_of(found)["release"].progress == "ended"
