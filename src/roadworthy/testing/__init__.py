"""What users and plugin authors test with."""

from ..models.faulty import Fault, FaultyUpstream, ToolUse
from ..models.scripted import ScriptedModel
from .conformance import check_model
from .guards import check_guard
from .scorers import check_scorer

__all__ = [
    "Fault",
    "FaultyUpstream",
    "ScriptedModel",
    "ToolUse",
    "check_guard",
    "check_model",
    "check_scorer",
]
