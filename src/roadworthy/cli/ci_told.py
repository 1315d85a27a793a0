"""How a change went, as JUnit XML: a suite a service, a test case a step."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from ..app.pipeline import Gone, Step

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML document may hold, in whatever spelling."""
_ELEMENT = {
    "not_kept": "failure",
    "could_not": "error",
    "inconclusive": "failure",
    "not_measured": "skipped",
    "skipped": "skipped",
}


def junit_of(gone: Gone) -> str:
    """Return how a change went as one `testsuites` document.

    What is open is a failure there, since CI servers know no third state; its message says so.
    """
    root = ElementTree.Element("testsuites", name="roadworthy ci", time=f"{gone.seconds:.3f}")
    for service in gone.touched.services:
        steps = [step for step in gone.steps if step.service == service]
        _suite(root, service, steps)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _suite(root: ElementTree.Element, service: str, steps: list[Step]) -> None:
    kinds = [_ELEMENT.get(step.state, "") for step in steps]
    counts = {
        "tests": len(steps),
        "failures": kinds.count("failure"),
        "errors": kinds.count("error"),
        "skipped": kinds.count("skipped"),
    }
    texts = {name: str(count) for name, count in counts.items()}
    suite = ElementTree.SubElement(root, "testsuite", {"name": service, **texts})
    for step, kind in zip(steps, kinds, strict=True):
        place = {"name": step.step, "classname": service, "time": f"{step.seconds:.3f}"}
        case = ElementTree.SubElement(suite, "testcase", place)
        if kind:
            word = step.state.replace("_", " ")
            text = _NOT_XML.sub("?", step.sentence)
            found = ElementTree.SubElement(case, kind, message=f"{word}: {text.splitlines()[0]}")
            found.text = text
