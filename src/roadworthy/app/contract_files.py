"""The contracts of sources as their files stand now, read again only when a file changed."""

from __future__ import annotations

from collections.abc import Mapping

from ..data.agreed import SourceContract
from ..declare.schemas import split_table
from .ground import Ground
from .rooms import contracts_of
from .working_tree import Stamp, look


class ContractFiles:
    """Reads the contracts of a project's sources.

    To read one takes tens of milliseconds, to see that no file changed takes microseconds.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._stamp: Stamp = ()
        self._found: Mapping[str, SourceContract] | None = None

    def read(self) -> Mapping[str, SourceContract]:
        """Return the contract of each source; nothing is imported for a project without sources.

        Raises:
            DeclarationError: A contract has problems.
            MissingExtra: What reads them is not installed.
        """
        project = self._ground.declaration
        if not project.sources:
            return {}
        files = [split_table(source.contract)[0] for source in project.sources.values()]
        stamp = tuple(look(project.folder / file) for file in files)
        if self._found is None or self._stamp != stamp:
            self._found = contracts_of(project, project.sources.keys())
            self._stamp = stamp
        return self._found
