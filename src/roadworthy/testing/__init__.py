"""What users and plugin authors test with."""

from ..models.faulty import Fault, FaultyUpstream
from ..models.scripted import ScriptedModel
from .conformance import check_model
from .guards import check_guard
from .scorers import check_scorer

__all__ = [
    "Fault",
    "FaultyUpstream",
    "ScriptedModel",
    "check_guard",
    "check_model",
    "check_scorer",
]
