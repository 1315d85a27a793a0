from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from declare_files import EIGHT_LINES, load_text

import roadworthy
from roadworthy.app import ENFORCES
from roadworthy.declare.load import load_project, load_service
from roadworthy.declare.remedies import REMEDIES, Graded, graded_remedies

ROOT = Path(__file__).parents[2]
AIRLINE = ROOT / "examples" / "airline"

TESTS = {
    1: "app/test_project.py::test_an_answer_in_this_process_is_recorded_like_any_other",
    4: "data/test_views.py::test_what_a_view_may_not_say_is_told",
    5: "data/test_glossary.py::test_a_term_that_means_two_things_is_told_with_both_places",
    6: "data/test_skew.py::test_one_value_that_differs_from_the_view_is_a_breach_with_its_request",
    7: "data/test_view_leaks.py::test_a_field_that_is_known_later_than_its_row_counts_is_a_leak",
    8: "data/test_online.py::test_online_equals_history_at_every_moment_it_was_filled",
    9: "data/test_snapshots.py::test_what_was_saved_is_read_and_rebuilt_from_its_id",
    10: "release/test_agreement.py"
    "::test_a_breaking_change_stops_the_next_release_with_field_and_change",
    11: "data/test_validate.py::test_each_broken_rule_says_how_many_rows_and_shows_the_first",
    12: "data/test_live.py::test_a_request_is_refused_in_the_schema_s_words",
    13: "observe/test_metrics.py::test_late_requests_are_counted",
    14: "serve/test_failover.py::test_a_model_that_hangs_leaves_time_for_the_next_one",
    23: "app/test_tokens_served.py::test_the_oldest_turns_are_left_out",
    24: "signals/test_search.py::test_a_passage_that_says_nothing_new_is_left_out",
    26: "cli/test_cli_cost_tokens.py"
    "::test_comparing_releases_tells_the_tokens_of_a_model_that_changed",
    27: "serve/test_window.py::test_what_does_not_fit_goes_to_the_next_model_without_a_call",
    28: "serve/test_breaker.py::test_a_rate_limit_is_left_alone_for_as_long_as_it_asks",
    29: "app/test_tokens_served.py::test_a_cut_off_answer_says_so_everywhere",
    30: "serve/test_prompts_served.py"
    "::test_an_input_of_another_type_is_refused_before_anybody_is_asked",
    31: "app/test_remedies_kept.py::test_an_answer_that_breaks_its_schema_is_never_shown",
    32: "serve/test_prompts_served.py::test_records_and_releases_say_which_prompt_it_was",
    33: "cli/test_cli_evaluate.py::test_a_worse_release_than_the_one_that_serves_ends_with_1",
    34: "evaluate/test_stability.py"
    "::test_the_share_of_flaky_cases_is_held_to_its_bar_with_the_case_as_unit",
    35: "serve/test_structured.py::test_the_client_gets_mended_json_and_nothing_else_is_touched",
    36: "app/test_replays.py::test_the_features_of_then_are_given_again",
    43: "evaluate/test_coverage.py::test_gaps_come_largest_first_and_name_requests_that_have_them",
    44: "cli/test_cli_cost.py::test_an_estimate_before_launch_has_a_range_and_drivers",
    45: "serve/test_failover.py::test_the_first_model_that_answers_wins",
    46: "app/test_remedies_kept.py::test_the_ladder_goes_down_to_a_static_answer",
    48: "cli/test_cli_ci.py::test_what_a_change_touches_is_checked_and_evaluated",
    50: "app/test_opened_elsewhere.py::test_each_record_says_what_is_not_as_it_was",
    51: "serve/test_under_fire.py::test_more_requests_than_the_limit_get_429_at_once",
    52: "app/test_rollouts.py::test_a_worse_one_goes_back",
    53: "release/test_lineage.py"
    "::test_an_answer_leads_back_to_its_release_and_the_pin_of_its_model",
    54: "release/test_registry.py::test_releases_are_listed_newest_first_and_by_service",
    55: "release/test_gates.py::test_each_gate_refuses_what_its_evidence_does_not_show",
    56: "release/test_compare.py::test_what_differs_is_named_with_both_values",
    57: "review/test_carried_certificates.py"
    "::test_what_was_certified_comes_back_in_the_same_moment",
    58: "store/test_actions.py::test_a_changed_row_breaks_the_chain_at_its_number",
    67: "models/test_dialects.py::test_a_count_that_cannot_be_true_is_unknown_and_not_free",
    68: "review/test_rulings.py::test_an_approval_is_of_what_was_seen",
    69: "serve/test_waiting.py"
    "::test_in_time_over_the_ladder_answers_and_a_late_decision_changes_nothing",
    70: "review/test_rulings.py::test_a_tampered_decision_breaks_the_chain",
    71: "improve/test_examples.py::test_two_people_who_say_otherwise_are_both_named",
    72: "serve/test_reviewing.py::test_a_full_day_goes_down_the_ladder_and_is_no_evidence",
    73: "app/test_review_notices.py::test_it_hears_what_waits_is_late_is_over_and_is_decided",
    74: "review/test_calibrate.py::test_a_confidence_says_what_comes_true",
    75: "serve/test_scoping.py::test_what_is_far_from_all_that_was_asked_is_decided_by_a_person",
    76: "review/test_certify.py::test_what_no_longer_holds_is_switched_off_by_itself",
    77: "serve/test_reviewing.py::test_a_lever_asks_people_of_everything_and_another_trusts_again",
    78: "serve/test_explaining.py::test_what_a_person_decided_is_explained_by_a_job",
    79: "cli/test_cli_examples.py::test_a_correction_is_learned_and_read_back",
    88: "app/test_remedies_kept.py::test_a_rule_denies_what_it_does_not_hold_for",
    89: "serve/test_caches.py::test_the_same_question_gets_the_same_answer_and_costs_nothing",
    90: "serve/test_semantic.py::test_the_first_confirmed_wrong_hit_evicts",
    91: "models/test_dialects.py::test_what_was_read_before_is_counted_as_cached",
    92: "models/test_llama_cpp_model.py::test_what_was_read_of_a_prompt_is_not_read_again",
    93: "serve/test_rules.py::test_impact_is_a_signal",
    94: "serve/test_intents.py::test_what_is_like_an_intent_s_examples_goes_to_its_model",
    95: "serve/test_cascade.py::test_any_number_of_models_is_climbed_from_the_cheapest",
    96: "serve/test_cascade.py::test_what_is_not_sure_enough_escalates_and_is_an_attempt",
    97: "models/test_llama_cpp_model.py"
    "::test_the_same_question_gets_the_same_answer_with_its_tokens",
    98: "store/test_rollups.py::test_requests_are_counted_again_by_user_team_tag_and_key",
    99: "serve/test_under_fire.py::test_a_thousand_at_once_spend_exactly_the_budget_of_a_hundred",
    100: "serve/test_budgets.py"
    "::test_a_budget_holds_over_all_services_and_is_named_where_it_is_spent",
    101: "cost/test_report.py::test_a_service_pays_for_models_people_egress_and_training",
    102: "cost/test_report.py::test_a_service_pays_for_models_people_egress_and_training",
    103: "app/test_costs.py::test_history_is_estimated_at_the_prices_of_today",
    104: "cost/test_report.py::test_what_is_known_to_be_wrong_was_not_accepted",
    108: "release/test_gates.py"
    "::test_what_is_declared_and_was_not_measured_refuses_and_says_the_command",
    109: "evaluate/test_behaviours.py"
    "::test_labels_that_change_fail_with_examples_of_what_was_changed",
    110: "evaluate/test_fairness.py::test_it_passes_only_where_the_whole_interval_keeps_the_bar",
    111: "evaluate/test_builtin.py::test_an_answer_that_obeys_is_seen",
    114: "data/test_online.py::test_a_row_is_stale_after_its_ttl_and_absent_before_its_time",
    115: "data/test_loadtest.py"
    "::test_what_is_too_slow_or_too_large_is_not_kept_and_says_what_to_do",
    117: "app/test_costs.py::test_a_service_at_a_loss_ships_only_where_that_is_declared",
    118: "web/test_review_api.py::test_a_correction_is_given_to_whoever_asks_the_same_again",
    121: "serve/test_asking.py::test_anything_else_goes_to_the_default_and_is_recorded",
}
"""Row → the test that fails without its remedy."""

