"""The bridge to an MLflow server: versions, aliases, prompts and metrics, both ways.

It needs the extra `[mlflow]`. Files are copied and never loaded: a pickled model stays a file. How
to log in is MLflow's own business (`MLFLOW_TRACKING_TOKEN` and the like).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import msgspec
import yaml
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from requests.exceptions import RequestException

from ...errors import NotFound, RequestError, StoreError
from ...store.artifacts import Artifacts
from .shown import ALIASES, Shown

RELEASE_TAG = "roadworthy.release"
FOLDER = "release"
"""Below which a run's artifacts hold the files of the service's folder."""
MOST_OF_A_TAG = 4_000


class ExportedVersion(msgspec.Struct, frozen=True):
    """What stands for a release in MLflow.

    Attributes:
        is_new: Whether it was not there before.
        prompts: Prompt → its version there.
    """

    name: str
    version: str
    run_id: str
    is_new: bool
    aliases: tuple[str, ...]
    prompts: dict[str, str]


class ImportedModel(msgspec.Struct, frozen=True):
    """A version of a registered model, copied to this machine.

    Attributes:
        file: The model's file, where it was put.
        source: `mlflow:<name>/<version>`.
        metrics, parameters: Of the run that made it.
        aliases: Of this version.
    """

    file: Path
    source: str
    run_id: str
    metrics: dict[str, float]
    parameters: dict[str, str]
    tags: dict[str, str]
    aliases: tuple[str, ...]


class ImportedPrompt(msgspec.Struct, frozen=True):
    """A version of a registered prompt."""

    text: str
    source: str


class MlflowBridge:
    """Speaks to one MLflow server.

    Args:
        uri: Of its tracking server, which is the registry's too.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)

    def export(self, shown: Shown, artifacts: Artifacts) -> ExportedVersion:
        """Write a release there, or bring what stands for it up to date; it is never twice there.

        Raises:
            StoreError: The server refuses or cannot be reached.
        """
        with self._speaking():
            found = self._version_of(shown)
            version = found or self._create(shown, artifacts)
            self._move_aliases(shown, version.version)
            for name, value in shown.metrics.items():
                self._client.log_metric(version.run_id or "", _name_of(name), value)
            self._client.set_model_version_tag(
                shown.service, version.version, "roadworthy.standing", shown.standing
            )
            prompts = {name: self._export_prompt(shown, name, artifacts) for name in shown.prompts}
        return ExportedVersion(
            shown.service,
            str(version.version),
            version.run_id or "",
            found is None,
            shown.aliases,
            prompts,
        )

    def import_model(self, name: str, version: str, to: Path) -> ImportedModel:
        """Copy the file of a registered model's version to `to`, replacing what was there.

        Args:
            name: Of the registered model.
            version: Its number, or `@` and an alias.
            to: Where the file is put; its ending says which kind of file is looked for.

        Raises:
            NotFound: There is no such version, or it holds no such file.
            RequestError: It holds several.
            StoreError: The server refuses or cannot be reached.
        """
        with self._speaking(f"`{name}` in version `{version}`"):
            found = self._read_version(name, version)
            run = self._client.get_run(found.run_id) if found.run_id else None
            with tempfile.TemporaryDirectory() as folder:
                uri = self._client.get_model_version_download_uri(name, found.version)
                got = mlflow.artifacts.download_artifacts(
                    artifact_uri=uri, dst_path=folder, tracking_uri=self._uri
                )
                _put(_model_file(Path(got), to.suffix), to)
        data = None if run is None else run.data
        return ImportedModel(
            to,
            f"mlflow:{name}/{found.version}",
            found.run_id or "",
            {} if data is None else {k: float(v) for k, v in data.metrics.items()},
            {} if data is None else dict(data.params),
            dict(found.tags),
            tuple(sorted(found.aliases)),
        )

    def import_prompt(self, name: str, version: str) -> ImportedPrompt:
        """Return a prompt's text; `version` is a number, or `@` and an alias.

        Raises:
            NotFound: There is no such prompt.
            RequestError: It is a list of messages, and no text.
            StoreError: The server refuses or cannot be reached.
        """
        with self._speaking(f"the prompt `{name}` in version `{version}`"):
            if version.startswith("@"):
                found = self._client.get_prompt_version_by_alias(name, version[1:])
            else:
                found = self._client.get_prompt_version(name, version)
        if found is None:
            raise NotFound(f"no prompt `{name}` in version `{version}` at {self._uri}")
        if not isinstance(found.template, str):
            raise RequestError(
                f"expected the prompt `{name}` to be a text, got a list of messages; keep one text "
                "with blocks `# system` and `# user` there"
            )
        return ImportedPrompt(found.template, f"mlflow:prompts/{name}/{found.version}")

    def _version_of(self, shown: Shown) -> ModelVersion | None:
        query = f"name = '{shown.service}' and tags.`{RELEASE_TAG}` = '{shown.release}'"
        found = self._client.search_model_versions(query, max_results=1)
        return found[0] if found else None

    def _create(self, shown: Shown, artifacts: Artifacts) -> ModelVersion:
        client, tags = self._client, {k: v[:MOST_OF_A_TAG] for k, v in shown.facts.items()}
        experiment = _experiment_of(client, f"roadworthy/{shown.service}")
        run = client.create_run(experiment, tags=tags, run_name=shown.release)
        with tempfile.TemporaryDirectory() as folder:
            for name, digest in shown.files.items():
                artifacts.link(digest, Path(folder) / name)
            client.log_artifacts(run.info.run_id, folder, FOLDER)
        client.set_terminated(run.info.run_id)
        if not client.search_registered_models(f"name = '{shown.service}'"):
            client.create_registered_model(shown.service)
        source = f"{run.info.artifact_uri}/{FOLDER}"
        return client.create_model_version(
            shown.service, source, run_id=run.info.run_id, tags=tags, description=shown.release
        )

    def _move_aliases(self, shown: Shown, version: str) -> None:
        """Let the aliases point where they point here; one that is elsewhere now is taken away."""
        there = self._client.get_registered_model(shown.service).aliases
        for alias in ALIASES:
            if alias in shown.aliases:
                self._client.set_registered_model_alias(shown.service, alias, str(version))
            elif str(there.get(alias, "")) == str(version):
                self._client.delete_registered_model_alias(shown.service, alias)

    def _export_prompt(self, shown: Shown, file: str, artifacts: Artifacts) -> str:
        """Register a prompt, unless its newest version there is the same text."""
        client = self._client
        name = f"{shown.service}.{Path(file).stem}"
        text = artifacts.read(shown.files[file]).decode()
        found = client.search_prompts(f"name = '{name}'", max_results=1)
        newest = client.search_prompt_versions(name, max_results=1) if found else []
        if newest and newest[0].template == text:
            return str(newest[0].version)
        made = client.register_prompt(
            name, text, commit_message=shown.release, tags={RELEASE_TAG: shown.release}
        )
        return str(made.version)

    def _read_version(self, name: str, version: str) -> ModelVersion:
        if version.startswith("@"):
            return self._client.get_model_version_by_alias(name, version[1:])
        return self._client.get_model_version(name, version)

    @contextmanager
    def _speaking(self, of: str = "") -> Iterator[None]:
        try:
            yield
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE") and of:
                raise NotFound(
                    f"expected {of} at {self._uri}, got none; look for it on its page"
                ) from error
            first = str(error).partition("\n")[0]
            raise StoreError(f"the MLflow server at {self._uri} refused: {first:.200}") from error
        except (RequestException, OSError) as error:
            raise StoreError(
                f"expected an MLflow server at {self._uri}, got {type(error).__name__}; is it "
                "running, and does it take this machine's log-in?"
            ) from error


