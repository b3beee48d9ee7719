"""One validator's place at one height: all that stays the same while the height lasts."""

from dataclasses import dataclass

from node.block import Header
from node.consensus.authorities import compute_first_proposer
from node.consensus.engine import Application
from node.consensus.quorum import compute_faults, compute_quorum
from node.params import Params
from node.types import PublicKey


@dataclass(frozen=True, slots=True)
class Seat:
    """Who decides ``height`` on top of ``parent``.

    ``author`` is this node's index among the validators, or None for one that only listens.
    """

    params: Params
    chain_id: bytes
    parent: Header
    height: int
    validators: tuple[PublicKey, ...]
    author: int | None
    first_proposer: int
    quorum: int
    faults: int
    application: Application

    def compute_proposer(self, round_number: int) -> int:
        """The index of the validator whose turn ``round_number`` is."""
        assert round_number >= 0
        return (self.first_proposer + round_number) % len(self.validators)


def make_seat(
    params: Params, chain_id: bytes, parent: Header, validators: tuple[PublicKey, ...],
    author: int | None, application: Application,
) -> Seat:
    """The seat at the height after ``parent``."""
    assert author is None or 0 <= author < len(validators)
    return Seat(
        params, chain_id, parent, parent.height + 1, validators, author,
        compute_first_proposer(validators, parent.proposer),
        compute_quorum(len(validators)), compute_faults(len(validators)), application,
    )
