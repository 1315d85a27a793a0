"""Budgets of tokens in a served project: what is cut, summarised, marked and learned."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import insert

from conftest import write_project
from live import Live, chat_service, provider_up, serve
from roadworthy.models.faulty import Fault, FaultyUpstream
from roadworthy.store.gateway_tables import ATTEMPT_COUNTS, attempt_hours
from roadworthy.types import HOUR_US

LONG = "The quick brown fox jumps over the lazy dog. " * 20
"""About 200 tokens."""
TALK = [
    {"role": "user", "content": f"one {LONG}"},
    {"role": "assistant", "content": f"two {LONG}"},
    {"role": "user", "content": "And now?"},
]


def answers(messages: list[dict[str, Any]]) -> str:
    if "Summarise" in str(messages[0]["content"]):
        return "They spoke of a fox and a dog."
    return "one two three four five six"


@pytest.fixture
def upstream() -> Iterator[FaultyUpstream]:
    with FaultyUpstream(answer=answers, models=("m",)) as upstream:
        yield upstream


@pytest.fixture
def write(tmp_path: Path, upstream: FaultyUpstream) -> Any:
    def write(context: str = "", more: str = "", cost: str = "per_day_usd = 1") -> Path:
        text = chat_service(cost=cost, deadline_ms=4000, more=f"max_output_tokens = 50\n{more}")
        return write_project(
            tmp_path / "project",
            {"reply": f"{text}\n[context]\n{context}\n"},
            None,
            provider_up(upstream, input_usd=1, output_usd=10),
        )

    return write


def chat(live: Live, messages: list[dict[str, Any]], **body: Any) -> Any:
    return live.ask(
        "POST", "/v1/chat/completions", {"model": "reply", "messages": messages, **body}
    )


def got(upstream: FaultyUpstream, place: int = -1) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = json.loads(upstream.requests[place].body)["messages"]
    return messages


@pytest.mark.parametrize("stream", [False, True])
def test_the_oldest_turns_are_left_out(write: Any, upstream: FaultyUpstream, stream: bool) -> None:
    folder = write('max_input_tokens = 150\noverflow = "drop_oldest"')
    with serve(folder) as live:
        assert chat(live, TALK, stream=stream).status == 200
        (record,) = live.records()
    assert got(upstream) == TALK[-1:]
    assert record.context is not None
    assert record.context["dropped_messages"] == 2
    assert record.context["dropped_tokens"] > 500, "at three bytes a token"
    assert record.context["history_tokens"] == 0
    assert record.context["output_tokens"] == 6


def test_a_summary_stands_for_what_went_out_and_is_paid_and_recorded(
    write: Any, upstream: FaultyUpstream
) -> None:
    folder = write('max_input_tokens = 250\noverflow = "summarise"\nsummarise_with = "up"')
    with serve(folder) as live:
        assert chat(live, TALK).status == 200
        (record,) = live.records()
        spent, held = live.serving.ledger.spent("service:reply")
    summary, question = got(upstream, 0), got(upstream, 1)
    assert "The quick brown fox" in summary[1]["content"]
    assert json.loads(upstream.requests[0].body)["max_tokens"] == 50
    assert question[1] == {"role": "assistant", "content": "They spoke of a fox and a dog."}
    assert question[-1] == TALK[-1]
    assert [(a.model, a.status) for a in record.attempts] == [("up", "ok"), ("up", "ok")]
    assert all(a.cost_micro > 0 for a in record.attempts)
    assert record.cost_micro == sum(a.cost_micro for a in record.attempts) == spent
    assert (held, record.reserved_micro > record.cost_micro) == (0, True)
    assert record.context is not None
    assert record.context["summarised_by"] == "up"
    assert record.context["summary_tokens"] > 0
    assert "summary" in record.timings


def test_where_no_summary_comes_the_oldest_are_left_out(
    write: Any, upstream: FaultyUpstream
) -> None:
    folder = write('max_input_tokens = 250\noverflow = "summarise"\nsummarise_with = "up"')
    upstream.next(Fault.SERVER_ERROR)
    with serve(folder) as live:
        assert chat(live, TALK).status == 200
        (record,) = live.records()
    assert got(upstream) == TALK[-1:]
    assert [a.status for a in record.attempts] == ["model_unavailable", "ok"]
    assert record.context is not None
    assert record.context["summary_failed"] == "model_unavailable"


def test_a_summary_never_takes_the_money_of_the_answer(
    write: Any, upstream: FaultyUpstream
) -> None:
    folder = write(
        'max_input_tokens = 250\noverflow = "summarise"\nsummarise_with = "up"',
        cost="per_request_usd = 0.0012, per_day_usd = 1",
    )
    with serve(folder) as live:
        assert chat(live, TALK).status == 200
        (record,) = live.records()
    assert record.attempts[0].status == "too_dear"
    assert record.attempts[-1].status == "ok"
    assert record.cost_micro <= 1_200


def test_a_summary_that_hangs_has_a_third_of_the_time_and_is_paid_for(
    write: Any, upstream: FaultyUpstream
) -> None:
    folder = write('max_input_tokens = 250\noverflow = "summarise"\nsummarise_with = "up"')
    upstream.next(Fault.HANG)
    with serve(folder) as live:
        reply = chat(live, TALK)
        (record,) = live.records()
    assert reply.status == 200, "a summary has a third of the time"
    assert record.attempts[0].status == "model_timeout"
    assert record.attempts[0].cost_micro > 0


def test_what_does_not_fit_any_window_is_refused_in_clear_words(
    write: Any, upstream: FaultyUpstream
) -> None:
    with serve(write(more="context_tokens = 300")) as live:
        assert chat(live, TALK[-1:]).status == 200
        reply = chat(live, TALK)
        records = live.records()
    assert (reply.status, upstream.received) == (422, 1)
    assert "its window is 300 tokens, and about 6" in reply.json["error"]["message"]
    record = next(each for each in records if each.error_code)
    assert (record.disposition, record.cost_micro) == ("refused", 0)
    assert [a.status for a in record.attempts] == ["too_long"]


def test_the_ladder_answers_what_fits_no_window(write: Any) -> None:
    rung = '[[fallback]]\nuse = "static"\noutput = { text = "Too long." }\n'
    with serve(write("", f"context_tokens = 300\n{rung}")) as live:
        reply = chat(live, TALK)
    assert reply.status == 200
    assert reply.headers["x-roadworthy-disposition"] == "fallback"


def test_output_has_one_limit_over_all_models_and_a_client_s_smaller_one_counts(
    write: Any, upstream: FaultyUpstream
) -> None:
    with serve(write("max_output_tokens = 20")) as live:
        for asked, sent in ((None, 20), (7, 7), (90, 20)):
            body = {} if asked is None else {"max_tokens": asked}
            assert chat(live, TALK[-1:], **body).status == 200
            assert json.loads(upstream.requests[-1].body)["max_tokens"] == sent


def test_a_cut_off_answer_says_so_everywhere(write: Any, upstream: FaultyUpstream) -> None:
    upstream.always(Fault.TRUNCATED)
    with serve(write()) as live:
        reply = chat(live, TALK[-1:])
        native = live.ask("POST", "/v1/services/reply/answer", {"input": {"messages": TALK[-1:]}})
        records = live.records()
    assert reply.headers["x-roadworthy-truncated"] == "true"
    assert reply.json["choices"][0]["finish_reason"] == "length"
    assert native.json["is_cut_off"] is True
    assert all(record.is_cut_off and record.attempts[0].is_cut_off for record in records)


def test_a_whole_answer_bears_no_such_mark(write: Any) -> None:
    with serve(write()) as live:
        reply = chat(live, TALK[-1:])
        (record,) = live.records()
    assert "x-roadworthy-truncated" not in reply.headers
    assert not record.is_cut_off


@pytest.mark.parametrize("stream", [False, True])
def test_next_never_shows_what_was_cut_off(
    write: Any, upstream: FaultyUpstream, stream: bool
) -> None:
    upstream.always(Fault.TRUNCATED)
    rung = '[[fallback]]\nuse = "static"\noutput = { text = "Later." }\n'
    with serve(write('truncated = "next"', rung)) as live:
        reply = chat(live, TALK[-1:], stream=stream)
        (record,) = live.records()
    assert b"one two three" not in reply.body
    assert b"Later." in reply.body
    assert [a.status for a in record.attempts] == ["cut_off", "ok"]


@pytest.mark.parametrize("stream", [False, True])
def test_continue_gives_a_whole_answer(write: Any, upstream: FaultyUpstream, stream: bool) -> None:
    upstream.next(Fault.TRUNCATED)
    with serve(write('truncated = "continue"')) as live:
        reply = chat(live, TALK[-1:], stream=stream)
        (record,) = live.records()
    assert upstream.received == 2
    assert got(upstream)[-2]["content"].split() == ["one", "two", "three"]
    assert (record.is_cut_off, len(record.attempts)) == (False, 2)
    assert record.output_tokens == sum(a.usage.output_tokens for a in record.attempts if a.usage)
    assert b'"length"' not in reply.body
    if not stream:
        assert reply.json["usage"]["completion_tokens"] == record.output_tokens
        assert "x-roadworthy-truncated" not in reply.headers


def test_cut_off_json_is_never_taken_for_whole(tmp_path: Path, upstream: FaultyUpstream) -> None:
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    text = chat_service(cost="per_day_usd = 1", deadline_ms=4000)
    with FaultyUpstream(answer='{"n": 12, "m": 13 }', models=("m",)) as cut:
        cut.always(Fault.TRUNCATED)
        folder = write_project(
            tmp_path / "project",
            {"reply": f'{text}\n[contract]\noutput = "o.json"\n'},
            {"services/reply/o.json": json.dumps(schema)},
            provider_up(cut, input_usd=1, output_usd=1),
        )
        with serve(folder) as live:
            reply = chat(live, TALK[-1:])
            (record,) = live.records()
    assert reply.status != 200
    assert any("cut off" in reason for reason in record.reasons)


def test_what_a_token_is_is_learned_from_what_the_provider_counted(
    write: Any, upstream: FaultyUpstream
) -> None:
    folder = write("max_input_tokens = 500")
    with serve(folder) as live:
        assert chat(live, TALK).status == 422, "about 600 tokens at three bytes each"
        counts = dict.fromkeys(ATTEMPT_COUNTS, 0) | {"input_bytes": 90_000, "input_tokens": 20_000}
        hour = live.serving.engine._clock.now_us() // HOUR_US * HOUR_US
        row = {"hour_us": hour, "service": "reply", "provider": "up", "model": "up"}
        with live.serving._ground.state.begin() as connection:
            connection.execute(insert(attempt_hours).values(**row, status="ok", **counts))
        live.serving.jobs.run_now("tokens")
        assert live.serving.engine.releases["reply"].counters["up"].bytes_per_token == 4.05
        assert chat(live, TALK).status == 200
    with serve(folder) as again:
        assert again.serving.engine.releases["reply"].counters["up"].is_learned


def test_the_context_of_a_record_is_kept(write: Any) -> None:
    with serve(write("max_input_tokens = 5000")) as live:
        chat(live, TALK)
        (record,) = live.records()
    assert record.context == msgspec.json.decode(msgspec.json.encode(record.context))
    assert record.context is not None
    assert record.context["counted_by"] == "estimate"
