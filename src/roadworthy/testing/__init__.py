"""What users and plugin authors test with."""

from ..models.faulty import Fault, FaultyUpstream
from ..models.scripted import ScriptedModel
from .conformance import check_model

__all__ = ["Fault", "FaultyUpstream", "ScriptedModel", "check_model"]
