"""What the command line and the page of a comparison tell of prompts."""

from __future__ import annotations

from pathlib import Path

from command_line import edit, run

from conftest import write_project
from roadworthy import open_project
from roadworthy.app.comparisons import compare_releases
from roadworthy.web.differences_shown import changes_of

SERVICE = """
name = "reply"
kind = "generate"
owners = { product = "test" }
objectives = { deadline_ms = 5000 }
cost = {}
[chat]
variable = "question"
[prompt]
file = "reply.md"
[[models]]
provider = "scripted"
model = "answers.jsonl"
"""
PROMPT = """+++
[settings]
temperature = 0.2
+++
# system
Answer passengers in one sentence.
# user
{{ question }}
"""


def test_a_changed_prompt_is_shown_with_its_version_text_and_settings(tmp_path: Path) -> None:
    files = {"services/reply/reply.md": PROMPT, "services/reply/answers.jsonl": '{"text": "Yes."}'}
    folder = write_project(tmp_path / "project", {"reply": SERVICE}, files)
    with open_project(folder) as project:
        a = project.build_release("reply", by="test").id
        prompt = folder / "services/reply/reply.md"
        edit(prompt, "one sentence", "two sentences")
        edit(prompt, "= 0.2", "= 0.7")
        b = project.build_release("reply", by="test")
        found = compare_releases(project.state, project.artifacts, a, b.id)
    version = b.manifest.prompt_version

    shown = run("release", "compare", a, b.id, "--project", folder).out
    assert f"prompt reply.md: {found.prompts[0].a} to {version}" in shown
    assert "+Answer passengers in two sentences." in shown
    assert "temperature" in shown
    told = run("release", "compare", a, b.id, "--project", folder, "--json").json["prompts"]
    assert told[0]["values"] == [{"kind": "setting", "name": "temperature", "a": 0.2, "b": 0.7}]
    assert f"prompt {version} (reply.md)" in run("release", "show", b.id, "--project", folder).out

    changes = {one.part: one for one in changes_of(found, b.manifest, b.manifest)}
    lines = [line.text for line in changes["reply.md, the same in each call"].lines]
    assert "+Answer passengers in two sentences." in lines
    setting = changes["setting temperature of reply.md"]
    assert (setting.before, setting.after) == ("0.2", "0.7")
    assert changes["version of reply.md"].after == version
