"""How Sphinx builds the site that `make docs` writes into build/site, to be read offline."""

from __future__ import annotations

import re
from itertools import pairwise

from sphinx.application import Sphinx

import roadworthy

project = "Roadworthy"
author = "The authors of Roadworthy"
project_copyright = author
version = release = roadworthy.__version__
root_doc = "index"
extensions = ["myst_parser"]
exclude_patterns = ["images"]
nitpicky = True

myst_heading_anchors = 4

html_theme = "furo"
html_title = "Roadworthy"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
# Summaries of what was found are fetched page by page, which browsers refuse below file://.
html_show_search_summary = False
html_static_path = ["site"]
html_css_files = ["site.css"]
html_theme_options = {"top_of_page_buttons": []}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"


def with_contents(text: str) -> str:
    """Return the index with a hidden table of contents for each of its lists of links.

    The index names every page already; the side bar shows the same ones, in the same order.
    """
    starts = [0, *(found.start() for found in re.finditer(r"^## ", text, re.MULTILINE)), len(text)]
    parts = [text[begin:end] for begin, end in pairwise(starts)]
    return "".join(part + _contents_of(part) for part in parts)


def _contents_of(part: str) -> str:
    """Return the table of contents of a part of the index; none if it links to no page."""
    title = re.match(r"## (.+)", part)
    pages = dict.fromkeys(re.findall(r"\]\(([\w/-]+)\.md\)", part))
    if not pages:
        return ""
    caption = f":caption: {title[1] if title else 'Tutorial'}"
    return "\n".join(["", "```{toctree}", ":hidden:", caption, "", *pages, "```", "", ""])


def _read(app: Sphinx, name: str, source: list[str]) -> None:
    # Markdown of the repository that is no page of the site comes with it as a file.
    source[0] = re.sub(r"\]\((?=(?:\.\./){2}[^)]+\.md\))", "](path:", source[0])
    if name == root_doc:
        source[0] = with_contents(source[0])


def setup(app: Sphinx) -> None:
    """Let the index lead the side bar."""
    app.connect("source-read", _read)