VIEWS = {4, 6, 7, 8, 9, 10, 11, 114, 115}
"""Rows that a service asks for by naming feature views."""
EVALUATED = {33, 34, 43, 48, 108, 109, 110, 111}
"""Rows that a service asks for by what it is evaluated by."""
PROMPTS = {30, 32, 35}
"""Rows that a service asks for by its prompt, and by the JSON that it gives."""
ROLLOUT = 52
"""The row that a service asks for by saying how a candidate is judged."""
BOUNDS = {74, 76}
"""Rows that a service asks for by a bound."""
TOKENS = {23, 24}
"""Rows that a service asks for by budgets of tokens."""
MONEY = {101, 102, 117}
"""Rows that a service asks for by saying what it costs beside its models, and what a loss does."""
SCOPE = 75
"""The row that a service asks for by saying what is strange."""
CACHES = {89, 90}
"""Rows about answers given again, which a service asks for in `[cache]`."""
PEOPLE = {68, 69, 70, 72, 73, 118}
"""Rows that a service asks for by naming a queue."""


@pytest.mark.parametrize("remedy", REMEDIES, ids=lambda remedy: str(remedy.row))
def test_a_remedy_names_a_row_an_enforcer_and_a_test_that_are_there(remedy: Graded) -> None:
    assert 1 <= remedy.row <= 125
    assert (Path(roadworthy.__file__).parent / remedy.enforced_by).is_file()
    file, _, name = TESTS[remedy.row].partition("::")
    assert re.search(rf"def {name}\(", (ROOT / "tests" / file).read_text(encoding="utf-8"))


