from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from roadworthy.errors import NotFound, StoreError
from roadworthy.store.artifacts import Artifacts, digest_of

CONTENT = b"a model" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path / "artifacts")


def damage(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def files_of(artifacts: Artifacts) -> list[str]:
    return [
        str(p.relative_to(artifacts.folder)) for p in artifacts.folder.rglob("*") if p.is_file()
    ]


def test_bytes_are_kept_under_the_digest_of_their_content(artifacts: Artifacts) -> None:
    assert artifacts.put(CONTENT) == DIGEST
    assert files_of(artifacts) == [f"{DIGEST[:2]}/{DIGEST[2:]}"]
    assert artifacts.read(DIGEST) == CONTENT


def test_a_file_is_kept_like_its_bytes_and_once(artifacts: Artifacts, tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(CONTENT)
    assert artifacts.put(source) == artifacts.put(CONTENT) == digest_of(source)
    assert len(files_of(artifacts)) == 1
    source.write_bytes(b"other")
    assert artifacts.read(DIGEST) == CONTENT


def test_what_is_kept_is_read_only(artifacts: Artifacts) -> None:
    mode = artifacts.path(artifacts.put(CONTENT)).stat().st_mode
    assert stat.S_IMODE(mode) == 0o444


def test_an_empty_file_is_kept(artifacts: Artifacts) -> None:
    assert artifacts.read(artifacts.put(b"")) == b""


@pytest.mark.parametrize("use", [Artifacts.path, Artifacts.read])
def test_a_damaged_file_is_refused(artifacts: Artifacts, use: Callable[..., object]) -> None:
    damage(artifacts.path(artifacts.put(CONTENT)), CONTENT[:-1])
    with pytest.raises(StoreError, match="is damaged: expected content"):
        use(artifacts, DIGEST)


def test_a_damaged_file_is_not_linked(artifacts: Artifacts, tmp_path: Path) -> None:
    damage(artifacts.path(artifacts.put(CONTENT)), CONTENT[:-1])
    with pytest.raises(StoreError, match="is damaged"):
        artifacts.link(DIGEST, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_putting_the_content_again_heals_a_damaged_file(artifacts: Artifacts) -> None:
    damage(artifacts.path(artifacts.put(CONTENT)), b"")
    artifacts.put(CONTENT)
    assert artifacts.read(DIGEST) == CONTENT


def test_an_unknown_digest_is_not_found(artifacts: Artifacts) -> None:
    with pytest.raises(NotFound, match="build its release again"):
        artifacts.path(DIGEST)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", DIGEST.upper(), DIGEST + "0"])
def test_what_is_no_digest_leads_nowhere(artifacts: Artifacts, digest: str) -> None:
    artifacts.put(CONTENT)
    with pytest.raises(NotFound, match="64 hex digits"):
        artifacts.path(digest)


def test_a_link_is_the_same_file_and_takes_no_more_room(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    target = tmp_path / "release" / "models" / "m.onnx"
    artifacts.link(artifacts.put(CONTENT), target)
    assert target.samefile(artifacts.path(DIGEST))


def test_a_link_replaces_what_was_there_and_may_be_made_again(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    target = tmp_path / "m.onnx"
    target.write_bytes(b"old")
    artifacts.put(CONTENT)
    for _ in range(2):
        artifacts.link(DIGEST, target)
        assert target.read_bytes() == CONTENT
    assert sorted(p.name for p in tmp_path.iterdir()) == ["artifacts", "m.onnx"]


def test_where_links_are_impossible_a_read_only_copy_is_made(
    artifacts: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "m.onnx"
    artifacts.link(artifacts.put(CONTENT), target)
    assert target.read_bytes() == CONTENT
    assert not target.samefile(artifacts.path(DIGEST))
    assert stat.S_IMODE(target.stat().st_mode) == 0o444


def test_a_put_that_fails_leaves_nothing_behind(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"No space left.*check its permissions"):
        artifacts.put(CONTENT)
    assert files_of(artifacts) == []


def test_a_file_that_is_not_there_is_no_fault_of_the_store(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        artifacts.put(tmp_path / "none")
