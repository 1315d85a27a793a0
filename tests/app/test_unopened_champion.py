"""A champion that cannot be opened stops its own service, says so, and stops no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import write_project
from control_plane import Plane
from roadworthy.app import Project, open_project
from roadworthy.errors import DeclarationError, ServiceStopped, StoreError
from roadworthy.release.gates import held_up_by
from roadworthy.release.registry import Release, champion_id_of, read_release
from roadworthy.types import DAY_US

SERVICE = """
name = "{name}"
kind = "predict"
owners = {{ product = "test" }}
objectives = {{ deadline_ms = {deadline_ms} }}
cost = {{}}
contract = {{ input = "request.schema.json" }}
[[models]]
name = "rule"
provider = "rule"
model = "{{'by': 'rule'}}"
"""
FILES = {
    "services/broken/request.schema.json": '{"required": ["n"]}',
    "services/sound/request.schema.json": "{}",
}
TENSOR = {"inputs": [{"name": "n", "shape": [1], "datatype": "INT64", "data": [1]}]}
CHAT = {"model": "broken", "messages": [{"role": "user", "content": "hello"}]}


def written(folder: Path, deadline_ms: int = 1000) -> Path:
    names = ("broken", "sound")
    services = {name: SERVICE.format(name=name, deadline_ms=deadline_ms) for name in names}
    return write_project(folder, services, FILES)


def artifact_of(project: Project, release: Release) -> Path:
    """Return the kept copy of the request's schema."""
    return project.artifacts.path(release.manifest.files["request.schema.json"])


