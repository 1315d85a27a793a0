from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any

import pytest
from exposition import read_exposition

from roadworthy.errors import StoreError
from roadworthy.observe.metrics import EDGES_US, MOST_SERIES, Metrics
from roadworthy.store.tables import LATENCY_BUCKETS
from roadworthy.types import Attempt, Hold, Outcome, Record, Usage, Verdict

DURATION = "roadworthy_request_duration_seconds"


def record(**fields: Any) -> Record:
    usual: dict[str, Any] = {
        "id": "rq_1",
        "at_us": 1,
        "service": "support-reply",
        "kind": "generate",
        "disposition": "answered",
        "model": "frontier",
        "latency_us": 1_300,
    }
    return Record(**{**usual, **fields})


def test_an_empty_page_is_valid() -> None:
    assert read_exposition(Metrics().render())["roadworthy_requests_total"].samples == {}


def test_requests_are_counted_by_how_they_ended() -> None:
    metrics = Metrics()
    metrics.see([record(), record(), record(disposition="refused", model=""), record(arm="shadow")])
    requests = read_exposition(metrics.render())["roadworthy_requests_total"]
    name = "roadworthy_requests_total"
    usual = {"service": "support-reply", "model": "frontier", "disposition": "answered"}
    assert requests.value(name, **usual, arm="champion") == 2
    assert requests.value(name, **usual, arm="shadow") == 1
    refused = {**usual, "disposition": "refused", "model": ""}
    assert requests.value(name, **refused, arm="champion") == 1


def test_only_records_count() -> None:
    metrics = Metrics()
    before = metrics.render()
    hold = Hold("rq_1", 1, ("service:a",), 5, 2)
    outcome = Outcome(
        id="oc", request_id="rq", kind="label", value=1, source="s", at_us=1, known_at_us=1, by="k"
    )
    metrics.see([hold, outcome])
    assert metrics.render() == before


def test_every_try_counts_its_status_tokens_and_cost_for_its_own_model() -> None:
    tries = (
        Attempt(
            "cheap", "bad_answer", 900, Usage(100, 20, 40, 5, 30, 7, 3), 130, "rates:2026-11-23"
        ),
        Attempt("frontier", "ok", 900, Usage(100, 30), 2_500_000, "override"),
        Attempt("frontier", "model_timeout", 900),
    )
    metrics = Metrics()
    metrics.see([record(attempts=tries)])
    page = read_exposition(metrics.render())
    attempts = page["roadworthy_attempts_total"]
    assert attempts.value("roadworthy_attempts_total", model="cheap", status="bad_answer") == 1
    assert attempts.value("roadworthy_attempts_total", model="frontier", status="ok") == 1
    assert len(attempts.samples) == 3
    cheap = {"service": "support-reply", "model": "cheap"}
    tokens = page["roadworthy_tokens_total"]
    counted = {
        t: tokens.value("roadworthy_tokens_total", **cheap, type=t)
        for t in ("input", "output", "cached", "reasoning")
    }
    assert counted == {"input": 100, "output": 20, "cached": 40, "reasoning": 5}
    rarer = ("cache_write", "audio_input", "audio_output")
    found = [tokens.value("roadworthy_tokens_total", **cheap, type=kind) for kind in rarer]
    assert found == [30, 7, 3]
    cost = page["roadworthy_cost_usd_total"]
    name = "roadworthy_cost_usd_total"
    assert cost.value(name, **cheap, price_source="rates:2026-11-23") == 0.00013
    assert (
        cost.value(name, service="support-reply", model="frontier", price_source="override") == 2.5
    )


def test_guards_are_counted_by_what_they_said() -> None:
    metrics = Metrics()
    verdicts = (Verdict("limit", "output", "deny"), Verdict("shape", "output", "not_run"))
    metrics.see([record(verdicts=verdicts)])
    said = read_exposition(metrics.render())["roadworthy_verdicts_total"]
    name = "roadworthy_verdicts_total"
    assert said.value(name, service="support-reply", guard="limit", verdict="deny") == 1
    assert said.value(name, service="support-reply", guard="shape", verdict="not_run") == 1


def test_late_requests_are_counted() -> None:
    metrics = Metrics()
    metrics.see([record(), record(is_late=True)])
    late = read_exposition(metrics.render())["roadworthy_late_requests_total"]
    assert late.value("roadworthy_late_requests_total", service="support-reply") == 1


@pytest.mark.parametrize(
    ("latency_us", "bucket"),
    [(0, 0), (250, 0), (251, 1), (375, 1), (376, 2), (60_000_000, LATENCY_BUCKETS - 1)],
)
def test_latencies_fall_into_the_buckets_of_the_rollups(latency_us: int, bucket: int) -> None:
    metrics = Metrics()
    metrics.see([record(latency_us=latency_us)])
    family = read_exposition(metrics.render())[DURATION]
    ends = sorted(float(dict(labels)["le"]) for name, labels in family.samples if "_bucket" in name)
    assert len(ends) == LATENCY_BUCKETS
    assert ends[:3] == [0.00025, 0.000375, 0.0005625]
    full = [
        le
        for le in _le_values(metrics)
        if family.value(f"{DURATION}_bucket", service="support-reply", le=le) == 1
    ]
    assert len(full) == LATENCY_BUCKETS - bucket
    assert family.value(f"{DURATION}_sum", service="support-reply") == latency_us / 1e6


def _le_values(metrics: Metrics) -> list[str]:
    samples = read_exposition(metrics.render())[DURATION].samples
    return [dict(labels)["le"] for name, labels in samples if name.endswith("_bucket")]


def test_bucket_ends_grow_by_half() -> None:
    assert len(EDGES_US) == LATENCY_BUCKETS - 1
    assert all(b == a * 1.5 for a, b in pairwise(EDGES_US))


