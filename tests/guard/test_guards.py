from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from roadworthy.declare.service import GuardEntry
from roadworthy.errors import DeclarationError
from roadworthy.guard.rule import RuleGuard
from roadworthy.guard.slot import Guard, open_guard, run_guards
from roadworthy.testing.guards import check_guard
from roadworthy.types import Call, Caller, Judgement, Key, VerdictName

CASES = Path(__file__).parents[1] / "cases" / "guard"
SECRET = "my card is 4111 1111 1111 1111"


def load_cases(name: str) -> list[Any]:
    lines = (CASES / name).read_text().splitlines()
    return [pytest.param(case, id=case["id"]) for case in map(json.loads, lines)]


def call_of(
    values: dict[str, Any] | None = None,
    user: str = "alice",
    role: str = "",
    team: str = "",
    tags: tuple[str, ...] = (),
) -> Call:
    key = Key("k_1", "test", frozenset({"answer"}), team=team)
    return Call(input=values or {}, caller=Caller(key, user, role, tags=tags), deadline=0.0)


def declare(**keys: Any) -> GuardEntry:
    return GuardEntry.model_validate(keys)


def rule(expression: str, **keys: Any) -> Guard:
    return open_guard(declare(use="rule", expression=expression, **keys), Path())


class Broken:
    """A guard that fails in the way it is told to."""

    name = "broken"
    on: Literal["input", "output"] = "output"

    def __init__(self, fail: Literal["closed", "open"], said: object) -> None:
        self.fail = fail
        self._said = said

    def check(self, call: Call, output: Any) -> tuple[VerdictName, str]:
        if isinstance(self._said, BaseException):
            raise self._said
        return self._said  # type: ignore[return-value] # what a plugin without types may do


@pytest.mark.parametrize("case", load_cases("rule.jsonl"))
def test_rule_case(case: dict[str, Any]) -> None:
    guard = rule(case["expression"], on=case["on"])
    call = call_of(
        case.get("input"),
        case.get("user", "alice"),
        case.get("role", ""),
        case.get("team", ""),
        tuple(case.get("tags", ())),
    )
    verdicts = run_guards([guard], call, case.get("output"), case["on"])
    assert [v.verdict for v in verdicts] == [case["expect"]]
    if case["expect"] != "not_run":
        check_guard(guard, call, case.get("output"))


def test_a_denied_rule_names_the_rule_and_not_the_value() -> None:
    verdict = run_guards([rule("!output.contains('card')")], call_of(), SECRET, "output")[0]
    assert verdict.reason == "`!output.contains('card')` does not hold"
    assert not verdict.is_acceptable


@pytest.mark.parametrize("on", ["input", "output"])
def test_a_schema_guard_denies_what_breaks_its_schema(
    tmp_path: Path, on: Literal["input", "output"]
) -> None:
    schema = {"type": "object", "properties": {"text": {"type": "string", "maxLength": 9}}}
    (tmp_path / "short.json").write_text(json.dumps(schema))
    guard = open_guard(declare(use="schema", schema="short.json", on=on), tmp_path)
    good, bad = {"text": "short"}, {"text": SECRET}
    if on == "input":
        assert check_guard(guard, call_of(good)).verdict == "allow"
        verdict = check_guard(guard, call_of(bad))
    else:
        assert check_guard(guard, call_of(bad), good).verdict == "allow"
        verdict = check_guard(guard, call_of(good), bad)
    assert verdict.verdict == "deny"
    assert verdict.reason.startswith(f"{on}.text: expected <= 9 characters")


def test_all_guards_of_a_side_speak_in_the_order_of_the_file() -> None:
    guards = [
        rule("output == 1", name="first"),
        rule("role == ''", name="elsewhere", on="input"),
        rule("output == 2", name="second"),
    ]
    verdicts = run_guards(guards, call_of(), 2, "output")
    assert [(v.guard, v.verdict) for v in verdicts] == [("first", "deny"), ("second", "allow")]
    assert [v.guard for v in run_guards(guards, call_of(), None, "input")] == ["elsewhere"]


@pytest.mark.parametrize("fail", ["closed", "open"])
@pytest.mark.parametrize(
    "said",
    [
        RuntimeError(SECRET),
        RecursionError(),
        None,
        "allow",
        ("allow",),
        ("allow", None),
        ("ALLOW", ""),
        ("not_run", ""),
        ("redact", "removed a card number"),
    ],
    ids=repr,
)
def test_a_guard_that_gives_no_verdict_did_not_run(
    fail: Literal["closed", "open"], said: object
) -> None:
    (verdict,) = run_guards([Broken(fail, said)], call_of({"text": SECRET}), SECRET, "output")
    assert verdict.verdict == "not_run"
    assert verdict.reason
    assert SECRET not in verdict.reason
    assert Judgement(verdicts=(verdict,)).is_acceptable == (fail == "open")


