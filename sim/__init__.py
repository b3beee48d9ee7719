"""The virtual city: what a scenario file imports."""

from sim.errors import ConfigurationError
from sim.faults import parse_fault
from sim.scenario import LateJoin, Scenario
from sim.thresholds import Threshold
from sim.workload import Election, StallAuction, StallWindow

__all__ = [
    "ConfigurationError",
    "Election",
    "LateJoin",
    "Scenario",
    "StallAuction",
    "StallWindow",
    "Threshold",
    "parse_fault",
]
