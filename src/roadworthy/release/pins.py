"""Whether a model's name always means the same model."""

from __future__ import annotations

import re

_MONTH = r"(?:0[1-9]|1[0-2])"
_DAY = r"(?:0[1-9]|[12]\d|3[01])"
_LATEST = re.compile(r"(?:^|[^a-z])latest(?:$|[^a-z])")
_PIN = re.compile(
    "|".join(
        (
            rf"(?<!\d)20\d\d-?{_MONTH}-?{_DAY}(?!\d)",  # gpt-5-2025-08-07, claude-…-20241022
            rf"(?<!\d){_MONTH}-?{_DAY}(?!\d)",  # gpt-4-0613, gemini-…-preview-05-20
            rf"(?<!\d)[23]\d{_MONTH}(?!\d)",  # mistral-large-2411
            rf"(?<!\d){_MONTH}-20\d\d(?!\d)",  # command-r-08-2024
            r"-\d{3}$",  # gemini-2.0-flash-001
            r"v\d+:\d+$",  # amazon.nova-pro-v1:0
            r"[:@](?:sha256:)?[0-9a-f]{12,64}$",  # a digest
            r"^ft:",  # a fine-tuned model is never trained again under its name
            # Open weights are published once under a name with their size: llama-3.3-70b. (An alias
            # of closed weights that happens to carry a size passes for such a name.)
            r"(?<![a-z0-9.])(?:\d+x)?\d+(?:\.\d+)?b(?![a-z0-9])",
        )
    )
)


def is_pinned(model: str) -> bool:
    """Return whether an upstream's name says which version it means, by a date, number or digest.

    Providers move names without one (`gpt-5`, `claude-sonnet-4-5`, anything `latest`) to other
    models when they like, and a release that names one would change its answers by itself.
    """
    name = model.lower()
    return not _LATEST.search(name) and _PIN.search(name) is not None
