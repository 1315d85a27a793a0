"""Releases in other registries: against a real MLflow server, and one that speaks as AWS does."""

from __future__ import annotations

import gc
import hashlib
import io
import json
import os
import tarfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import boto3
import msgspec
import pytest
from mlflow import MlflowClient
from mlflow.utils import request_utils

from roadworthy.app import Project, open_project
from roadworthy.app.bridges import (
    export_to_mlflow,
    export_to_sagemaker,
    import_from_mlflow,
    import_prompt_from_mlflow,
)
from roadworthy.errors import NotFound, RequestError, StoreError
from roadworthy.evaluate.report import Metric, Report
from roadworthy.release.bridges.mlflow import MlflowBridge
from roadworthy.store.actions import list_actions
from roadworthy.store.evaluations import EvaluationHead, put_evaluation
from roadworthy.store.logged_models import read_logged_model
from roadworthy.types import Ids
from servers import free_port, running

pytestmark = [
    pytest.mark.slow,
    # Of libraries that are not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SERVICE = """
name = "reply"
kind = "generate"
owners = { product = "test" }
objectives = { deadline_ms = 1000 }
cost = {}
[chat]
variable = "question"
[prompt]
file = "prompts/reply.md"
[contract]
input = "request.schema.json"
[[models]]
name = "say"
provider = "say"
model = "answers.jsonl"
"""
PROMPT = "# system\nBe brief.\n\n# user\n{{ question }}\n"


@pytest.fixture(scope="module", autouse=True)
def tidied() -> Iterator[None]:
    """Close what the clients leave open, so that no later test is warned of it."""
    yield
    request_utils._cached_get_request_session.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    arguments = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    stores += ["--artifacts-destination", f"file://{folder}/artifacts"]
    url = f"http://127.0.0.1:{port}"
    with running("mlflow", [*arguments, *stores], url, folder / "log"):
        yield url


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "roadworthy.toml").write_text(
        '[project]\nname = "bridged"\n[providers.say]\nkind = "scripted"\n'
    )
    folder = tmp_path / "services" / "reply"
    (folder / "prompts").mkdir(parents=True)
    (folder / "service.toml").write_text(SERVICE)
    (folder / "prompts" / "reply.md").write_text(PROMPT)
    schema = {"type": "object", "properties": {"question": {"type": "string"}}}
    (folder / "request.schema.json").write_text(json.dumps(schema))
    (folder / "answers.jsonl").write_text('{"text": "yes"}\n')
    with open_project(tmp_path) as opened:
        yield opened


def released(project: Project) -> str:
    built = project.build_release("reply", by="test")
    return project.promote(built.id, by="test").id


def evaluated(project: Project, release: str) -> None:
    """Remember an evaluation of a release."""
    report = Report(
        id=Ids(project.clock).new("ev"),
        service="reply",
        release=release,
        at_us=project.clock.now_us(),
        metrics={"exact": Metric(name="exact", value=0.75), "auc": Metric(name="auc")},
    )
    head = EvaluationHead(
        id=report.id,
        service="reply",
        release=release,
        baseline="",
        kind="suite",
        at_us=report.at_us,
        by="test",
        verdict="pass",
    )
    with project.state.begin() as connection:
        put_evaluation(connection, project.clock, head, msgspec.json.encode(report))


def test_a_release_is_a_version_with_its_files_facts_figures_and_aliases(
    server: str, project: Project
) -> None:
    release = released(project)
    evaluated(project, release)
    exported = export_to_mlflow(project, release, server, by="test")
    client = MlflowClient(server, server)
    version = client.get_model_version_by_alias("reply", "champion")
    assert (str(version.version), exported.is_new) == (exported.version, True)
    assert version.tags["roadworthy.release"] == release
    assert version.tags["roadworthy.standing"] == "approved"
    assert client.get_run(exported.run_id).data.metrics["exact"] == 0.75
    names = [file.path for file in client.list_artifacts(exported.run_id, "release")]
    assert {"release/service.toml", "release/prompts"} <= set(names)
    prompt = client.get_prompt_version("reply.reply", exported.prompts["prompts/reply.md"])
    assert prompt is not None
    assert prompt.template == PROMPT
    assert list_actions(project.state, action="release.export", subject=release)


def test_written_again_it_is_the_same_version_and_aliases_follow(
    server: str, project: Project
) -> None:
    first = released(project)
    one = export_to_mlflow(project, first, server, by="test")
    again = export_to_mlflow(project, first, server, by="test")
    assert (again.version, again.is_new) == (one.version, False)
    assert again.prompts == one.prompts
    (project.folder / "services/reply/answers.jsonl").write_text('{"text": "no"}\n')
    second = released(project)
    two = export_to_mlflow(project, second, server, by="test")
    left = export_to_mlflow(project, first, server, by="test")
    client = MlflowClient(server, server)
    assert two.version != one.version
    assert str(client.get_model_version_by_alias("reply", "champion").version) == two.version
    assert "champion" not in left.aliases
    # The prompt is the same text in both releases, so that it is one version.
    assert two.prompts == one.prompts


def test_a_model_of_mlflow_becomes_the_file_that_the_service_names(
    server: str, project: Project
) -> None:
    client = MlflowClient(server, server)
    made = client.create_run(client.create_experiment("training"))
    client.log_metric(made.info.run_id, "auc", 0.76)
    client.log_param(made.info.run_id, "depth", "4")
    folder = project.folder / "made"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "model.jsonl").write_text('{"text": "from mlflow"}\n')
    (folder / "MLmodel").write_text("flavors:\n  other:\n    data: data/model.jsonl\n")
    client.log_artifacts(made.info.run_id, str(folder), "model")
    client.create_registered_model("trees")
    source = f"{made.info.artifact_uri}/model"
    version = client.create_model_version("trees", source, run_id=made.info.run_id)
    client.set_registered_model_alias("trees", "best", str(version.version))
    got = import_from_mlflow(
        project, "reply", server, "trees", "@best", file="answers.jsonl", by="test"
    )
    content = got.file.read_bytes()
    assert b"from mlflow" in content
    logged = read_logged_model(project.state, "reply", hashlib.sha256(content).hexdigest())
    assert logged is not None
    assert logged.name == f"mlflow:trees/{version.version}"
    assert logged.detail["metrics"] == {"auc": 0.76}
    assert logged.detail["parameters"] == {"depth": "4"}
    # Nothing else was left beside it, and a release of it is a new one.
    names = sorted(path.name for path in got.file.parent.iterdir())
    assert names == ["answers.jsonl", "prompts", "request.schema.json", "service.toml"]


def test_a_prompt_of_mlflow_becomes_the_file_that_the_service_names(
    server: str, project: Project
) -> None:
    client = MlflowClient(server, server)
    client.register_prompt("greeting", "# user\nHello {{ question }}\n")
    client.set_prompt_alias("greeting", "good", 1)
    path, found = import_prompt_from_mlflow(
        project, "reply", server, "greeting", "@good", by="test"
    )
    assert path.read_text() == "# user\nHello {{ question }}\n"
    assert found.source == "mlflow:prompts/greeting/1"


def test_what_is_not_there_is_said_and_changes_nothing(server: str, project: Project) -> None:
    file = project.folder / "services/reply/answers.jsonl"
    before = file.read_bytes()
    with pytest.raises(NotFound, match="`unknown` in version `7`"):
        import_from_mlflow(
            project, "reply", server, "unknown", "7", file="answers.jsonl", by="test"
        )
    with pytest.raises(NotFound):
        import_prompt_from_mlflow(project, "reply", server, "unknown", "1", by="test")
    with pytest.raises(RequestError, match="below"):
        import_from_mlflow(project, "reply", server, "x", "1", file="../../x", by="test")
    assert file.read_bytes() == before


def test_a_server_that_is_away_is_said(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    release = released(project)
    with pytest.raises(StoreError, match=r"http://127\.0\.0\.1:9"):
        export_to_mlflow(project, release, "http://127.0.0.1:9", by="test")
    assert not list_actions(project.state, action="release.export", subject=release)


def test_importing_the_bridge_tells_nobody() -> None:
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert MlflowBridge.__module__ == "roadworthy.release.bridges.mlflow"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("aws")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running("moto_server", ["-H", "127.0.0.1", "-p", str(port)], url, folder / "log"):
        yield url


@pytest.fixture
def logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.usefixtures("logged_in")
def test_a_release_is_a_model_package_whose_approval_follows_it(aws: str, project: Project) -> None:
    s3 = boto3.client("s3", region_name="us-east-1", endpoint_url=aws)
    s3.create_bucket(Bucket="models")
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/roadworthy:1"

    def export(release: str) -> str:
        found = export_to_sagemaker(
            project,
            release,
            bucket="models",
            image=image,
            region="us-east-1",
            endpoint=aws,
            by="test",
        )
        return found.approval

    built = project.build_release("reply", by="test").id
    assert export(built) == "PendingManualApproval"
    project.promote(built, by="test")
    assert export(built) == "Approved"
    registry = boto3.client("sagemaker", region_name="us-east-1", endpoint_url=aws)
    packages = registry.list_model_packages(ModelPackageGroupName="reply")
    (summary,) = packages["ModelPackageSummaryList"]
    package = registry.describe_model_package(ModelPackageName=summary["ModelPackageArn"])
    assert package["ModelApprovalStatus"] == "Approved"
    assert package["ModelPackageDescription"] == built
    url = package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
    kept = s3.get_object(Bucket="models", Key=url.removeprefix("s3://models/"))["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(kept)) as archive:
        assert "prompts/reply.md" in archive.getnames()


@pytest.mark.usefixtures("logged_in")
def test_aws_that_refuses_is_said(aws: str, project: Project) -> None:
    (project.folder / "services/reply/answers.jsonl").write_text('{"text": "other"}\n')
    release = released(project)
    with pytest.raises(StoreError, match="NoSuchBucket"):
        export_to_sagemaker(
            project,
            release,
            bucket="nowhere",
            image="image",
            region="us-east-1",
            endpoint=aws,
            by="test",
        )
