from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest
from declare_files import EIGHT_LINES, ENFORCES, load_text, write_project, write_service
from pydantic import ValidationError

from roadworthy.declare.keys import DESCRIPTIVE
from roadworthy.declare.load import load_project, load_service
from roadworthy.errors import DeclarationError

FULL = """\
name = "case"
kind = "generate"
purpose = "Draft the answer to a passenger's question."
risk = "high"
[owners]
product = "Ana"
model = "Ben"
platform = "Cem"
[contract]
input = "request.schema.json"
output = "reply.schema.json"
accepts = ["weather@1.0.0"]
reasks = 0
[features]
views = []
training = "training.json"
[chat]
variable = "question"
history = false
client_system = "untrusted"
allow = ["temperature", "max_tokens"]
[prompt]
file = "prompts/reply.md"
[context]
max_input_tokens = 2000
overflow = "summarise"
summarise_with = "spare"
max_history_tokens = 1000
max_output_tokens = 400
truncated = "continue"
[context.retrieval]
folder = "policies/"
top_k = 2
max_tokens = 500
min_score = 0.5
dedupe = 0.9
choose = "value"
[objectives]
latency_p95_ms = 800
deadline_ms = 2000
availability = 0.999
quality = { scorer = "close", at_least = 0.9 }
[[objectives.fairness]]
attribute = "distance"
metric = "accuracy_difference"
at_most = 0.05
[[objectives.fairness]]
attribute = ["distance", "question"]
metric = "demographic_parity_ratio"
at_least = 0.8
[volume]
requests_per_second = 20
[cost]
per_request_usd = 0.01
per_day_usd = 50
per_user_per_day_usd = 0.25
per_month_usd = 500
per_user_per_month_usd = 2
soft_share = 0.7
on_soft = "cheapest"
on_exhausted = "fallback"
value_per_answer_usd = 0.40
on_loss = "refuse"
egress_usd_per_gb = 0.09
review_usd_per_minute = 0.5
review_minutes = 2
retrain_usd = 10
retrains_per_month = 2
[[models]]
name = "frontier"
provider = "upstream"
model = "gpt-5-2025-08-07"
timeout_ms = 900
max_output_tokens = 300
context_tokens = 128000
weight = 3
[[models]]
name = "second"
provider = "upstream"
model = "gpt-5-mini-2025-08-07"
[[models]]
name = "spare"
provider = "onnx"
model = "model.onnx"
[routing]
strategy = "first"
rules = [{ when = "size(input.question) > 200", use = "frontier" }]
use = "frontier"
min_similarity = 0.5
default = "frontier"
max_error = 0.05
sure = 0.95
of = "routed"
lifetime = true
reference = "frontier"
pairs_share = 0.3
audit_share = 0.1
[[routing.intents]]
name = "refund"
use = "frontier"
examples = ["I want my money back"]
file = "refund.txt"
[failover]
order = "weighted"
retries = 2
retry_share = 0.2
restart_streams = true
[cache]
exact_ttl_s = 3600
scope = "team"
max_entries = 1000
max_mb = 64
stale_for = "2d"
[cache.semantic]
max_error = 0.05
sure = 0.95
of = "all"
lifetime = true
audit_share = 0.1
pairs_share = 0.5
ttl = "1h"
[limits]
requests_per_minute = 600
tokens_per_minute = 100000
per_user_requests_per_minute = 20
per_user_tokens_per_minute = 10000
[[guards]]
use = "rule"
on = "output"
expression = "size(output.text) <= 200"
verdict = "deny"
fail = "open"
[[guards]]
use = "schema"
name = "asked-well"
on = "input"
schema = "request.schema.json"
[[guards]]
use = "grounded"
at_least = 0.8
[[fallback]]
use = "model"
model = "spare"
[[fallback]]
use = "rule"
expression = "{'text': 'We will answer ' + user}"
[[fallback]]
use = "static"
output = { text = "A colleague will answer you by e-mail." }
[[fallback]]
use = "human"
[release]
judge = "canary"
[release.canary]
steps = [0.1, 1.0]
max_regression = 0.03
sure = 0.95
false_alarm = 0.1
min_units = 100
window = "1h"
labels_within = "2d"
[release.shadow]
share = 0.5
per_day_usd = 2
max_regression = 0.01
sure = 0.95
false_alarm = 0.1
min_units = 60
labels_within = "2d"
[outcomes]
unit = "entity"
window = "7d"
matures_after = "12h"
reported = "all"
entity = ["question"]
groups = ["distance"]
right = "output.text == label"
[review]
max_error = 0.05
sure = 0.95
of = "all"
lifetime = true
when = ["size(output.text) > 300"]
out_of_scope = 3.0
queue = "leads"
respond_within = "30m"
capacity_per_day = 200
on_expiry = "refuse"
overflow = "fallback"
audit_share = 0.1
holding = "One moment."
[evaluation]
suites = ["suites/golden.jsonl", "builtin:attacks"]
repeats = 3
slices = ["distance"]
max_regression = 0.01
sure = 0.9
max_flaky = 0.2
max_cost_usd = 2
concurrency = 4
[[evaluation.scorers]]
use = "number"
name = "close"
path = "$.text"
tolerance = 0.1
is_relative = true
options = { number = "last" }
[[evaluation.scorers]]
use = "contains"
ignore_case = true
ignore_space = true
[[evaluation.scorers]]
use = "schema"
schema = "reply.schema.json"
[[evaluation.scorers]]
use = "sql"
database = "suites/orders.sqlite"
[[evaluation.scorers]]
use = "judge"
model = "upstream/gpt-5-2025-08-07"
rubric = "It answers the question, and only that."
labels = "suites/labels.jsonl"
at_least = 0.7
[[evaluation.scorers]]
use = "latency"
at_most = 900
[[evaluation.behaviours]]
use = "directional"
name = "farther"
fields = ["distance"]
by = 0.1
is_relative = true
direction = "up"
output = "$.minutes"
tolerance = 0.5
at_most = 0.1
cases = 50
[[evaluation.behaviours]]
use = "swap"
replace = { Anna = "Ahmed" }
[[evaluation.behaviours]]
use = "attacks"
must_not = "(?i)as an ai"
[records]
bodies = "none"
keep_days = 30
"""


