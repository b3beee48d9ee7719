"""HANDLE: what a node does for a message beside the work that it reports by other names.

Checks, signatures and boxes are answered from memory here, and decoding is subtracted at its
own price; what is left is dispatch, consensus, gossip, and a relay's desk, with the timers that
no message brings. Transactions in a validator's mempool are not in it: their blocks are empty.
"""

from bench.ballots import make_ballots, make_identity
from bench.figures import MeasurementFailed
from bench.nodes import Load, Recording, record, replay_ns
from bench.trials import Trial, time_best_ns
from node.chain import Chain
from node.crypto import Identity, is_signature_valid
from node.effects import Worked
from node.inputs import Received, Role, Submitted
from node.node import Node
from node.params import Genesis, Params
from node.types import Now
from node.work import Work, WorkKind
from sim.topology import TopologyConfig

CITY = TopologyConfig(validators=4, relays=4, observers=4)
BLOCKS = 20
BALLOTS_PER_BLOCK = 300
"""60 a second at the default block interval: the busiest minute of ``election-day``."""

SUBMISSIONS = 500


class RememberingWork(Work):
    """A ``Work`` for which checks that held before are free; all else is done each time."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[bytes, bytes]] = {}

    def check_signature(self, key: bytes, message: bytes, signature: bytes) -> bool:
        """As ``Work.check_signature``."""
        if self._known.get(signature) == (key, message):
            return True
        if not is_signature_valid(key, message, signature):
            return False
        self._known[signature] = (key, message)
        return True


class RememberingIdentity(Identity):
    """An identity for which what it signed before is free."""

    __slots__ = ("_made", "_real")

    def __init__(self, real: Identity) -> None:
        self.public = real.public
        self._real = real
        self._made: dict[bytes, bytes] = {}

    def sign(self, message: bytes) -> bytes:
        """As ``Identity.sign``."""
        made = self._made.get(message)
        if made is None:
            made = self._made[message] = self._real.sign(message)
        return made


class Frames:
    """A recorded city of empty blocks, replayed; ``measure`` gives ns per frame."""

    def __init__(self, decode: Trial) -> None:
        self._recording: Recording = record(Load(config=CITY, blocks=BLOCKS))
        self._work = RememberingWork()
        self._signers = [
            RememberingIdentity(one) for one in self._recording.idle.city.identities
        ]
        self._decode = decode
        steady = self._recording.log[self._recording.steady :]
        self.count = sum(type(item.happened) is Received for item in steady)
        self._decoded_bytes = self._count_decoded()
        if not self.count:
            raise MeasurementFailed("no frame was recorded")

    def _count_decoded(self) -> int:
        """The bytes that the steady part's nodes report as decoded; fills the memories too."""
        total = 0

        def add(effects: tuple[object, ...]) -> None:
            nonlocal total
            for effect in effects:
                if isinstance(effect, Worked) and effect.kind is WorkKind.DECODE_BYTES:
                    total += effect.units

        replay_ns(self._recording, self._work, self._signers, upon_effects=add)
        return total

    def measure(self) -> float:
        """One repeat: the fastest of a few replays."""
        recording, work, signers = self._recording, self._work, self._signers
        spent_ns = min(replay_ns(recording, work, signers) for _ in range(3))
        decoding_ns = self._decoded_bytes * self._decode.measure()
        return max(0.0, spent_ns - decoding_ns) / self.count


class Submissions:
    """A relay to which citizens submit ballots; ``measure`` gives ns per submission."""

    def __init__(self) -> None:
        relay = make_identity(3)
        self._identity = relay
        self._genesis = Genesis(
            params=Params(), validators=(bytes(32),), relays=(relay.public,),
            registrar=bytes(32), time_ns=0,
        )
        chain = Chain(self._genesis)
        voters = [make_identity(10 + number) for number in range(SUBMISSIONS)]
        ballots = make_ballots(voters, chain.chain_id)
        self._inputs = [Submitted(number, ballot) for number, ballot in enumerate(ballots)]
        self._work = RememberingWork()
        self._take_all(self._make_relay())

    def _make_relay(self) -> Node:
        return Node(self._genesis, self._identity, Role.RELAY, self._work)

    def _take_all(self, node: Node) -> None:
        now = Now(1, 1)
        for happened in self._inputs:
            node.handle(now, happened)

    def measure(self) -> float:
        """One repeat."""
        relays = [self._make_relay() for _ in range(5)]
        spent_ns = time_best_ns(lambda: self._take_all(relays.pop()), len(relays))
        return spent_ns / len(self._inputs)


def make_handle_trial(decode: Trial) -> Trial:
    """HANDLE, the mean over the frames and the submissions of a busy city's block."""
    frames, submissions = Frames(decode), Submissions()
    each = frames.count / BLOCKS
    share = BALLOTS_PER_BLOCK / (BALLOTS_PER_BLOCK + each)

    def measure() -> float:
        return share * submissions.measure() + (1 - share) * frames.measure()

    return Trial(
        WorkKind.HANDLE,
        f"a message's dispatch, apart from the other kinds: {BALLOTS_PER_BLOCK} submissions "
        f"(decoding included, which is not charged apart) and {each:.0f} frames a block, as "
        f"in a busy city of {CITY.validators} validators, {CITY.relays} relays and "
        f"{CITY.observers} observers",
        measure,
    )
