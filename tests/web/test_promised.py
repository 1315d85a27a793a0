"""A request is drawn against what its own release promised, whatever serves today."""

from __future__ import annotations

from pathlib import Path

from visitor import Visitor

from control_plane import Plane
from roadworthy.store.artifacts import Artifacts

GONE = "the files of its release are gone"


def change(plane: Plane, before: str, after: str) -> None:
    """Release `risk` again with another text in its file, and let that serve."""
    file = Path(plane.project.folder) / "services/risk/service.toml"
    file.write_text(file.read_text().replace(before, after))
    built = plane.project.build_release("risk", by="test")
    plane.project.promote(built.id, by="test")
    plane.follow()


def service_file_of(plane: Plane, id: str) -> Path:
    """Return where the service file of a request's release is kept."""
    release = plane.get(f"/api/requests/{id}/lineage")["release"]
    declared = plane.project.declaration
    artifacts = Artifacts(declared.folder / declared.store.artifacts)
    return artifacts.path(release["manifest"]["files"]["service.toml"])


def test_an_old_request_keeps_the_lines_of_its_own_release(plane: Plane) -> None:
    old = plane.answer("risk", {"wind": 1.0}).request_id
    change(
        plane, "deadline_ms = 1000\nlatency_p95_ms = 500", "deadline_ms = 90\nlatency_p95_ms = 40"
    )
    new = plane.answer("risk", {"wind": 1.0}).request_id
    stories = [plane.get(f"/api/requests/{id}")["story"] for id in (old, new)]
    assert [(s["objective_ms"], s["deadline_ms"]) for s in stories] == [(500, 1000), (40, 90)]
    shown = Visitor(plane, plane.secret).see(f"/requests/{old}")
    assert "of 1,000 ms" in shown.words
    assert GONE not in shown.words


def test_a_request_whose_release_is_gone_says_so_and_draws_no_line(plane: Plane) -> None:
    id = plane.answer("risk", {"wind": 1.0}).request_id
    change(plane, "deadline_ms = 1000", "deadline_ms = 900")
    kept = service_file_of(plane, id)
    text = kept.read_bytes()
    visitor = Visitor(plane, plane.secret)
    for damage in (b"", b"deadline", text + b"\n# changed"):
        kept.chmod(0o644)
        kept.write_bytes(damage)
        shown = visitor.see(f"/requests/{id}")
        assert shown.status == 200
        assert GONE in shown.words
        assert not shown.having("line", **{"class": "ddl"})
    kept.unlink()
    assert GONE in visitor.see(f"/requests/{id}").words
    assert plane.get(f"/api/requests/{id}")["story"]["deadline_ms"] is None


def test_a_request_that_reached_no_release_makes_no_such_claim(plane: Plane) -> None:
    plane.ask("POST", "/api/services/risk/stop")
    plane.follow()
    plane.answer("risk", {"wind": 1.0})
    (row,) = plane.get("/api/requests?disposition=refused")["requests"]
    shown = Visitor(plane, plane.secret).see(f"/requests/{row['id']}")
    assert shown.status == 200
    assert GONE not in shown.words
