from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine

from roadworthy.declare.keys import known_keys
from roadworthy.declare.load import load_project, load_service
from roadworthy.declare.project import ProjectDeclaration
from roadworthy.declare.service import ServiceDeclaration
from roadworthy.errors import DeclarationError, NotFound, StoreError
from roadworthy.release import bundle
from roadworthy.release.bundle import (
    as_released,
    build_release,
    describe,
    differences,
    materialise,
)
from roadworthy.release.environment import Commit, describe_environment
from roadworthy.release.registry import Release, list_releases
from roadworthy.store.actions import list_actions
from roadworthy.store.artifacts import Artifacts
from roadworthy.store.state import open_state
from roadworthy.types import SettableClock

CLOCK = SettableClock()
ENFORCES = dict.fromkeys(known_keys(ServiceDeclaration), "tests")
PROJECT = """
[project]
name = "airline"
[providers.files]
kind = "onnx"
[providers.upstream]
kind = "openai"
base_url = "https://api.openai.com/v1"
api_key_env = "OPENAI_API_KEY"
[providers.here]
kind = "openai"
base_url = "http://127.0.0.1:8080/v1"
[providers.code]
kind = "python"
"""
SERVICE = """
name = "delay"
kind = "predict"
[owners]
product = "ada"
[contract]
input = "schemas/input.json"
[objectives]
deadline_ms = 500
[cost]
per_day_usd = 1
[[models]]
name = "main"
provider = "files"
model = "model.onnx"
"""


class Ground:
    """A small project on disk, with its store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.service_folder = folder / "services" / "delay"
        (self.service_folder / "schemas").mkdir(parents=True)
        (folder / "roadworthy.toml").write_text(PROJECT)
        self.write("service.toml", SERVICE)
        self.write("schemas/input.json", '{"type": "object"}')
        self.write("model.onnx", "weights")
        self.artifacts = Artifacts(folder / ".roadworthy" / "artifacts")
        self.engine: Engine = open_state(f"sqlite:///{folder}/.roadworthy/state.db")

    def write(self, name: str, text: str) -> None:
        (self.service_folder / name).write_text(text)

    def add_provider(self, kind: str, keys: str) -> None:
        text = f'{PROJECT}[providers.{kind}]\nkind = "{kind}"\n{keys}\n'
        (self.folder / "roadworthy.toml").write_text(text)

    def declare(self, provider: str, model: str) -> None:
        text = SERVICE.replace('"files"', f'"{provider}"').replace("model.onnx", model)
        self.write("service.toml", text)

    @property
    def project(self) -> ProjectDeclaration:
        return load_project(self.folder)

    @property
    def service(self) -> ServiceDeclaration:
        return load_service(self.service_folder, self.project, ENFORCES)

    def build(self, by: str = "ada") -> Release:
        parts = (self.service, self.project, self.artifacts, self.engine, CLOCK)
        return build_release(*parts, by)

    def lay_out(self, release: Release) -> Path:
        return materialise(release, self.artifacts, self.folder / ".roadworthy" / "releases")

    def differences(self, release: Release) -> list[str]:
        return [str(d) for d in differences(release, self.service, self.project)]


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    ground = Ground(tmp_path / "airline")
    yield ground
    ground.engine.dispose()


def test_a_release_names_its_service_and_12_hex_digits(ground: Ground) -> None:
    service, _, digits = ground.build().id.partition("@")
    assert service == "delay"
    assert len(digits) == 12
    int(digits, 16)


def test_building_the_same_content_again_gives_the_release_that_is_there(ground: Ground) -> None:
    first = ground.build(by="ada")
    assert ground.build(by="bob") == first
    assert list_releases(ground.engine) == [first]
    assert [a.by for a in list_actions(ground.engine, action="release.build")] == ["ada"]


def test_the_same_files_elsewhere_are_the_same_release(ground: Ground, tmp_path: Path) -> None:
    other = Ground(tmp_path / "copy" / "airline")
    assert other.build().id == ground.build().id
    other.engine.dispose()


def test_a_release_keeps_what_it_is_made_of(ground: Ground) -> None:
    manifest = ground.build().manifest
    assert sorted(manifest.files) == ["model.onnx", "schemas/input.json", "service.toml"]
    assert manifest.declaration_hash == ground.service.hash
    (model,) = manifest.models
    assert (model.name, model.provider, model.kind) == ("main", "files", "onnx")
    assert (model.pin, model.digest) == ("digest", manifest.files["model.onnx"])
    assert manifest.environment == describe_environment()
    for digest in manifest.files.values():
        ground.artifacts.path(digest)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("model.onnx", "weightt"),
        ("schemas/input.json", '{"type": "object" }'),
        ("service.toml", SERVICE.replace("500", "501")),
    ],
)
def test_a_changed_byte_is_another_release(ground: Ground, name: str, text: str) -> None:
    before = ground.build()
    ground.write(name, text)
    after = ground.build()
    assert after.id != before.id
    assert len(list_releases(ground.engine)) == 2
    assert ground.differences(before) == [f"{name} changed"]
    assert ground.differences(after) == []


def test_what_only_an_evaluation_reads_is_no_part_of_a_release(ground: Ground) -> None:
    ground.write("rules.py", "def answer(input):\n    return {}\n")
    ground.write("golden.jsonl", '{"id": "a", "input": {}}\n')
    ground.write("labels.jsonl", "")
    asked = """[evaluation]
