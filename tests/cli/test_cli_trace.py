from __future__ import annotations

import re
import sqlite3
import time
from pathlib import Path

import pytest
from command_line import edit, run

from control_plane import Plane
from roadworthy.app import open_project
from roadworthy.cli.draw import draw_walk
from roadworthy.store.spool import Spool
from roadworthy.types import (
    Attempt,
    Outcome,
    PassageFound,
    Record,
    SystemClock,
    Usage,
    Verdict,
)

ASKED = {"subject": "hello", "plan": "free", "amount_usd": 0}

RECORD = Record(
    id="rq_1",
    at_us=1_356_998_400_000_000,
    service="reply",
    kind="generate",
    disposition="answered",
    model="second",
    attempts=(
        Attempt("first", "model_timeout", 800_000, detail="no answer within 800 ms"),
        Attempt("second", "ok", 400_000, Usage(12, 34), 1_250, "rates:2026-11-23"),
    ),
    verdicts=(
        Verdict("polite", "input", "allow", us=7),
        Verdict("short", "output", "deny", "`size(output.text) <= 10` does not hold", 9),
    ),
    cost_micro=1_250,
    reserved_micro=20_000,
    scopes=("service:reply",),
    timings={"identify": 40, "guard_input": 9, "reserve": 12, "call": 1_200_000, "guard_output": 9},
)


def ask(shop: Path, **values: object) -> str:
    with open_project(shop) as project:
        return project.service("triage").answer({**ASKED, **values}, user="ann").request_id


def test_the_walk_has_a_line_a_step_with_what_was_found_there() -> None:
    lines = list(draw_walk(RECORD))
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(RECORD.timings)
    call = next(i for i, line in enumerate(lines) if line.startswith("call"))
    assert lines[call + 1] == "  1. first: model_timeout, 800.0 ms - no answer within 800 ms"
    assert lines[call + 2] == (
        "  2. second: ok, 400.0 ms, 12 tokens in, 34 out, $0.00125 (rates:2026-11-23)"
    )
    assert "  $0.02 set aside in service:reply" in lines
    assert lines[-1] == (
        "  deny by guard `short` in 9 us - `size(output.text) <= 10` does not hold"
    )


@pytest.mark.parametrize(
    ("passages", "lines"),
    [
        ((PassageFound("pets.md", "Pets > Fees", 0.712),), ["  0.71  pets.md: Pets > Fees"]),
        ((), ["  no passage is near enough"]),
        (None, []),
    ],
)
def test_the_context_lists_the_passages_that_were_found(
    passages: tuple[PassageFound, ...] | None, lines: list[str]
) -> None:
    looked = Record(
        id="rq_1",
        at_us=0,
        service="reply",
        kind="generate",
        disposition="answered",
        timings={"context": 4000},
        passages=passages,
    )
    assert list(draw_walk(looked))[1:] == lines


def test_the_longest_step_has_the_longest_bar() -> None:
    bars = {line.split()[0]: line.count("█") for line in draw_walk(RECORD)}
    assert bars["call"] == max(bars.values()) == 24
    assert bars["identify"] == 0


def test_tries_are_shown_though_their_step_has_no_time() -> None:
    cut = Record(
        id="rq_2",
        at_us=1,
        service="reply",
        kind="generate",
        disposition="failed",
        attempts=RECORD.attempts[:1],
    )
    assert [line.partition(":")[0] for line in draw_walk(cut)] == ["call"]


def test_a_trace_holds_the_whole_lineage(shop: Path) -> None:
    ran = run("trace", ask(shop), "--project", shop)
    assert ran.code == 0
    with open_project(shop) as project:
        release = project.build_release("triage", by="test")
    for text in (
        "answered by rules",
        "user ann",
        "allow by guard `large-sums-go-to-billing`",
        '{"subject":"hello","plan":"free","amount_usd":0}',
        '"team":"support"',
        release.id,
        release.manifest.declaration_hash,
        release.manifest.files["request.schema.json"],
        f"Python {release.manifest.environment.python}",
        "in no git repository",
        "none yet",
    ):
        assert text in ran.out, text


def test_json_is_what_the_control_plane_answers(shop: Path) -> None:
    request_id = ask(shop)
    facts = run("trace", request_id, "--project", shop, "--json").json
    with open_project(shop) as project:
        assert Plane(project).get(f"/api/requests/{request_id}/lineage") == facts
    assert facts["record"]["timings_ms"].keys() >= {"identify", "contract", "call"}
    assert facts["record"]["cost_usd"] == 0
    assert facts["release"]["manifest"]["files"]


def test_what_became_known_later_is_there(shop: Path) -> None:
    request_id = ask(shop)
    spool = Spool(shop / ".roadworthy" / "spool", SystemClock())
    spool.append(
        Outcome(
            id="oc_1",
            request_id=request_id,
            kind="label",
            value="billing",
            source="desk",
            at_us=1,
            known_at_us=1_356_998_400_000_000,
            by="key:k_1",
            reason="an invoice",
        )
    )
    spool.close()
    ask(shop)
    out = run("trace", request_id, "--project", shop).out
    told = 'label "billing" from desk by key:k_1, known 2013-01-01 00:00:00Z - an invoice'
    assert f"outcomes\n  {told}\n" in out


def test_a_refused_request_shows_why_and_that_no_model_answered(shop: Path) -> None:
    out = run("trace", ask(shop, plan="gold"), "--project", shop).out
    assert "  refused\n" in out.splitlines(keepends=True)[0]
    assert "contract_violation: input.plan" in out
    assert "output\n  not kept" in out


def test_bodies_that_were_not_kept_are_not_shown(shop: Path) -> None:
    edit(shop / "services/triage/service.toml", 'bodies = "full" ', 'bodies = "none" ')
    out = run("trace", ask(shop), "--project", shop).out
    assert "input\n  not kept" in out


def test_a_release_that_cannot_be_read_is_said(shop: Path) -> None:
    request_id = ask(shop)
    with sqlite3.connect(shop / ".roadworthy" / "state.db") as connection:
        connection.execute("DELETE FROM releases")
    connection.close()
    ran = run("trace", request_id, "--project", shop)
    assert re.search(r"\nrelease\n  triage@\w+\n  cannot be read: no release", ran.out)
    assert "\nfiles\n" not in ran.out
    facts = run("trace", request_id, "--project", shop, "--json").json
    assert facts["release"] is None
    assert "no release `triage@" in facts["problem"]
    assert facts["record"]["release"].startswith("triage@")


def test_an_unknown_request_could_not_be_done(shop: Path) -> None:
    ran = run("trace", "rq_nothing", "--project", shop)
    assert ran.code == 4
    assert "no record `rq_nothing`" in ran.err


@pytest.mark.slow
def test_where_records_wait_in_the_spool_it_says_how_to_store_them(shop: Path) -> None:
    spool = Spool(shop / ".roadworthy" / "spool", SystemClock())
    spool.append(RECORD)
    spool.close()
    started = time.monotonic()
    ran = run("trace", "rq_1", "--project", shop)
    assert ran.code == 4
    assert "`roadworthy up` stores them" in ran.err
    assert time.monotonic() - started < 3
