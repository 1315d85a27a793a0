"""Releases in other registries, and models from them: MLflow and SageMaker."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..declare.service import ServiceDeclaration
from ..errors import MissingExtra, RequestError, StoreError
from ..evaluate.report import Report
from ..plugins import load_plugin
from ..release import registry
from ..release.bridges.shown import Shown, shown_of
from ..store.actions import append_action
from ..store.artifacts import digest_of
from ..store.evaluations import newest_evaluation
from ..store.logged_models import LoggedModel, put_logged_model
from .ground import Ground

if TYPE_CHECKING:
    from ..release.bridges.mlflow import ExportedVersion, ImportedModel, ImportedPrompt
    from ..release.bridges.mlflow import MlflowBridge as Mlflow
    from ..release.bridges.sagemaker import ExportedPackage, SageMakerBridge

FILE_KINDS = frozenset({"llama_cpp", "onnx"})
"""Providers whose models are files of the service."""


def export_to_mlflow(ground: Ground, release_id: str, uri: str, *, by: str) -> ExportedVersion:
    """Write a release to an MLflow server, or bring what stands for it there up to date.

    Raises:
        MissingExtra: `[mlflow]` is not installed.
        NotFound: There is no such release.
        StoreError: The server refuses, or a file of the release is gone.
    """
    exported: ExportedVersion = _mlflow(uri).export(_shown(ground, release_id), ground.artifacts)
    _note(ground, by, release_id, {"to": "mlflow", "version": exported.version})
    return exported


def export_to_sagemaker(
    ground: Ground,
    release_id: str,
    *,
    bucket: str,
    image: str,
    region: str | None,
    endpoint: str | None,
    by: str,
) -> ExportedPackage:
    """Write a release to the SageMaker Model Registry, or bring its approval up to date.

    Raises:
        MissingExtra: `[sagemaker]` is not installed.
        NotFound: There is no such release.
        StoreError: AWS refuses, or a file of the release is gone.
    """
    if find_spec("boto3") is None:
        raise MissingExtra("sagemaker", "the bridge to SageMaker")
    bridge: SageMakerBridge = load_plugin("bridges", "sagemaker")(bucket, region, endpoint)
    exported = bridge.export(_shown(ground, release_id), ground.artifacts, image)
    detail = {"to": "sagemaker", "version": exported.version, "approval": exported.approval}
    _note(ground, by, release_id, detail)
    return exported


def import_from_mlflow(
    ground: Ground, service: str, uri: str, model: str, version: str, *, file: str = "", by: str
) -> ImportedModel:
    """Put the file of a registered model where the service names it, and remember where it is from.

    Args:
        ground: The project.
        service: Whose model it becomes; its file need not be there yet.
        uri: Of the MLflow server.
        model: The registered model.
        version: Its number, or `@` and an alias.
        file: Which file of the service's folder it is; by default its only model that is a file.
        by: Who does it.

    Raises:
        MissingExtra: `[mlflow]` is not installed.
        NotFound: There is no such service or version.
        RequestError: It is not plain which file it becomes.
        StoreError: The server refuses, or the file cannot be written.
    """
    declared = ground.load(service, parts=("name",))
    target = declared.folder / (file or _only_file(declared, ground))
    if not target.resolve().is_relative_to(declared.folder.resolve()):
        raise RequestError(f"expected a file below {declared.folder}, got `{file:.80}`")
    imported: ImportedModel = _mlflow(uri).import_model(model, version, target)
    _remember(ground, service, imported, by)
    return imported


def import_prompt_from_mlflow(
    ground: Ground, service: str, uri: str, prompt: str, version: str, *, by: str
) -> tuple[Path, ImportedPrompt]:
    """Write a registered prompt into the file that the service names as its prompt.

    Raises:
        MissingExtra: `[mlflow]` is not installed.
        NotFound: There is no such service or prompt.
        RequestError: The service names no prompt file.
        StoreError: The server refuses, or the file cannot be written.
    """
    declared = ground.load(service, parts=("name", "prompt"))
    if declared.prompt is None:
        raise RequestError(f"expected `prompt.file` in the service file of `{service}`, got none")
    found: ImportedPrompt = _mlflow(uri).import_prompt(prompt, version)
    target = declared.folder / declared.prompt.file
    try:
        target.write_text(found.text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror}") from error
    detail = {"service": service, "from": found.source}
    append_action(ground.state, ground.clock, by, "release.import", declared.prompt.file, detail)
    return target, found


def _mlflow(uri: str) -> Mlflow:
    if find_spec("mlflow") is None:
        raise MissingExtra("mlflow", "the bridge to MLflow")
    bridge: Mlflow = load_plugin("bridges", "mlflow")(uri)
    return bridge


def _shown(ground: Ground, release_id: str) -> Shown:
    release = registry.read_release(ground.state, release_id)
    return shown_of(release, ground.state, ground.artifacts, _metrics_of(ground, release_id))


def _metrics_of(ground: Ground, release_id: str) -> dict[str, float]:
    """Return the figures of a release's newest evaluation; none where it was not evaluated."""
    evaluated = newest_evaluation(ground.state, release_id)
    if evaluated is None:
        return {}
    report = msgspec.json.decode(evaluated.report, type=Report)
    return {n: m.value for n, m in report.metrics.items() if m.value is not None}


def _note(ground: Ground, by: str, release_id: str, detail: dict[str, Any]) -> None:
    append_action(ground.state, ground.clock, by, "release.export", release_id, detail)


def _only_file(declared: ServiceDeclaration, ground: Ground) -> str:
    kinds = {name: provider.kind for name, provider in ground.declaration.providers.items()}
    files = [e.model for e in declared.models if kinds.get(e.provider) in FILE_KINDS]
    if len(files) == 1:
        return files[0]
    got = ", ".join(f"`{name}`" for name in files) or "none"
    raise RequestError(
        f"expected one model of `{declared.name}` that is a file, got {got}; name it"
    )


def _remember(ground: Ground, service: str, imported: ImportedModel, by: str) -> None:
    digest = digest_of(imported.file)
    detail = {k: v for k, v in msgspec.to_builtins(_facts(imported)).items() if v}
    with ground.state.begin() as connection:
        append_action(
            connection,
            ground.clock,
            by,
            "release.import",
            imported.file.name,
            {"service": service, "from": imported.source, "digest": digest},
        )
        put_logged_model(
            connection,
            LoggedModel(
                digest=digest,
                service=service,
                name=imported.source,
                at_us=ground.clock.now_us(),
                by=by,
                detail=detail,
            ),
        )


def _facts(imported: ImportedModel) -> dict[str, Any]:
    return {
        "source": imported.source,
        "run": imported.run_id,
        "metrics": imported.metrics,
        "parameters": imported.parameters,
        "tags": imported.tags,
        "aliases": imported.aliases,
    }