def test_a_guard_that_raised_is_told_by_the_type_of_its_error_only() -> None:
    (verdict,) = run_guards([Broken("closed", RuntimeError(SECRET))], call_of(), "", "output")
    assert verdict.reason == "it raised RuntimeError"


def test_an_interrupt_is_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt):
        run_guards([Broken("open", KeyboardInterrupt())], call_of(), "", "output")


def test_guards_fail_closed_unless_declared_otherwise() -> None:
    (verdict,) = run_guards([rule("output.missing")], call_of(), {}, "output")
    assert not verdict.is_acceptable
    (verdict,) = run_guards([rule("output.missing", fail="open")], call_of(), {}, "output")
    assert verdict.is_acceptable


def test_verdicts_say_how_long_they_took() -> None:
    (verdict,) = run_guards(
        [rule("input.items.all(i, i >= 0)", on="input")],
        call_of({"items": list(range(20_000))}),
        None,
        "input",
    )
    assert verdict.us > 100


@pytest.mark.parametrize("expression", [None, "output.", "outptu.text == ''"])
def test_a_rule_that_cannot_be_read_is_refused_when_it_is_opened(expression: str | None) -> None:
    entry = declare(use="rule", name="limit", expression=expression)
    with pytest.raises(DeclarationError, match="guard `limit`"):
        open_guard(entry, Path())


def test_an_input_rule_knows_no_output() -> None:
    with pytest.raises(DeclarationError, match="output"):
        rule("output.text == ''", on="input")


@pytest.mark.parametrize("text", [None, "{", '{"type": "objekt"}'])
def test_a_schema_that_cannot_be_read_is_refused_when_it_is_opened(
    tmp_path: Path, text: str | None
) -> None:
    if text is not None:
        (tmp_path / "s.json").write_text(text)
    with pytest.raises(DeclarationError, match="guard `shape`"):
        open_guard(declare(use="schema", name="shape", schema="s.json"), tmp_path)


POLITE = """
class open_it:
    def __init__(self, entry, folder):
        self.name, self.on, self.fail = entry.name, entry.on, entry.fail
    def check(self, call, output):
        return ('allow', '') if 'please' in output else ('deny', 'not polite')
"""


def test_a_guard_of_another_package_enters_by_the_same_door(
    tmp_path: Path, install_plugin: Callable[[str, str, str], None]
) -> None:
    install_plugin("guards", "polite", POLITE)
    guard = open_guard(declare(use="polite"), tmp_path)
    assert guard.name == "polite"
    assert check_guard(guard, call_of(), "please wait").verdict == "allow"
    assert check_guard(guard, call_of(), "wait").verdict == "deny"


def test_a_guard_that_is_gone_is_refused_with_those_there_are() -> None:
    entry = declare(use="rule", expression="true").model_copy(update={"use": "telepathy"})
    with pytest.raises(DeclarationError, match="rule, schema"):
        open_guard(entry, Path())


class Quoting(RuleGuard):
    def check(self, call: Call, output: Any) -> tuple[VerdictName, str]:
        return "deny", f"it says {output}"


class Meddling(RuleGuard):
    def check(self, call: Call, output: Any) -> tuple[VerdictName, str]:
        call.input["seen"] = True
        return "allow", ""


class Fickle(RuleGuard):
    turns: ClassVar[list[VerdictName]] = ["allow", "deny"]

    def check(self, call: Call, output: Any) -> tuple[VerdictName, str]:
        return self.turns.pop(), "so"


class Mute(RuleGuard):
    def check(self, call: Call, output: Any) -> tuple[VerdictName, str]:
        return "deny", ""


class Raising(RuleGuard):
    def check(self, call: Call, output: Any) -> tuple[VerdictName, str]:
        raise OSError(SECRET)


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        (Quoting, "repeats a text"),
        (Meddling, "changed what it looked at"),
        (Fickle, "same verdict twice"),
        (Mute, "expected a reason"),
        (Raising, "it raised OSError"),
    ],
)
def test_the_conformance_check_catches_a_guard_that_misbehaves(
    kind: type[RuleGuard], complaint: str
) -> None:
    guard = kind(declare(use="rule", expression="true"), Path())
    with pytest.raises(AssertionError, match=complaint):
        check_guard(guard, call_of({"text": SECRET}), SECRET)


def test_a_rule_that_is_no_truth_says_what_it_was_instead() -> None:
    (verdict,) = run_guards([rule("output.score")], call_of(), {"score": 41}, "output")
    assert verdict.verdict == "not_run"
    assert verdict.reason == "`output.score`: expected true or false, got an integer"


def test_a_rule_without_a_value_says_why_and_not_of_what() -> None:
    (verdict,) = run_guards([rule("output.text > 3")], call_of(), {"text": SECRET}, "output")
    assert verdict.reason.startswith("`output.text > 3` has no value: types do not fit")
    assert SECRET not in verdict.reason
