"""Citizens ask who holds a stall, or who won a lot, and check the answer's proof for real."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from node.block import decode_block
from node.errors import InvalidProof
from node.proof import (
    decode_record_proof,
    encode_record_proof,
    make_record_proof,
    verify_record_proof,
)
from sim.hosted import HostedCity
from sim.result import InvariantOutcome

Condition: TypeAlias = Callable[[bytes | None], bool]
"""Whether a proven record, None for its absence, says what it should."""


def judge_proofs(
    city: HostedCity, wanted: Iterable[tuple[bytes, Condition]]
) -> InvariantOutcome:
    """Prove each of these records from the last final block, and hold it to its condition."""
    chain = city.find_longest_chain()
    if not chain.height:  # genesis carries no seals: a city without disks proves nothing
        return _conclude(0, sum(1 for _ in wanted))
    block = decode_block(chain.get_encoded(chain.height), city.params)
    proven = wrong = 0
    for key, is_right in wanted:
        encoded = encode_record_proof(make_record_proof(block, chain.state, key))
        try:
            proof = decode_record_proof(encoded)
            record = verify_record_proof(proof, city.genesis.validators, city.chain_id)
        except InvalidProof:
            wrong += 1
            continue
        assert proof.key == key
        proven += is_right(record)
        wrong += not is_right(record)
    return _conclude(proven, wrong)


def _conclude(proven: int, wrong: int) -> InvariantOutcome:
    return InvariantOutcome(
        name="holders provable", passed=wrong == 0,
        detail=f"{proven} records proven to a citizen, {wrong} not",
    )
