"""A report as JUnit XML, which every CI server shows: one test case a case."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from .report import BehaviourResult, CaseResult, Metric, Report
from .told import bar_text, interval_text, number_text, shown

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML document may hold, in whatever spelling."""


def junit_xml(report: Report) -> str:
    """Return the report as one `testsuites` document.

    A case that is not right each time is a failure, one that no scorer could judge is skipped. What
    is promised of the whole is a suite of its own, so that a verdict without a wrong case is seen.
    """
    root = ElementTree.Element("testsuites", name=_text(f"roadworthy {report.service}"))
    results: dict[str, list[CaseResult]] = {suite.name: [] for suite in report.suites}
    for result in report.results:
        results.setdefault(result.suite, []).append(result)
    counts = [_suite(root, report, name, found) for name, found in results.items()]
    counts.append(_promises(root, report))
    for key, value in zip(
        ("tests", "failures", "skipped"), map(sum, zip(*counts, strict=True)), strict=True
    ):
        root.set(key, str(value))
    root.set("errors", "0")
    root.set("time", f"{report.seconds:.3f}")
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _suite(
    root: ElementTree.Element, report: Report, name: str, results: list[CaseResult]
) -> tuple[int, int, int]:
    suite = ElementTree.SubElement(root, "testsuite", name=_text(name))
    properties = ElementTree.SubElement(suite, "properties")
    facts = {
        "verdict": report.verdict,
        "sentence": report.sentence,
        "release": report.release,
        "baseline": report.baseline,
        "evaluation": report.id,
        "needed": "" if report.needed is None else str(report.needed),
    }
    for key, value in facts.items():
        ElementTree.SubElement(properties, "property", name=key, value=_text(value))
    failures = skipped = 0
    for result in sorted(results, key=lambda one: one.id):
        seconds = f"{result.latency_ms / 1_000:.6f}"
        place = {"classname": _text(f"{report.service}.{name}"), "time": seconds}
        case = ElementTree.SubElement(suite, "testcase", {"name": _text(result.id), **place})
        if result.stability in ("stable_fail", "flaky"):
            failures += 1
            _failure(case, result)
        elif result.stability == "unknown":
            skipped += 1
            ElementTree.SubElement(case, "skipped", message=_text(result.why or "nothing scored"))
    _count(suite, len(results), failures, skipped)
    return len(results), failures, skipped


def _failure(case: ElementTree.Element, result: CaseResult) -> None:
    times = f"right {result.passes} of {result.runs} times"
    why = result.why or result.error_code or "it is not right"
    failure = ElementTree.SubElement(
        case, "failure", type=result.stability, message=_text(f"{why} ({times})")
    )
    lines = [f"input: {shown(result.input)}", f"expected: {shown(result.expect)}"]
    lines.append(f"got: {shown(result.output)}")
    if result.baseline is not None:
        lines.append(f"baseline: {'right' if result.baseline else 'not right either'}")
    failure.text = _text("\n".join(lines))


def _promises(root: ElementTree.Element, report: Report) -> tuple[int, int, int]:
    """Write what is promised of the whole, each promise as a test case."""
    suite = ElementTree.SubElement(root, "testsuite", name="promises")
    promised = [(name, metric) for name, metric in report.metrics.items() if metric.verdict]
    promised += [(one.name, one.broken) for one in _judged(report)]
    promised += [(one.name, one.difference) for one in report.fairness if one.difference.verdict]
    failures = skipped = 0
    for name, metric in promised:
        case = ElementTree.SubElement(suite, "testcase", name=_text(name), classname="promises")
        said = _text(_promise(metric))
        if metric.verdict == "fail":
            failures += 1
            ElementTree.SubElement(case, "failure", type="promise", message=said)
        elif metric.verdict == "inconclusive":
            skipped += 1
            ElementTree.SubElement(case, "skipped", message=said)
    whole = ElementTree.SubElement(suite, "testcase", name="verdict", classname="promises")
    if report.verdict == "fail":
        failures += 1
        ElementTree.SubElement(whole, "failure", type="verdict", message=_text(report.sentence))
    elif report.verdict == "inconclusive":
        skipped += 1
        ElementTree.SubElement(whole, "skipped", message=_text(report.sentence))
    _count(suite, len(promised) + 1, failures, skipped)
    return len(promised) + 1, failures, skipped


def _judged(report: Report) -> list[BehaviourResult]:
    return [one for one in report.behaviours if one.broken.verdict]


def _promise(metric: Metric) -> str:
    found = f"{number_text(metric.value, metric.unit)} ({interval_text(metric)}), n = {metric.n}"
    more = f"; {metric.needed} more cases would settle it" if metric.needed else ""
    return f"expected {bar_text(metric)}, got {found}{more}"


def _count(suite: ElementTree.Element, tests: int, failures: int, skipped: int) -> None:
    for key, value in (("tests", tests), ("failures", failures), ("skipped", skipped)):
        suite.set(key, str(value))
    suite.set("errors", "0")


def _text(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
