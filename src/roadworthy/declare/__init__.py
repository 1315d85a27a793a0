"""What is promised: roadworthy.toml and service.toml as frozen values that something keeps."""

from __future__ import annotations

from collections.abc import Mapping

ENFORCES: Mapping[str, str] = {
    "name": "declare/check_service.py",
    "risk": "declare/check_service.py",
}