def test_rows_are_told_once_and_in_order() -> None:
    rows = [remedy.row for remedy in REMEDIES]
    assert rows == sorted(set(rows))
    assert rows == list(TESTS)


def test_what_is_to_be_declared_is_a_key_that_something_enforces() -> None:
    asked = {remedy.key for remedy in REMEDIES if remedy.key}
    tables = {key.partition(".")[0] for key in ENFORCES}
    assert asked <= ENFORCES.keys() | tables


ROUTED = {93, 94, 95, 96, 121}
"""What chooses between models."""


def test_the_page_lists_every_remedy() -> None:
    page = (ROOT / "docs/explanation/enforcement.md").read_text(encoding="utf-8")
    for one in REMEDIES:
        key = f"`{one.key}`" if one.key else "nothing: always kept"
        assert f"| {one.row} | {one.remedy} | `{one.enforced_by}` | {key} |" in page


def airline(name: str, folder: Path) -> dict[int, Graded]:
    """Return the grades of a service of the example; its model need not be trained."""
    shutil.copytree(AIRLINE, folder, ignore=shutil.ignore_patterns("data", ".roadworthy"))
    service = folder / "services" / name
    (service / "model.onnx").touch()
    (service / "suites").mkdir(exist_ok=True)
    (service / "suites" / "summer.jsonl").touch()
    declared = load_service(service, load_project(folder), ENFORCES)
    return {one.row: one for one in graded_remedies(declared)}