suites = ["golden.jsonl"]
[[evaluation.scorers]]
use = "human"
labels = "labels.jsonl"
"""
    text = SERVICE.replace('"files"', '"code"').replace("model.onnx", "rules:answer")
    ground.write("service.toml", text + asked)
    release = ground.build()
    assert set(release.manifest.files) == {
        "service.toml",
        "rules.py",
        "schemas/input.json",
        "model.onnx",
    }
    ground.write("golden.jsonl", '{"id": "b", "input": {}}\n')
    assert ground.build().id == release.id
    folder = ground.lay_out(release)
    assert not (folder / "golden.jsonl").exists()
    assert load_service(folder, ground.project, ENFORCES).evaluation.suites == ("golden.jsonl",)


def test_a_comment_in_the_service_file_is_no_other_release(ground: Ground) -> None:
    before = ground.build()
    ground.write("service.toml", f"# says nothing new\n{SERVICE}")
    assert ground.build() == before
    assert ground.differences(before) == []


def test_another_commit_with_the_same_files_is_the_same_release(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ground.build()
    monkeypatch.setattr(bundle, "read_commit", lambda _: Commit("0" * 40, is_dirty=True))
    assert ground.build() == before


@pytest.mark.parametrize(("package", "is_same"), [("onnxruntime", False), ("pytest", True)])
def test_another_version_of_what_computes_answers_is_another_release(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, package: str, is_same: bool
) -> None:
    before = ground.build()
    now = describe_environment()
    other = msgspec.structs.replace(now, packages=now.packages | {package: "0.0.1"})
    monkeypatch.setattr(bundle, "describe_environment", lambda: other)
    assert (ground.build() == before) is is_same
    changes = [] if is_same else [f"package {package} changed"]
    assert ground.differences(before) == changes


def test_another_address_of_a_provider_is_another_release(ground: Ground) -> None:
    ground.declare("upstream", "gpt-5-2025-08-07")
    before = ground.build()
    moved = PROJECT.replace("api.openai.com", "gateway.example.com")
    (ground.folder / "roadworthy.toml").write_text(moved)
    assert ground.build().id != before.id
    assert ground.differences(before) == ["provider upstream changed"]


def test_providers_a_service_does_not_use_do_not_count(ground: Ground) -> None:
    before = ground.build()
    moved = PROJECT.replace("api.openai.com", "gateway.example.com")
    (ground.folder / "roadworthy.toml").write_text(moved)
    assert ground.differences(before) == []


def test_no_key_and_no_price_is_part_of_a_release(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-something-secret")
    ground.declare("upstream", "gpt-5-2025-08-07")
    before = ground.build()
    assert "sk-something-secret" not in str(before)
    dearer = '[providers.upstream.prices."gpt-5-2025-08-07"]\n'
    dearer += "input_usd_per_million = 2\noutput_usd_per_million = 10\n"
    (ground.folder / "roadworthy.toml").write_text(
        PROJECT.replace("OPENAI_API_KEY", "OTHER_KEY") + dearer
    )
    assert ground.build() == before


def test_all_files_of_a_services_folder_belong_to_a_python_model(ground: Ground) -> None:
    ground.declare("code", "answers:predict")
    for folder in ("lib", ".venv", "__pycache__"):
        (ground.service_folder / folder).mkdir()
    ground.write("answers.py", "from lib.half import half")
    ground.write("lib/half.py", "def half(x): return x / 2")
    ground.write(".venv/skipped.py", "")
    ground.write("__pycache__/answers.pyc", "")
    ground.write("weights.bin", "0.5")
    release = ground.build()
    assert set(release.manifest.files) == {
        "answers.py",
        "lib/half.py",
        "model.onnx",
        "schemas/input.json",
        "service.toml",
        "weights.bin",
    }
    assert release.manifest.models[0].pin == "files"
    assert release.manifest.packages.keys() > {"python", "pytest"}
    ground.write("lib/half.py", "def half(x): return x / 3")
    ground.write("lib/new.py", "")
    (ground.service_folder / "answers.py").rename(ground.service_folder / "answers2.py")
    ground.declare("code", "answers2:predict")
    assert ground.differences(release) == [
        "answers.py removed",
        "answers2.py added",
        "lib/half.py changed",
        "lib/new.py added",
        "service.toml changed",
    ]


def test_a_plugin_may_use_any_file_and_any_package(
    ground: Ground, install_plugin: Callable[[str, str, str], None]
) -> None:
    install_plugin("models", "shout", "")
    ground.add_provider("shout", "")
    ground.declare("shout", "loud")
    manifest = ground.build().manifest
    assert sorted(manifest.files) == ["model.onnx", "schemas/input.json", "service.toml"]
    assert manifest.models[0].pin == "files"
    assert manifest.packages.keys() > {"python", "pytest", "shout-plugin"}


def test_a_guard_of_a_plugin_may_use_any_file_and_any_package(
    ground: Ground, install_plugin: Callable[[str, str, str], None]
) -> None:
    install_plugin("guards", "onnx", "")
    ground.write("words.txt", "please")
    ground.write("service.toml", SERVICE + '[[guards]]\nuse = "onnx"\n')
    manifest = ground.build().manifest
    assert "words.txt" in manifest.files
    assert manifest.models[0].pin == "digest"
    assert manifest.packages.keys() > {"python", "pytest", "onnx-plugin"}


def test_a_plugin_that_speaks_to_somebody_elses_host_names_a_version(
    ground: Ground, install_plugin: Callable[[str, str, str], None]
) -> None:
    install_plugin("models", "shout", "")
    ground.add_provider("shout", 'base_url = "https://api.example.com"')
    ground.declare("shout", "loud")
    with pytest.raises(DeclarationError, match="a name with a date or version"):
        ground.build()
    ground.declare("shout", "loud-2025-08-07")
    assert ground.build().manifest.models[0].pin == "name"


def test_a_floating_alias_of_a_remote_provider_is_refused_with_what_to_do(ground: Ground) -> None:
    ground.declare("upstream", "gpt-5")
    more = '[[models]]\nname = "{0}"\nprovider = "{1}"\nmodel = "{0}"\n'
    text = (ground.service_folder / "service.toml").read_text()
    text += more.format("gpt-4o-2024-11-20", "upstream") + more.format("chatgpt-latest", "upstream")
    ground.write("service.toml", text)
    with pytest.raises(DeclarationError) as refused:
        ground.build()
    assert [p.path for p in refused.value.problems] == ["models[0].model", "models[2].model"]
    assert refused.value.problems[0].file == "services/delay/service.toml"
    assert "`gpt-5`" in str(refused.value)
    assert "name the version you tested" in str(refused.value)
    assert list_releases(ground.engine) == []


def test_the_teams_own_upstream_may_name_its_model_as_it_likes(ground: Ground) -> None:
    ground.declare("here", "llama3:latest")
    (model,) = ground.build().manifest.models
    assert (model.model, model.pin, model.digest) == ("llama3:latest", "host", "")


def test_a_pinned_name_of_a_remote_provider_is_kept_as_such(ground: Ground) -> None:
    ground.declare("upstream", "gpt-5-2025-08-07")
    (model,) = ground.build().manifest.models
    assert (model.model, model.pin) == ("gpt-5-2025-08-07", "name")


def test_a_file_that_changes_while_it_is_released_makes_no_release(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = ground.artifacts.put

    def change_first(content: Path | bytes) -> str:
        ground.write("model.onnx", "trained again")
        return put(content)

    monkeypatch.setattr(ground.artifacts, "put", change_first)
    with pytest.raises(StoreError, match="changed while it was released"):
        ground.build()
    assert list_releases(ground.engine) == []


def test_a_release_is_laid_out_as_its_service_folder_was(ground: Ground) -> None:
    release = ground.build()
    folder = ground.lay_out(release)
    assert folder == ground.folder / ".roadworthy" / "releases" / release.id / "delay"
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert files == set(release.manifest.files)
    served = load_service(folder, ground.project, ENFORCES)
    assert served.hash == release.manifest.declaration_hash
    assert stat.S_IMODE((folder / "model.onnx").stat().st_mode) == 0o444


def test_what_is_laid_out_does_not_follow_the_working_files(ground: Ground) -> None:
    release = ground.build()
    ground.write("model.onnx", "other weights")
    assert (ground.lay_out(release) / "model.onnx").read_text() == "weights"


def test_laying_out_again_repairs_and_clears_the_folder(ground: Ground, tmp_path: Path) -> None:
    release = ground.build()
    folder = ground.lay_out(release)
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").write_text("tampered")
    (folder / "schemas" / "input.json").unlink()
    (folder / "injected.py").write_text("raise SystemExit")
    (folder / "elsewhere").symlink_to(tmp_path)
    ground.lay_out(release)
    assert (folder / "model.onnx").read_text() == "weights"
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}
    assert files == set(release.manifest.files)
    assert tmp_path.exists()


def test_a_file_changed_in_place_is_refused_until_it_is_built_again(ground: Ground) -> None:
    release = ground.build()
    model = ground.lay_out(release) / "model.onnx"
    model.chmod(0o644)
    model.write_text("tampered")
    with pytest.raises(StoreError, match="is damaged"):
        ground.lay_out(release)
    assert ground.build() == release
    assert (ground.lay_out(release) / "model.onnx").read_text() == "weights"


def test_a_release_whose_artifact_is_gone_is_not_laid_out(ground: Ground) -> None:
    release = ground.build()
    ground.artifacts.path(release.manifest.files["model.onnx"]).unlink()
    with pytest.raises(NotFound, match="build its release again"):
        ground.lay_out(release)


def test_a_manifest_that_leads_out_of_its_folder_is_refused(ground: Ground) -> None:
    release = ground.build()
    files = {"../../../outside": release.manifest.files["model.onnx"]}
    evil = msgspec.structs.replace(
        release, manifest=msgspec.structs.replace(release.manifest, files=files)
    )
    with pytest.raises(StoreError, match="outside its own folder"):
        ground.lay_out(evil)
    assert not (ground.folder / ".roadworthy" / "outside").exists()


def test_a_release_answers_from_where_it_was_built_for(ground: Ground) -> None:
    ground.declare("upstream", "gpt-5-2025-08-07")
    release = ground.build()
    moved = PROJECT.replace("api.openai.com", "gateway.example.com")
    (ground.folder / "roadworthy.toml").write_text(moved.replace("OPENAI_API_KEY", "NEW_KEY"))
    served = as_released(ground.project, release)
    assert served.providers["upstream"].base_url == "https://api.openai.com/v1"
    assert served.providers["upstream"].api_key_env == "NEW_KEY"
    assert served.providers["here"] == ground.project.providers["here"]
    assert served.folder == ground.project.folder


def test_a_release_whose_provider_is_no_longer_declared_is_refused(ground: Ground) -> None:
    release = ground.build()
    (ground.folder / "roadworthy.toml").write_text('[project]\nname = "airline"\n')
    with pytest.raises(DeclarationError, match=r"providers\.files.*declare it again"):
        as_released(ground.project, release)


def test_describing_writes_nothing(ground: Ground) -> None:
    describe(ground.service, ground.project)
    assert not ground.artifacts.folder.exists()
    assert list_releases(ground.engine) == []


def test_the_manifest_is_stored_as_canonical_json(ground: Ground) -> None:
    ground.build()
    with ground.engine.connect() as connection:
        text = connection.exec_driver_sql("SELECT manifest FROM releases").scalar_one()
    assert text == json.dumps(
        json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


def test_a_release_says_what_its_model_learned_from(ground: Ground) -> None:
    assert ground.build().manifest.training is None
    said = {"id": "ts_1", "views": {}, "contracts": {}, "rows": 3, "row_hash": "00"}
    ground.write("training.json", json.dumps({"out": "x.parquet", "snapshot": said}))
    ground.write("service.toml", f'{SERVICE}[features]\ntraining = "training.json"\n')
    release = ground.build()
    assert release.manifest.training is not None
    assert (release.manifest.training.id, release.manifest.training.rows) == ("ts_1", 3)
    assert "training.json" in release.manifest.files
    assert list_releases(ground.engine)[0].manifest.training == release.manifest.training
    ground.write("training.json", json.dumps({"snapshot": said | {"id": "ts_2"}}))
    assert ground.differences(release) == ["training.json changed"]
