"""Trials of the node's kinds of work, each timed on the code that reports it as ``Worked``.

A trial is small and is repeated. Of each repeat the fastest of a few passes counts, in
processor time: whatever else a shared machine does can only make a pass slower.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.ballots import SECOND_NS, SECRET, make_ballots, make_deeds, make_identity
from bench.figures import MeasurementFailed, collector_off
from bench.transactions import CHAIN_ID, bundle_up, execute
from node.block import Seal, compute_seal_message, make_block, make_header
from node.bundle import Bundle
from node.chain import decode_each
from node.consensus.quorum import compute_quorum
from node.crypto import digest
from node.execution import BlockOutput, execute_bundles
from node.params import Genesis, Params
from node.proof import encode_record_proof, make_record_proof
from node.state import EMPTY_STATE, State
from node.transaction import Transaction
from node.types import PublicKey
from node.wire import decode_frame, frame_block, frame_bundle
from node.work import Work, WorkKind

PASSES = 5
CACHES_BYTES = 64 << 20
LINE_BYTES = 64
RECORD_BYTES = 150
SIGNATURES = 200
READS = 200
VALIDATORS = 25
HASHED_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Trial:
    """``measure`` times one repeat: nanoseconds per unit of the kind."""

    kind: WorkKind
    about: str
    measure: Callable[[], float]


def time_best_ns(
    deed: Callable[[], object], passes: int = PASSES,
    before: Callable[[], object] = lambda: None,
) -> int:
    """Processor nanoseconds of the fastest pass; ``before`` each, untimed, what precedes it."""
    best_ns = 0
    with collector_off():
        for _ in range(passes):
            before()
            began_ns = time.process_time_ns()
            deed()
            spent_ns = time.process_time_ns() - began_ns
            best_ns = min(best_ns or spent_ns, spent_ns)
    return max(1, best_ns)


def make_trial(
    kind: WorkKind, units: int, deed: Callable[[], object], about: str,
    before: Callable[[], object] = lambda: None,
) -> Trial:
    """A trial of a deed that does so many units of one kind and nothing else of weight."""
    assert units > 0
    return Trial(kind, about, lambda: time_best_ns(deed, before=before) / units)


class Cold:
    """Takes a core's caches, as whatever a node did since its last block has taken them."""

    def __init__(self) -> None:
        self._content = bytearray(CACHES_BYTES)

    def __call__(self) -> None:
        """Touch every line."""
        self._content[::LINE_BYTES] = bytes(CACHES_BYTES // LINE_BYTES)


class StandingState(State):
    """A state that remembers a block's changes instead of making them.

    Executing upon it is executing without the writing of records and their roots.
    """

    __slots__ = ("changes", "under")

    def __init__(self, under: State) -> None:
        super().__init__(None)
        self.under = under
        self.changes: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        """As the state under it."""
        return self.under.get(key)

    def with_changes(self, changes: dict[bytes, bytes | None]) -> State:
        """Itself."""
        self.changes = changes
        return self


@dataclass(frozen=True, slots=True)
class Sample:
    """A state of many records, and bundles of sealed ballots that may be stored in it."""

    state: State
    bundles: list[Bundle]
    registrar: PublicKey

    @property
    def ballots(self) -> list[Transaction]:
        """The ballots, in order."""
        return [ballot for bundle in self.bundles for ballot in bundle.transactions]

    def execute(self, state: State) -> BlockOutput:
        """The block of all ballots upon ``state``."""
        return execute_bundles(
            state, 2, 2 * SECOND_NS, self.bundles, self.registrar, Work()
        )


def make_sample(ballots: int, records: int) -> Sample:
    """An open voting with its voters' keys, among ``records`` records of other keys."""
    registrar = make_identity(1)
    voters = [make_identity(10 + number) for number in range(ballots)]
    deeds = bundle_up(make_deeds(registrar, voters, CHAIN_ID))
    state = execute(EMPTY_STATE, 1, deeds, registrar).with_changes({
        digest(b"bench", number.to_bytes(8, "big")): bytes(RECORD_BYTES)
        for number in range(records)
    })
    bundles = bundle_up(make_ballots(voters, CHAIN_ID))
    return Sample(state, bundles, registrar.public)


def make_crypto_trials(sample: Sample) -> list[Trial]:
    """CHECK_SIGNATURE, SIGN, OPEN_BOX, HASH_BYTES."""
    work, signer, ballots = Work(), make_identity(2), sample.ballots[:SIGNATURES]
    boxes = [_get_box(ballot) for ballot in ballots]
    content = bytes(HASHED_BYTES)

    def check() -> None:
        for ballot in ballots:
            work.check_signature(ballot.sender, ballot.id, ballot.signature)

    def open_boxes() -> None:
        for box_public, nonce, box in boxes:
            if work.open_box(box, nonce, box_public, SECRET) is None:
                raise MeasurementFailed("a ballot's box does not open")

    return [
        make_trial(WorkKind.CHECK_SIGNATURE, len(ballots), check,
                   "one Ed25519 check of a ballot's id"),
        make_trial(WorkKind.SIGN, len(ballots),
                   lambda: [signer.sign(ballot.id) for ballot in ballots],
                   "one Ed25519 signature of 32 bytes"),
        make_trial(WorkKind.OPEN_BOX, len(boxes), open_boxes, "one ballot's NaCl box opened"),
        make_trial(WorkKind.HASH_BYTES, HASHED_BYTES, lambda: digest(b"bench", content),
                   "a byte of SHA-256, in a megabyte; no node reports it yet, for decoding, "
                   "executing and writing hold their own hashes"),
    ]


def _get_box(ballot: Transaction) -> tuple[bytes, bytes, bytes]:
    match ballot.payload:
        case [_, _, bytes(box_public), bytes(nonce), bytes(box)]:
            return box_public, nonce, box
    raise MeasurementFailed("a ballot holds no box")


def make_decode_trial(sample: Sample) -> Trial:
    """DECODE_BYTES: frames of bundles, and a block with its bundles as an observer takes it."""
    params = Params()
    frames = [frame_bundle(bundle.encoded) for bundle in sample.bundles]
    block = frame_block(make_sealed_block(sample.bundles))
    encodings = tuple(bundle.encoded for bundle in sample.bundles)
    genesis = Genesis(
        params=params, validators=(bytes(32),), relays=(), registrar=bytes(32), time_ns=0
    )
    work = Work()

    def decode_all() -> None:
        for frame in frames:
            decode_frame(frame, params)
        decode_frame(block, params)
        decode_each(encodings, genesis, work)

    count = len(sample.ballots)
    return make_trial(
        WorkKind.DECODE_BYTES, sum(map(len, frames)) + len(block), decode_all,
        f"a byte of frames that carry {count:,} ballots, as bundles and as a sealed block; "
        "canonical form and ids checked",
    )


def make_sealed_block(bundles: Sequence[Bundle]) -> bytes:
    """An encoded block sealed by a quorum of the validators; its roots are not right."""
    chiefs = [make_identity(100 + number) for number in range(VALIDATORS)]
    nothing = bytes(32)
    header = make_header(
        CHAIN_ID, 2, nothing, 2 * SECOND_NS, chiefs[0].public, nothing, nothing, nothing,
        tuple(sorted(chief.public for chief in chiefs)), None,
    )
    message = compute_seal_message(CHAIN_ID, 2, 0, header.digest)
    seals = tuple(
        Seal(number, chiefs[number].sign(message))
        for number in range(compute_quorum(VALIDATORS))
    )
    return make_block(header, 0, seals, tuple(bundle.encoded for bundle in bundles)).encoded


def make_state_trials(sample: Sample, records: int) -> list[Trial]:
    """EXECUTE, STATE_WRITE, SERVE_READ. Raises MeasurementFailed if a ballot is refused."""
    standing = StandingState(sample.state)
    output = sample.execute(standing)
    statuses = {status for outcome in output.outcomes for _, status in outcome}
    if statuses != {"ok"}:
        raise MeasurementFailed(f"ballots ended as {sorted(statuses)}")
    units = {work.kind: work.units for work in output.executed}
    changes = standing.changes
    keys = list(changes)[:READS]
    count = units[WorkKind.EXECUTE]
    cold = Cold()
    return [
        make_trial(WorkKind.EXECUTE, count, lambda: sample.execute(standing),
                   f"a stored ballot in a block of {count:,}, its reads and receipt included, "
                   "the writing of the state not; caches cold", cold),
        make_trial(WorkKind.STATE_WRITE, units[WorkKind.STATE_WRITE],
                   lambda: sample.state.with_changes(changes).root,
                   "a record written and its share of the new root, in that block upon "
                   f"{records:,} records; counted as charged, each transaction's writes by "
                   "themselves; caches cold", cold),
        make_trial(WorkKind.SERVE_READ, len(keys), _make_reads(sample.state, keys),
                   "a record read from that state with its proof, encoded; the request apart"),
    ]


def _make_reads(state: State, keys: Sequence[bytes]) -> Callable[[], object]:
    nothing = bytes(32)
    header = make_header(
        CHAIN_ID, 1, nothing, 0, nothing, nothing, nothing, state.root, (), None
    )
    block = make_block(header, 0, (Seal(0, bytes(64)),), ())
    return lambda: [
        encode_record_proof(make_record_proof(block, state, key)) for key in keys
    ]
