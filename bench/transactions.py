"""What one ballot costs a node, apart from its cryptography: decoding, executing, encoding."""

import time
from collections.abc import Callable

from bench.ballots import SECOND_NS, make_ballots, make_deeds, make_identity
from bench.figures import Figure, MeasurementFailed, collector_off
from node.bundle import Bundle, decode_bundle, make_bundle
from node.codec import encode
from node.crypto import Identity
from node.execution import execute_bundles
from node.params import Params
from node.receipt import encode_receipt
from node.state import EMPTY_STATE, State
from node.transaction import decode_transaction
from node.work import Work

CHAIN_ID = bytes(8)
BUNDLE = 500
RECORD_BYTES = 150


def time_each(deed: Callable[[], object], items: int, repeats: int) -> tuple[float, ...]:
    """Processor nanoseconds per item of each call of ``deed``, which deals with ``items``."""
    spans = []
    for _ in range(repeats):
        with collector_off():
            began_ns = time.process_time_ns()
            deed()
            spans.append((time.process_time_ns() - began_ns) / items)
    return tuple(spans)


def bundle_up(transactions: list[bytes]) -> list[Bundle]:
    """Decoded bundles of these transactions, in their order."""
    relay, params = make_identity(0), Params()
    return [
        decode_bundle(
            make_bundle(relay, CHAIN_ID, first, transactions[first : first + BUNDLE]), params
        )
        for first in range(0, len(transactions), BUNDLE)
    ]


def execute(state: State, height: int, bundles: list[Bundle], registrar: Identity) -> State:
    """The state after a block. Raises MeasurementFailed if a transaction is refused."""
    output = execute_bundles(
        state, height, height * SECOND_NS, bundles, registrar.public, Work()
    )
    failed = {status for outcome in output.outcomes for _, status in outcome} - {"ok"}
    if failed:
        raise MeasurementFailed(f"transactions ended as {sorted(failed)}")
    assert output.state_root
    return output.state


def measure_transactions(repeats: int, ballots: int = 2_000) -> list[Figure]:
    """Nanoseconds per ballot of each step that a relay or validator takes with it."""
    bytes_max = Params().transaction_bytes_max
    registrar = make_identity(1)
    voters = [make_identity(10 + number) for number in range(ballots)]
    deeds = bundle_up(make_deeds(registrar, voters, CHAIN_ID))
    state = execute(EMPTY_STATE, 1, deeds, registrar)
    encoded = make_ballots(voters, CHAIN_ID)
    decoded = [decode_transaction(item, bytes_max) for item in encoded]
    bundles = bundle_up(encoded)
    changes: dict[bytes, bytes | None] = {
        voter.public: bytes(RECORD_BYTES) for voter in voters
    }

    def encode_all() -> None:
        for item in decoded:
            body = encode([item.chain_id, item.kind, item.sender, item.nonce, item.payload])
            encode([body, item.signature])

    steps: tuple[tuple[str, Callable[[], object], str], ...] = (
        ("encode_ns", encode_all, "both layers of the wire form, unsigned"),
        ("decode_ns", lambda: [decode_transaction(item, bytes_max) for item in encoded],
         "both layers, canonical form and id checked, signature not"),
        ("execute_ns", lambda: execute(state, 2, bundles, registrar),
         f"a block of {ballots:,} stored ballots, receipts and all roots included"),
        ("state_root_ns", lambda: state.with_changes(changes).root,
         f"of it: one record of {RECORD_BYTES} bytes into the state and its root"),
        ("receipt_ns", lambda: [encode_receipt(item.id, 1, 1, "ok") for item in decoded],
         "of it: encoding of one receipt"),
    )
    return [
        Figure(
            name=f"transaction.{name}", unit="ns", about=f"{about}; per ballot",
            values=time_each(deed, ballots, repeats),
        )
        for name, deed, about in steps
    ]
