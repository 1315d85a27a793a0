"""What is learned: people's decisions become examples, held back until they pass their checks."""

from __future__ import annotations
