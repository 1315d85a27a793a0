"""The bridge to the SageMaker Model Registry: groups, versions and their approval.

It needs the extra `[sagemaker]`. A service is a model package group, a release a package in it: its
files are one archive in S3, its approval follows what became of the release.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from ...errors import StoreError
from ...store.artifacts import Artifacts
from .shown import Shown, Standing

APPROVAL: dict[Standing, str] = {
    "pending": "PendingManualApproval",
    "approved": "Approved",
    "rejected": "Rejected",
}
MOST_OF_A_VALUE = 256


class ExportedPackage(msgspec.Struct, frozen=True):
    """What stands for a release in SageMaker.

    Attributes:
        arn: Of its model package.
        approval: As SageMaker calls it.
        is_new: Whether it was not there before.
    """

    group: str
    version: int
    arn: str
    approval: str
    archive: str
    is_new: bool


class SageMakerBridge:
    """Speaks to the Model Registry of one AWS account and region, with boto3's own log-in.

    Args:
        bucket: The S3 bucket that keeps the archives.
        region: Of both; None takes boto3's default.
        endpoint: Of a server that speaks AWS's protocol; None is AWS.
    """

    def __init__(self, bucket: str, region: str | None = None, endpoint: str | None = None) -> None:
        self._bucket = bucket
        session: Any = boto3.session.Session(region_name=region)
        with _speaking():
            self._registry = session.client("sagemaker", endpoint_url=endpoint)
            self._s3 = session.client("s3", endpoint_url=endpoint)

    def export(self, shown: Shown, artifacts: Artifacts, image: str) -> ExportedPackage:
        """Write a release there, or bring its approval up to date; it is never twice there.

        Args:
            shown: The release.
            artifacts: Have its files.
            image: The container image that serves it, in ECR.

        Raises:
            StoreError: AWS refuses or cannot be reached.
        """
        with _speaking():
            self._ensure_group(shown.service)
            found = self._package_of(shown)
            arn = found or self._create(shown, artifacts, image)
            package = self._registry.describe_model_package(ModelPackageName=arn)
            approval = APPROVAL[shown.standing]
            if package.get("ModelApprovalStatus") != approval:
                self._registry.update_model_package(
                    ModelPackageArn=arn, ModelApprovalStatus=approval
                )
        return ExportedPackage(
            shown.service,
            package["ModelPackageVersion"],
            arn,
            approval,
            f"s3://{self._bucket}/{_key_of(shown)}",
            found is None,
        )

    def _ensure_group(self, service: str) -> None:
        try:
            self._registry.describe_model_package_group(ModelPackageGroupName=service)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("ValidationException", "ResourceNotFound"):
                raise
            self._registry.create_model_package_group(
                ModelPackageGroupName=service,
                ModelPackageGroupDescription=f"Releases of the Roadworthy service {service}.",
            )

    def _package_of(self, shown: Shown) -> str:
        """Return the ARN of the package that stands for a release; empty where none does."""
        pages = self._registry.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=shown.service
        )
        for page in pages:
            for summary in page["ModelPackageSummaryList"]:
                if summary.get("ModelPackageDescription") == shown.release:
                    arn: str = summary["ModelPackageArn"]
                    return arn
        return ""

    def _create(self, shown: Shown, artifacts: Artifacts, image: str) -> str:
        key = _key_of(shown)
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=archive_of(shown, artifacts))
        facts = {k: v[:MOST_OF_A_VALUE] for k, v in shown.facts.items()}
        facts |= {f"metric.{k}": f"{v:.6g}" for k, v in shown.metrics.items()}
        made = self._registry.create_model_package(
            ModelPackageGroupName=shown.service,
            ModelPackageDescription=shown.release,
            ModelApprovalStatus=APPROVAL["pending"],
            InferenceSpecification={
                "Containers": [{"Image": image, "ModelDataUrl": f"s3://{self._bucket}/{key}"}],
                "SupportedContentTypes": ["application/json"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            CustomerMetadataProperties=facts,
        )
        arn: str = made["ModelPackageArn"]
        return arn


def archive_of(shown: Shown, artifacts: Artifacts) -> bytes:
    """Return a release's files as a tar.gz: the same release gives the same bytes."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=6) as archive:
        for name, digest in sorted(shown.files.items()):
            content = artifacts.read(digest)
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    packed = bytearray(raw.getvalue())
    packed[4:8] = bytes(4)  # gzip's time of writing
    return bytes(packed)


def _key_of(shown: Shown) -> str:
    return f"roadworthy/{shown.service}/{shown.release.partition('@')[2]}.tar.gz"


@contextmanager
def _speaking() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        told = error.response.get("Error", {})
        raise StoreError(
            f"AWS refused {error.operation_name}: {told.get('Code', 'unknown')}: "
            f"{told.get('Message', ''):.200}"
        ) from error
    except BotoCoreError as error:
        raise StoreError(
            f"expected AWS to answer, got {type(error).__name__}: {error}; check region, log-in "
            "and network"
        ) from error
