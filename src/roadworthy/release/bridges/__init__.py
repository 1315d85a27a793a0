"""Other registries: releases are written there, and models are taken from there."""

from __future__ import annotations

import os

# MLflow would tell its makers of each import; what leaves this machine is only what is asked for.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