def test_the_rows_of_the_airlines_prediction(tmp_path: Path) -> None:
    found = airline("flight-delay", tmp_path / "airline")
    assert {row for row, one in found.items() if one.grade == "declare"} == {
        *TOKENS,
        *MONEY,
        SCOPE,
        34,
        111,
        *ROUTED,
        *CACHES,
        *PROMPTS,
    }
    assert found[13].evidence == "objectives.latency_p95_ms = 100"
    ladder = "fallback[0].use = rule, fallback[1].use = static"
    assert found[14].evidence == f"objectives.deadline_ms = 250, {ladder}"
    assert found[31].evidence == "contract.output = answer.schema.json"
    assert found[45].evidence == found[46].evidence == ladder
    names = ("goes-somewhere", "is-a-probability")
    assert found[88].evidence == ", ".join(f"guards[{i}].name = {n}" for i, n in enumerate(names))
    assert found[99].evidence == "cost.per_day_usd = 1"
    assert found[115].evidence == "volume.requests_per_second = 100"


def test_the_rows_of_the_airlines_chat(tmp_path: Path) -> None:
    found = airline("support-reply", tmp_path / "airline")
    assert {row for row, one in found.items() if one.grade == "declare"} == {
        31,
        35,
        88,
        *VIEWS,
        *BOUNDS,
        109,
        110,
        *MONEY,
        SCOPE,
        *ROUTED,
        *CACHES,
    }
    names = ("gpt-4o-mini", "practice")
    models = ", ".join(f"models[{n}].name = {name}" for n, name in enumerate(names, 1))
    ladder = "fallback[0].use = model, fallback[1].use = static"
    assert found[45].evidence == f"{models}, {ladder}"
    assert found[46].evidence == "fallback[1].use = static"
    assert found[30].evidence == "prompt.file = prompts/reply.md: question"
    assert found[99].evidence == "cost.per_day_usd = 2, cost.per_user_per_day_usd = 0.5"


def test_the_rows_of_the_smallest_service(tmp_path: Path) -> None:
    found = {one.row: one for one in graded_remedies(load_text(tmp_path, EIGHT_LINES))}
    to_declare = {12, 13, 14, 31, 45, 46, ROLLOUT, 88, SCOPE}
    to_declare |= {*TOKENS, *VIEWS, *BOUNDS, *PEOPLE, *EVALUATED, *PROMPTS}
    to_declare |= ROUTED | CACHES | MONEY | {104}
    assert {row for row, one in found.items() if one.grade == "declare"} == to_declare
    assert found[31].evidence == "`contract.output` is not declared"
    assert found[99].evidence == "cost.per_day_usd = 20"
    assert found[1] == Graded(1, REMEDIES[0].remedy, "kept", "serve/record.py", "always")


def test_without_bodies_no_request_can_be_asked_again(tmp_path: Path) -> None:
    declared = load_text(tmp_path, EIGHT_LINES + '\n[records]\nbodies = "none"\n')
    found = {one.row: one for one in graded_remedies(declared)}
    assert (found[36].grade, found[36].evidence) == ("declare", "`records.bodies` is not declared")


def test_the_rows_of_a_service_that_is_evaluated(tmp_path: Path) -> None:
    text = (
        EIGHT_LINES
        + """
[evaluation]
suites = ["builtin:attacks/leak"]
max_cost_usd = 1
repeats = 3
[[evaluation.behaviours]]
use = "attacks"
[[evaluation.behaviours]]
use = "typos"
"""
    )
    fairness = "{ attribute = ['sex', 'age'], metric = 'accuracy_difference', at_most = 0.1 }"
    text = f"objectives.fairness = [{fairness}]\n{text}"
    declared = load_text(tmp_path, text)
    found = {one.row: one for one in graded_remedies(declared) if one.row in EVALUATED}
    assert {row: one.evidence for row, one in found.items()} == {
        33: "evaluation.suites = builtin:attacks/leak",
        34: "evaluation.repeats = 3",
        43: "evaluation.suites = builtin:attacks/leak",
        48: "evaluation.suites = builtin:attacks/leak",
        108: "evaluation.suites = builtin:attacks/leak",
        109: "evaluation.behaviours[1].use = typos",
        110: "objectives.fairness[0].metric = accuracy_difference of sex x age",
        111: "evaluation.suites[0] = builtin:attacks/leak, evaluation.behaviours[0].use = attacks",
    }
    assert {one.grade for one in found.values()} == {"kept"}
