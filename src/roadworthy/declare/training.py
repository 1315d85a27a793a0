"""The training set that a service's model learned from, as the service names it in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec


class Training(msgspec.Struct, frozen=True):
    """What a model learned from.

    Attributes:
        id: Of the snapshot: the same rows of the same views have the same id.
        views: Version of each view that its features are from → the hash of what it means.
        contracts: Source → the contract version that it was held to.
        rows: How many there were.
        row_hash: SHA-256 of the rows, in order.
    """

    id: str
    views: Mapping[str, str]
    contracts: Mapping[str, str]
    rows: int
    row_hash: str


class _File(msgspec.Struct):
    snapshot: Training


_decode = msgspec.json.Decoder(_File).decode


def read_training(path: Path) -> Training:
    """Return the training set in a file as `roadworthy features history --save --json` prints it.

    Raises:
        OSError: The file cannot be read.
        msgspec.DecodeError: It holds something else; the message says where.
    """
    return _decode(path.read_bytes()).snapshot
