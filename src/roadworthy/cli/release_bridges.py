"""`roadworthy release export` and `import`: other registries."""

from __future__ import annotations

from pathlib import Path

import click

from ..app import open_project
from ..app.bridges import (
    export_to_mlflow,
    export_to_sagemaker,
    import_from_mlflow,
    import_prompt_from_mlflow,
)
from ..errors import NotFound, RequestError
from ..release import registry
from .common import acting, command, json_option, print_json, print_line, project_option

uri_option = click.option(
    "--uri", envvar="MLFLOW_TRACKING_URI", help="The MLflow server; or MLFLOW_TRACKING_URI."
)


@click.command("export")
@click.argument("service")
@click.argument("release_id", metavar="[RELEASE]", default="")
@click.option("--to", type=click.Choice(["mlflow", "sagemaker"]), required=True, help="Where to.")
@uri_option
@click.option("--bucket", default="", help="SageMaker: the S3 bucket that keeps the files.")
@click.option("--image", default="", help="SageMaker: the container image that serves them.")
@click.option("--region", default=None, help="SageMaker: the region; else AWS's default.")
@click.option("--endpoint", default=None, help="SageMaker: another server of AWS's protocol.")
@project_option
@json_option
@command
def export_command(
    service: str,
    release_id: str,
    to: str,
    uri: str | None,
    bucket: str,
    image: str,
    region: str | None,
    endpoint: str | None,
    folder: Path,
    as_json: bool,
) -> None:
    """Write a release of SERVICE, by default the one that serves, to another registry.

    Written again, its aliases and its approval are brought up to date.
    """
    with open_project(folder) as project:
        project.check_declared(service)
        chosen = release_id or registry.champion_id_of(project.state, service)
        if not chosen:
            raise NotFound(f"no release of `{service}` serves yet; name one")
        whole = chosen if "@" in chosen else f"{service}@{chosen}"
        if to == "mlflow":
            version = export_to_mlflow(project, whole, _uri(uri), by=acting())
            found: object = version
            said = f"`{whole}` is version {version.version} of `{version.name}` at {uri}"
        else:
            if not (bucket and image):
                raise RequestError("expected `--bucket` and `--image` beside `--to sagemaker`")
            package = export_to_sagemaker(
                project,
                whole,
                bucket=bucket,
                image=image,
                region=region,
                endpoint=endpoint,
                by=acting(),
            )
            found = package
            said = f"`{whole}` is {package.arn}, {package.approval}"
    if as_json:
        print_json(found)
    else:
        print_line(said)


@click.command("import")
@click.argument("service")
@click.option("--from", "origin", type=click.Choice(["mlflow"]), required=True, help="Where from.")
@uri_option
@click.option("--model", default="", help="The registered model.")
@click.option("--prompt", default="", help="The registered prompt, in place of a model.")
@click.option("--version", required=True, help="Its number, or `@` and an alias.")
@click.option("--file", default="", help="Which file of the service it becomes.")
@project_option
@json_option
@command
def import_command(
    service: str,
    origin: str,
    uri: str | None,
    model: str,
    prompt: str,
    version: str,
    file: str,
    folder: Path,
    as_json: bool,
) -> None:
    """Take a model's file, or a prompt, from another registry into the folder of SERVICE.

    The file is copied and never loaded; where it is from is shown with each release of it.
    """
    if bool(model) == bool(prompt):
        raise RequestError("expected `--model` or `--prompt`, one of them")
    with open_project(folder) as project:
        if model:
            got = import_from_mlflow(
                project, service, _uri(uri), model, version, file=file, by=acting()
            )
            path, source = got.file, got.source
        else:
            path, text = import_prompt_from_mlflow(
                project, service, _uri(uri), prompt, version, by=acting()
            )
            source = text.source
    if as_json:
        print_json({"service": service, "file": str(path), "source": source})
    else:
        print_line(f"{path} is {source}; `roadworthy release build {service}` releases it")


def _uri(uri: str | None) -> str:
    if not uri:
        raise RequestError("expected `--uri` or MLFLOW_TRACKING_URI, got neither")
    return uri
