"""How often the jobs of a served project run, in seconds of its own time."""

from __future__ import annotations

FILL_EVERY_S = 300
"""Seconds of the project's time between two runs of the job that fills the online store."""
EXPLAIN_EVERY_S = 20
"""Seconds of the project's time between two looks at decisions that nothing explains yet."""
SCOPE_EVERY_S = 600
"""Seconds of the project's time between two tries to learn what releases are asked."""
MEASURE_EVERY_S = 3_600
"""Seconds of the project's time between two looks at the skew of served features."""
CERTIFY_EVERY_S = 60
"""Seconds of the project's time between two looks at what outcomes certify."""
CALIBRATE_EVERY_S = 3_600
ROLLOUTS_EVERY_S = 60
"""Seconds of the project's time between two looks at rollouts that nobody asked for before."""