def problems_of(folder: Path, text: str) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        load_text(folder, text)
    return [str(problem) for problem in caught.value.problems]


def test_the_smallest_service_is_eight_lines(tmp_path: Path) -> None:
    service = load_text(tmp_path, EIGHT_LINES)
    assert len(EIGHT_LINES.splitlines()) == 8
    assert service.chat is None
    assert service.cost.per_day_micro == 20_000_000
    assert service.cost.per_request_micro is None
    assert service.models[0].name == "gpt-5-2025-08-07"
    assert service.owners.platform == "Ana"
    assert service.files == ()


def test_a_full_service_loads_as_written(tmp_path: Path) -> None:
    service = load_text(tmp_path, FULL)
    assert service.cost.per_request_micro == 10_000
    assert service.cost.per_user_per_day_micro == 250_000
    assert str(service.value_per_answer_usd) == "0.4"
    assert service.objectives.availability == 0.999
    assert service.chat is not None
    assert service.chat.allow == ("temperature", "max_tokens")
    assert service.guards[1].schema_file == "request.schema.json"
    assert service.fallback[2].output == {"text": "A colleague will answer you by e-mail."}
    assert service.folder == tmp_path / "services" / "case"


def test_a_model_that_a_rung_names_is_kept_for_the_ladder(tmp_path: Path) -> None:
    service = load_text(tmp_path, FULL)
    assert [entry.name for entry in service.chain] == ["frontier", "second"]
    assert service.model_named("spare").model == "model.onnx"
    with pytest.raises(KeyError):
        service.model_named("nothing")


def test_every_file_a_service_names_is_listed_once(tmp_path: Path) -> None:
    service = load_text(tmp_path, FULL)
    assert service.files == (
        "model.onnx",
        "policies/refunds.md",
        "prompts/reply.md",
        "reply.schema.json",
        "request.schema.json",
        "training.json",
    )


def test_money_is_exact_in_micro_dollars(tmp_path: Path) -> None:
    text = EIGHT_LINES.replace("per_day_usd = 20", "per_day_usd = 0.000001")
    assert load_text(tmp_path, text).cost.per_day_micro == 1
    text = EIGHT_LINES.replace("per_day_usd = 20", "per_day_usd = 1234567.654321")
    assert load_text(tmp_path, text).cost.per_day_micro == 1_234_567_654_321


def test_values_are_frozen(tmp_path: Path) -> None:
    service = load_text(tmp_path, EIGHT_LINES)
    with pytest.raises(ValidationError):
        service.name = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        service.cost.on_exhausted = "fallback"  # type: ignore[misc]


@pytest.mark.parametrize("key", sorted(ENFORCES.keys() - DESCRIPTIVE))
def test_a_key_that_no_room_enforces_is_refused(key: str, tmp_path: Path) -> None:
    enforces = {name: where for name, where in ENFORCES.items() if name != key}
    project = write_project(tmp_path)
    folder = write_service(tmp_path, FULL)
    given = _given(tomllib.loads(FULL), key.split("."))
    assert given, "the full service holds every key"
    with pytest.raises(DeclarationError) as caught:
        load_service(folder, project, enforces)
    refused = [p for p in caught.value.problems if "not enforced yet" in p.got]
    assert [re.sub(r"\[\d+\]", "", p.path) for p in refused] == [key] * given
    assert all(problem.advice == "remove it" for problem in refused)


def _given(data: object, parts: list[str]) -> int:
    if not parts:
        return 1
    if isinstance(data, list):
        return sum(_given(item, parts) for item in data)
    return _given(data[parts[0]], parts[1:]) if isinstance(data, dict) and parts[0] in data else 0