def _experiment_of(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    made: str = client.create_experiment(name) if found is None else found.experiment_id
    return made


def _name_of(metric: str) -> str:
    """Return a metric's name in the letters that MLflow takes."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in metric)


def _model_file(folder: Path, suffix: str) -> Path:
    """Return the model's file in a version's folder: what its `MLmodel` names, or the only one."""
    described = folder / "MLmodel" if folder.is_dir() else Path()
    if described.is_file():
        flavors: Mapping[str, Any] = yaml.safe_load(described.read_text()).get("flavors", {})
        names = [f.get("data") for f in flavors.values() if isinstance(f, dict)]
        named = [folder / n for n in names if isinstance(n, str) and n.endswith(suffix)]
        if len(named) == 1:
            return _within(folder, named[0])
    if folder.is_file():
        return folder
    found = sorted(path for path in folder.rglob(f"*{suffix}") if path.is_file())
    if len(found) == 1:
        return _within(folder, found[0])
    names_there = ", ".join(p.name for p in sorted(folder.rglob("*")) if p.is_file()) or "nothing"
    if not found:
        raise NotFound(f"expected a file `*{suffix}` in the version, got {names_there:.300}")
    raise RequestError(f"expected one file `*{suffix}` in the version, got {len(found)}")


def _within(folder: Path, path: Path) -> Path:
    if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        raise NotFound(f"expected the model's file in its version, got `{path.name:.80}` outside")
    return path


def _put(source: Path, to: Path) -> None:
    """Copy a file beside `to` and move it there in one step."""
    beside = to.with_name(f".{to.name}.new")
    try:
        beside.write_bytes(source.read_bytes())
        beside.replace(to)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise StoreError(f"cannot write {to}: {error.strerror or type(error).__name__}") from error
