"""How commands name releases: by their id, or by its end where the service is named beside it."""

from __future__ import annotations

from ..app import Project
from ..errors import NotFound
from ..release import registry
from ..release.registry import Release


def champion_id(project: Project, service: str) -> str:
    """Return the id of what serves, or an empty string."""
    return registry.champion_id_of(project.state, service)


def release_of(project: Project, service: str, release_id: str) -> Release:
    """Return a release of `service`; its id may be given without the service's name.

    Raises:
        NotFound: There is no such release of this service, or none is named.
    """
    if not release_id:
        raise NotFound(
            f"no release of `{service}` serves yet; `roadworthy release build {service}` makes one"
        )
    whole = release_id if "@" in release_id else f"{service}@{release_id}"
    found = registry.read_release(project.state, whole)
    if found.service != service:
        raise NotFound(
            f"expected a release of `{service}`, got `{found.id}`; "
            f"`roadworthy release list {service}` shows those there are"
        )
    return found
