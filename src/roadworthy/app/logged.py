"""`log_model`: how training code hands a model over, with what it learned from and how well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import NotFound, RequestError
from ..release.environment import read_commit
from ..release.registry import commit_text
from ..store.actions import append_action
from ..store.artifacts import Artifacts
from ..store.data_versions import read_snapshot, read_views
from ..store.logged_models import LoggedModel, put_logged_model
from .ground import Ground
from .project import open_project


def log_model(
    service: str,
    file: str | Path,
    *,
    project: str | Path = ".",
    name: str = "",
    snapshot: str | None = None,
    views: Sequence[str] = (),
    metrics: Mapping[str, float] | None = None,
    parameters: Mapping[str, Any] | None = None,
    notes: str = "",
    put_as: str = "",
    by: str = "python",
) -> LoggedModel:
    """Keep a model's file and what is known of it, and return what was written down.

    A server of the project may run at the same time. The release that pins this very file shows
    what was said here, and so does the lineage of every answer that it gives.

    Args:
        service: For which service it was trained.
        file: The model.
        project: The project's folder.
        name: What it is called; by default the file's name.
        snapshot: Id of the training set, as `roadworthy features history --save` gave it.
        views: Versions of the feature views that it was trained on, like `route_history@2`.
        metrics: How well it did, by name.
        parameters: How it was trained, as JSON values.
        notes: What else a reader must know.
        put_as: Path below the service's folder where the file is put, too, in one step; by default
            the folder is not touched.
        by: Who logs it, for the chain of actions.

    Raises:
        NotFound: There is no such project, service, file, training set or version of a view.
        RequestError: `put_as` lies outside of the service's folder.
        StoreError: The store cannot be written.
    """
    with open_project(project) as ground:
        return keep_model(
            ground,
            service,
            Path(file),
            name=name,
            put_as=put_as,
            by=by,
            detail={
                "source": "training",
                "snapshot": _known_snapshot(ground, snapshot),
                "views": _known_views(ground, views),
                "metrics": dict(metrics or {}),
                "parameters": dict(parameters or {}),
                "notes": notes,
                "commit": commit_text(read_commit(ground.folder)),
            },
        )


def keep_model(
    ground: Ground,
    service: str,
    file: Path,
    *,
    detail: Mapping[str, Any],
    name: str = "",
    put_as: str = "",
    by: str,
) -> LoggedModel:
    """Keep a model's file and what is known of it; `log_model` says how.

    Raises:
        NotFound: There is no such service or file.
        RequestError: `put_as` lies outside of the service's folder.
        StoreError: The store cannot be written.
    """
    ground.check_declared(service)
    target = _place(ground.folder / "services" / service, put_as) if put_as else None
    if not file.is_file():
        raise NotFound(f"expected a model's file, got none - {file}")
    digest = ground.artifacts.put(file)
    known = {key: value for key, value in detail.items() if value not in (None, "", {}, [])}
    logged = LoggedModel(
        digest=digest,
        service=service,
        name=name or file.name,
        at_us=ground.clock.now_us(),
        by=by,
        detail={"bytes": file.stat().st_size, **known},
    )
    with ground.state.begin() as connection:
        facts = {"service": service, "digest": digest, "snapshot": known.get("snapshot", "")}
        append_action(connection, ground.clock, by, "model.log", logged.name, facts)
        put_logged_model(connection, logged)
    if target is not None:
        _put(ground.artifacts, digest, target)
    return logged


def _known_snapshot(ground: Ground, snapshot: str | None) -> str:
    return read_snapshot(ground.state, snapshot).id if snapshot else ""


def _known_views(ground: Ground, views: Sequence[str]) -> list[str]:
    """Return versions of views that there are.

    Raises:
        NotFound: One is not registered.
    """
    for view in views:
        named, _, version = view.partition("@")
        found = [f"{named}@{known.version}" for known in read_views(ground.state, named)]
        if f"{named}@{version}" not in found:
            known = ", ".join(f"`{one}`" for one in found) or "none"
            raise NotFound(
                f"expected a version of a feature view that is registered ({known}), got "
                f"`{view:.80}`; `roadworthy features apply` registers them"
            )
    return list(views)


def _place(folder: Path, put_as: str) -> Path:
    target = folder / put_as
    if not target.resolve().is_relative_to(folder.resolve()) or target.resolve() == folder:
        raise RequestError(
            f"put_as: expected a path below {folder}, got `{put_as:.80}`", param="put_as"
        )
    return target


def _put(artifacts: Artifacts, digest: str, target: Path) -> None:
    """Write a copy of its own, in one step: whoever edits it must not edit what is kept."""
    Artifacts(target.parent).keep_named(target.name, artifacts.read(digest))
