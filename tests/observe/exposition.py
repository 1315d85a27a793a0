"""A strict reader of Prometheus' text format 0.0.4, for tests."""

from __future__ import annotations

import re
from typing import NamedTuple

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? (\S+)")
_PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"')
_UNESCAPED = {r"\\": "\\", r"\n": "\n", r"\"": '"'}

Labels = frozenset[tuple[str, str]]


class Family(NamedTuple):
    """One metric: its type, its help, and its samples by name and labels."""

    kind: str
    help: str
    samples: dict[tuple[str, Labels], float]

    def value(self, name: str, **labels: str) -> float:
        return self.samples[name, frozenset(labels.items())]


def read_exposition(page: bytes) -> dict[str, Family]:
    """Return the metrics of a page by name; anything the format forbids is an AssertionError."""
    text = page.decode()
    assert text.endswith("\n")
    families: dict[str, Family] = {}
    help_of: dict[str, str] = {}
    current = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, _, told = line.removeprefix("# HELP ").partition(" ")
            assert name not in help_of, f"{name}: told twice"
            help_of[name] = told
        elif line.startswith("# TYPE "):
            current, kind = line.removeprefix("# TYPE ").split(" ")
            assert re.fullmatch(_NAME, current)
            assert kind in ("counter", "gauge", "histogram")
            assert current not in families, f"{current}: typed twice, or its samples are scattered"
            families[current] = Family(kind, help_of[current], {})
        else:
            _read_sample(line, current, families[current])
    for name, family in families.items():
        _check(name, family)
    return families


def _read_sample(line: str, current: str, family: Family) -> None:
    found = _SAMPLE.fullmatch(line)
    assert found, f"not a sample: {line!r}"
    name, labels, number = found.groups()
    pairs = [(label, _unescape(value)) for label, value in _PAIR.findall(labels or "")]
    assert len({label for label, _ in pairs}) == len(pairs), f"a label twice: {line}"
    ends = ("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",)
    assert name in [current + end for end in ends], f"{name} stands below {current}"
    key = name, frozenset(pairs)
    assert key not in family.samples, f"a sample twice: {line}"
    family.samples[key] = float(number)


def _unescape(value: str) -> str:
    return re.sub(r'\\[\\n"]', lambda found: _UNESCAPED[found[0]], value)


def _check(name: str, family: Family) -> None:
    if family.kind == "counter":
        assert name.endswith("_total"), f"{name}: a counter ends in _total"
    if family.kind != "gauge":
        assert all(value >= 0 for value in family.samples.values())
    if family.kind == "histogram":
        series: dict[Labels, list[tuple[float, float]]] = {}
        for (sample, labels), value in family.samples.items():
            if sample.endswith("_bucket"):
                rest = frozenset(pair for pair in labels if pair[0] != "le")
                series.setdefault(rest, []).append((float(dict(labels)["le"]), value))
        for labels, buckets in series.items():
            counts = [count for _, count in sorted(buckets)]
            assert counts == sorted(counts), f"{name}: buckets are cumulative"
            assert sorted(buckets)[-1][0] == float("inf")
            assert counts[-1] == family.samples[f"{name}_count", labels]
            assert (f"{name}_sum", labels) in family.samples