def test_requests_without_a_record_are_counted_by_their_code() -> None:
    metrics = Metrics()
    metrics.reject("unauthenticated")
    metrics.reject("unauthenticated")
    rejected = read_exposition(metrics.render())["roadworthy_rejected_total"]
    assert rejected.value("roadworthy_rejected_total", code="unauthenticated") == 2


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "a\\nb", 'é{}=,"\\\n', ""])
def test_any_label_value_survives_the_page(name: str) -> None:
    metrics = Metrics()
    metrics.see([record(model=name, attempts=(Attempt(name, "ok", 1),))])
    attempts = read_exposition(metrics.render())["roadworthy_attempts_total"]
    assert attempts.value("roadworthy_attempts_total", model=name, status="ok") == 1


def test_users_tags_and_texts_never_become_labels() -> None:
    metrics = Metrics()
    metrics.see(
        [
            record(
                user="alice@example.com",
                team="desk",
                key="k_1",
                role="agent",
                tags=("vip",),
                reasons=("because of Bob",),
                input=b'{"question": "where is my bag"}',
            )
        ]
    )
    page = metrics.render().decode()
    for text in ("alice", "desk", "k_1", "agent", "vip", "Bob", "bag"):
        assert text not in page


def test_label_sets_are_bounded_and_nothing_is_lost() -> None:
    metrics = Metrics()
    metrics.see([record(model=f"m{n}") for n in range(MOST_SERIES + 100)])
    requests = read_exposition(metrics.render())["roadworthy_requests_total"]
    assert len(requests.samples) == MOST_SERIES + 1
    other = dict.fromkeys(("service", "disposition", "model", "arm"), "other")
    assert requests.value("roadworthy_requests_total", **other) == 100


def test_gauges_are_read_at_each_scrape() -> None:
    metrics = Metrics()
    readings = iter([3, 7.5])
    metrics.add_gauge(
        "roadworthy_in_flight", "Requests\nbeing \\ answered.", lambda: next(readings)
    )
    pages = [read_exposition(metrics.render())["roadworthy_in_flight"] for _ in range(2)]
    assert [page.value("roadworthy_in_flight") for page in pages] == [3, 7.5]
    assert pages[0].help == "Requests\\nbeing \\\\ answered."


def test_a_gauge_may_have_a_value_for_each_of_a_label() -> None:
    metrics = Metrics()
    held = {"support-reply": 12, "flight-delay": 0}
    metrics.add_gauge("roadworthy_held_micro", "Micro-dollars held.", lambda: held, "service")
    gauge = read_exposition(metrics.render())["roadworthy_held_micro"]
    assert gauge.value("roadworthy_held_micro", service="support-reply") == 12


@pytest.mark.parametrize(
    ("reading", "text"),
    [(True, "1"), (float("inf"), "+Inf"), (float("-inf"), "-Inf"), (float("nan"), "NaN")],
)
def test_special_numbers_are_written_as_prometheus_reads_them(reading: float, text: str) -> None:
    metrics = Metrics()
    metrics.add_gauge("roadworthy_degraded", "1 while degraded.", lambda: reading)
    assert metrics.render().decode().splitlines()[-1] == f"roadworthy_degraded {text}"


def test_a_gauge_that_cannot_be_read_is_absent_and_the_page_still_comes() -> None:
    def fail() -> float:
        raise StoreError("the store is away")

    metrics = Metrics()
    metrics.add_gauge("roadworthy_spool_lag", "Entries.", fail)
    metrics.add_gauge("roadworthy_in_flight", "Requests.", lambda: 1)
    page = read_exposition(metrics.render())
    assert "roadworthy_spool_lag" not in page
    assert "roadworthy_in_flight" in page


def test_a_gauge_may_wait_for_the_writer_while_the_writer_counts() -> None:
    metrics = Metrics()
    has_counted = threading.Event()

    def count() -> None:
        metrics.see([record()])
        has_counted.set()

    def read() -> float:
        threading.Thread(target=count).start()
        return has_counted.wait(5)

    metrics.add_gauge("roadworthy_degraded", "1 while degraded.", read)
    assert (
        read_exposition(metrics.render())["roadworthy_degraded"].value("roadworthy_degraded") == 1
    )


def test_what_nobody_was_shown_costs_but_is_neither_late_nor_slow() -> None:
    metrics = Metrics()
    tries = (Attempt("cheap", "ok", 900, Usage(100, 20), 130, "override"),)
    shadow = record(arm="shadow", is_late=True, attempts=tries)
    metrics.see([record(), shadow])
    page = read_exposition(metrics.render())
    service = {"service": "support-reply"}
    name = "roadworthy_request_duration_seconds"
    assert page[name].value(f"{name}_count", **service) == 1
    assert page["roadworthy_late_requests_total"].samples == {}
    name = "roadworthy_cost_usd_total"
    labels = {**service, "model": "cheap", "price_source": "override"}
    assert page[name].value(name, **labels) == pytest.approx(0.00013)


def test_json_that_was_mended_or_asked_for_again_is_counted_by_model() -> None:
    metrics = Metrics()
    tries = (
        Attempt("cheap", "rejected", 900),
        Attempt("cheap", "ok", 900, mended="reask"),
        Attempt("frontier", "ok", 900, mended="repair"),
    )
    metrics.see([record(attempts=tries), record(attempts=tries[2:])])
    name = "roadworthy_mended_answers_total"
    mended = read_exposition(metrics.render())[name]
    usual = {"service": "support-reply"}
    assert mended.value(name, **usual, model="cheap", how="reask") == 1
    assert mended.value(name, **usual, model="frontier", how="repair") == 2
    assert len(mended.samples) == 2
