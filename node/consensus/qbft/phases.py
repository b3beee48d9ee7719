"""The phases of one round and the only ways from one to another."""

from enum import Enum
from typing import Final


class Phase(Enum):
    """How far a round has come at one validator."""

    WAITING = "waiting"
    ACCEPTED = "accepted"
    PREPARED = "prepared"
    DECIDED = "decided"


TRANSITIONS: Final = {
    (Phase.WAITING, Phase.ACCEPTED): "a valid Proposal",
    (Phase.ACCEPTED, Phase.PREPARED): "Q Prepares",
    (Phase.ACCEPTED, Phase.DECIDED): "Q Commits",
    (Phase.PREPARED, Phase.DECIDED): "Q Commits",
}
"""(from, to) -> upon what. Leaving a round is no transition: a new round is a new object."""