def damage(path: Path) -> None:
    path.chmod(0o600)
    path.write_text("{}[]")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a project with two champions; a file of `broken` is gone."""
    folder = written(tmp_path / "project")
    with open_project(folder) as project:
        for name in ("broken", "sound"):
            project.promote(project.build_release(name, by="test").id, by="test")
        artifact_of(project, project.build_release("broken", by="test")).unlink()
    return folder


@pytest.fixture
def plane(folder: Path) -> Iterator[Plane]:
    with open_project(folder) as project:
        yield Plane(project)


def test_the_others_are_served(plane: Plane) -> None:
    answer = plane.ask("POST", "/v1/services/sound/answer", {"input": {}})
    assert (answer.status, answer.json["output"]) == (200, {"by": "rule"})


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/services/broken/answer", {"input": {"n": 1}}),
        ("POST", "/v2/models/broken/infer", TENSOR),
        ("POST", "/v1/chat/completions", CHAT),
        ("GET", "/v2/models/broken/ready", None),
        ("GET", "/api/services/broken", None),
    ],
)
def test_its_own_requests_are_refused(
    plane: Plane, method: str, path: str, body: dict[str, object] | None
) -> None:
    answer = plane.ask(method, path, body)
    assert answer.status == 503
    assert "`broken` is stopped: its release `broken@" in answer.body.decode()


def test_the_refusal_is_typed_in_python_too(plane: Plane) -> None:
    with pytest.raises(ServiceStopped):
        plane.project.service("broken").answer({"n": 1})


def test_the_health_names_it_and_says_why(plane: Plane) -> None:
    health = plane.ask("GET", "/healthz", key="").json
    assert health["status"] == "degraded"
    (why,) = health["trouble"].values()
    assert list(health["trouble"]) == ["release of broken"]
    assert "expected an artifact with SHA-256" in why
    assert any("release of broken" in line for line in plane.serving.describe())


def test_an_unknown_service_is_still_not_found(plane: Plane) -> None:
    assert plane.ask("POST", "/v1/services/other/answer", {"input": {}}).status == 404


def test_a_key_for_it_may_be_made(plane: Plane) -> None:
    wanted = {"name": "k", "scopes": ["answer"], "services": ["broken"]}
    assert plane.ask("POST", "/api/keys", wanted).status == 201


def test_another_release_that_is_promoted_takes_over(plane: Plane) -> None:
    written(plane.project.folder, deadline_ms=900)
    built = plane.project.build_release("broken", by="test")  # keeps the schema again
    plane.project.promote(built.id, by="test")
    plane.follow()
    answer = plane.ask("POST", "/v1/services/broken/answer", {"input": {"n": 1}})
    assert (answer.status, answer.json["release"]) == (200, built.id)
    assert plane.ask("GET", "/healthz", key="").json["status"] == "ok"


def test_another_that_does_not_open_either_leaves_it_stopped(plane: Plane) -> None:
    written(plane.project.folder, deadline_ms=900)
    built = plane.project.build_release("broken", by="test")
    plane.project.promote(built.id, by="test")
    artifact_of(plane.project, built).unlink()
    plane.follow()
    answer = plane.ask("POST", "/v1/services/broken/answer", {"input": {"n": 1}})
    assert (answer.status, answer.error["code"]) == (503, "service_stopped")
    assert built.id in answer.error["message"]
    assert plane.ask("POST", "/v1/services/sound/answer", {"input": {}}).status == 200


def test_a_service_that_never_opened_gets_no_champion(tmp_path: Path) -> None:
    folder = written(tmp_path / "project")
    up = '[providers.up]\nkind = "openai"\nbase_url = "https://models.example.org/v1"\n'
    with (folder / "roadworthy.toml").open("a") as file:
        file.write(up)
    service = folder / "services/broken/service.toml"
    text = service.read_text().replace("cost = {}", "cost = { per_day_usd = 1.0 }")
    text = text.replace('provider = "rule"', 'provider = "up"')
    service.write_text(text.replace("\"{'by': 'rule'}\"", '"strange-2025-01-01"'))
    with open_project(folder) as project:
        with pytest.raises(DeclarationError, match="per_request_usd"):
            project.service("sound").answer({})
        assert champion_id_of(project.state, "broken") == ""


@pytest.mark.parametrize("harm", [Path.unlink, damage])
def test_a_release_that_is_not_whole_is_not_promoted(tmp_path: Path, harm: object) -> None:
    folder = written(tmp_path / "project")
    with open_project(folder) as project:
        built = project.build_release("broken", by="test")
        path = artifact_of(project, built)
        assert callable(harm)
        harm(path)
        with pytest.raises(StoreError) as caught:
            project.promote(built.id, by="test")
        assert champion_id_of(project.state, "broken") == ""
    message = str(caught.value)
    assert f"release `{built.id}` is not whole: `request.schema.json`: " in message
    assert "expected" in message
    assert str(path) in message
    assert "build its release again" in message


def test_a_release_that_is_not_whole_is_not_promoted_over_http(plane: Plane) -> None:
    release = champion_id_of(plane.project.state, "broken")
    answer = plane.ask("POST", f"/api/releases/{release}/promote", {})
    assert (answer.status, answer.error["code"]) == (503, "store_unavailable")


def test_another_is_promoted_where_the_champion_was_changed_in_the_store(plane: Plane) -> None:
    project = plane.project
    with project.state.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE releases SET manifest = replace(manifest, 'request.', 'other.') "
            "WHERE service = 'sound'"
        )
    written(project.folder, deadline_ms=900)
    built = project.build_release("sound", by="test")
    assert project.promote(built.id, by="test").id == built.id


def test_the_gates_of_another_are_measured_where_what_the_champion_declares_is_gone(
    plane: Plane,
) -> None:
    project = plane.project
    champion = read_release(project.state, champion_id_of(project.state, "sound"))
    kept = project.artifacts.path(champion.manifest.files["service.toml"])
    written(project.folder, deadline_ms=900)
    built = project.build_release("sound", by="test")
    kept.unlink()
    assert [gate.name for gate in project.gates_of(built.id)][:1] == ["suites"]
    assert project.promote(built.id, by="test").id == built.id


def test_the_pages_of_its_releases_are_there_and_one_goes_back_from_them(plane: Plane) -> None:
    project = plane.project
    broken = champion_id_of(project.state, "broken")
    for path in ("releases", "releases/compare", "rollout", "evaluations"):
        assert plane.ask("GET", f"/api/services/broken/{path}").status == 200
    page = plane.ask("GET", f"/api/releases/{broken}").json
    assert page["gates"]["owners"]["product"] == "test"
    written(project.folder, deadline_ms=900)
    built = project.build_release("broken", by="test")
    project.promote(built.id, by="test")
    artifact_of(project, built).unlink()
    plane.follow()
    project.build_release("broken", by="test")  # keeps the schema again
    back = plane.ask("POST", "/api/services/broken/rollback", {"reason": "it is damaged"})
    assert (back.status, back.json["release"]) == (200, broken)
    plane.follow()
    asked = plane.ask("POST", "/v1/services/broken/answer", {"input": {"n": 1}})
    assert (asked.status, asked.json["release"]) == (200, broken)


def test_what_served_before_serves_where_a_file_of_the_champion_is_damaged(
    tmp_path: Path,
) -> None:
    folder = written(tmp_path / "project")
    with open_project(folder) as project:
        before = project.promote(project.build_release("broken", by="test").id, by="test")
        (folder / "services/broken/request.schema.json").write_text('{"required": []}')
        champion = project.promote(project.build_release("broken", by="test").id, by="test")
        damage(artifact_of(project, champion))
    with open_project(folder) as project:
        plane = Plane(project)
        answer = plane.ask("POST", "/v1/services/broken/answer", {"input": {"n": 1}})
        assert (answer.status, answer.json["release"]) == (200, before.id)
        (why,) = plane.ask("GET", "/healthz", key="").json["trouble"].values()
        assert f"`{champion.id}` could not be opened, `{before.id}`, which served before" in why
        assert "is damaged" in why
        short, should = (one.id.partition("@")[2][:6] for one in (before, champion))
        for path in ("services/broken/releases", f"releases/{champion.id}"):
            says = plane.ask("GET", f"/api/{path}").json["says"]
            assert says == f"{short} serves broken: {should}, which should, cannot be opened."
        project.roll_back("broken", by="test", why="it is damaged")
        plane.follow()
        assert plane.ask("GET", "/healthz", key="").json == {
            "status": "ok",
            "trouble": {},
            "in_flight": 0,
        }


def test_a_high_risk_service_waits_for_its_gates_and_no_other_with_it(tmp_path: Path) -> None:
    folder = written(tmp_path / "project")
    path = folder / "services/broken/service.toml"
    owners = 'owners = { product = "Ada", model = "Bob", platform = "Eve" }\nrisk = "high"'
    path.write_text(path.read_text().replace('owners = { product = "test" }', owners))
    with open_project(folder) as project:
        plane = Plane(project)
        answer = plane.ask("POST", "/v1/services/broken/answer", {"input": {"n": 1}})
        assert answer.error["code"] == "service_stopped"
        assert plane.ask("POST", "/v1/services/sound/answer", {"input": {}}).status == 200
        first = project.build_release("broken", by="test")
        for place, owner in enumerate(("product", "model", "platform")):
            project.approve(first.id, owner=owner, by=f"key:{place}")
        for gate in held_up_by(project.gates_of(first.id), "high"):
            expires_us = project.clock.now_us() + DAY_US
            project.waive(first.id, gate.name, by="t", reason="later", expires_us=expires_us)
        project.promote(first.id, by="test")
        plane.follow()
        answer = plane.ask("POST", "/v1/services/broken/answer", {"input": {"n": 1}})
        assert (answer.status, answer.json["release"]) == (200, first.id)