def test_descriptive_keys_need_no_enforcer(tmp_path: Path) -> None:
    enforces = {name: where for name, where in ENFORCES.items() if name not in DESCRIPTIVE}
    project = write_project(tmp_path)
    assert load_service(write_service(tmp_path, FULL), project, enforces).purpose


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ('purpos = "x"', "did you mean `purpose`?"),
        ("deadline_ms = 3", "did you mean `objectives.deadline_ms`?"),
        ("max_token = 3", "did you mean `context.retrieval.max_tokens`?"),
        ("objectives.latency_ms = 3", "did you mean `latency_p95_ms`?"),
        ("cost.value_usd = 3", "did you mean `value_per_answer_usd`?"),
        ("records.xyzzy = 3", "known here: bodies, keep_days"),
    ],
)
def test_an_unknown_key_gets_the_nearest_known_one(line: str, advice: str, tmp_path: Path) -> None:
    assert problems_of(tmp_path, f"{line}\n{EIGHT_LINES}")[0].endswith(f"toml:1; {advice}")


def test_the_message_holds_one_problem_a_line_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = EIGHT_LINES.replace("30000", "-1").replace("20", "-2") + "timeout_ms = 0\nx = 1\n"
    with pytest.raises(DeclarationError) as caught:
        load_text(tmp_path, text)
    lines = str(caught.value).splitlines()
    assert lines[0] == (
        "objectives.deadline_ms: expected > 0, got -1 - services/case/service.toml:4"
    )
    files = [problem.file for problem in caught.value.problems]
    assert files == [f"services/case/service.toml:{line}" for line in (4, 5, 9, 10)]
    assert [str(problem) for problem in caught.value.problems] == lines


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    secret = "sk-proj-0123456789abcdefghij"
    text = EIGHT_LINES.replace('"case"', f'"{secret}"') + f'api_key = "{secret}"\n'
    project = f'[project]\nname = "{secret}"\nkey = "{secret}"\n'
    assert secret not in "\n".join(problems_of(tmp_path, text))
    with pytest.raises(DeclarationError) as caught:
        write_project(tmp_path, project)
    assert secret not in str(caught.value)


def test_a_link_out_of_the_project_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    project = write_project(tmp_path / "project")
    text = EIGHT_LINES.replace("[[models]]", 'contract.input = "link.json"\n[[models]]')
    folder = write_service(tmp_path / "project", text)
    (folder / "link.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(DeclarationError, match="link out of the project"):
        load_service(folder, project, ENFORCES)
    (folder / "link.json").unlink()
    (folder / "link.json").symlink_to("link.json")
    with pytest.raises(DeclarationError, match=r"cannot be followed|does not exist"):
        load_service(folder, project, ENFORCES)


def test_a_link_within_the_project_shares_a_file(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    (tmp_path / "shared.json").write_text("{}")
    text = EIGHT_LINES.replace("[[models]]", 'contract.input = "link.json"\n[[models]]')
    folder = write_service(tmp_path, text)
    (folder / "link.json").symlink_to(tmp_path / "shared.json")
    assert load_service(folder, project, ENFORCES).files == ("link.json",)


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    text = EIGHT_LINES.replace("[[models]]", 'contract.input = "pipe"\n[[models]]')
    folder = write_service(tmp_path, text)
    os.mkfifo(folder / "pipe")
    with pytest.raises(DeclarationError, match="expected a file"):
        load_service(folder, project, ENFORCES)


def test_a_copy_outside_services_may_have_any_folder_name(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    folder = write_service(tmp_path / "elsewhere", FULL, name="rl_1")
    assert load_service(folder, project, ENFORCES).name == "case"


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"expected a TOML file, got none.*roadworthy init"):
        load_project(tmp_path)
    project = write_project(tmp_path)
    with pytest.raises(DeclarationError, match=r"services/none/service\.toml"):
        load_service(tmp_path / "services" / "none", project, ENFORCES)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b'name = "\xff"', "bytes that are not UTF-8"),
        (b"x = " + b"[" * 5000, "one that nests too deeply"),
        (b"name = 1\nname = 2", "a syntax error (cannot overwrite a value)"),
        (b"\x00", "a syntax error"),
    ],
)
def test_what_is_no_toml_is_one_problem(content: bytes, got: str, tmp_path: Path) -> None:
    (tmp_path / "roadworthy.toml").write_bytes(content)
    with pytest.raises(DeclarationError) as caught:
        load_project(tmp_path)
    assert caught.value.problems[0].got.startswith(got)


def test_a_folder_in_place_of_the_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "roadworthy.toml").mkdir()
    with pytest.raises(DeclarationError, match="cannot be read"):
        load_project(tmp_path)


def test_a_file_from_windows_loads(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    folder = write_service(tmp_path, "")
    text = EIGHT_LINES.replace("\n", "\r\n") + "x = 1\r\n"
    (folder / "service.toml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    with pytest.raises(DeclarationError) as caught:
        load_service(folder, project, ENFORCES)
    assert [problem.file for problem in caught.value.problems] == ["services/case/service.toml:9"]
