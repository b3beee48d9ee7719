"""Any sequence of arrivals, blocks and time against a mempool: bounded, fair, lossless."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.mempool import Mempool
from node.verdict import Accept, Ignore
from tests.node.samples import PARAMS, make_sample_bundle, make_sample_transaction

RELAYS = ("a", "b", "c", "d")
SIZE = len(make_sample_bundle("a").encoded)
EXPIRY = 4
BOUNDS = replace(
    PARAMS, mempool_bytes_max=12 * SIZE, mempool_relay_bytes_max=5 * SIZE, sender_pending_max=3,
    mempool_expiry_blocks=EXPIRY,
)
BUNDLES = {}


def get_bundle(relay, sequence, sender, count):
    place = (relay, sequence, sender, count)
    if place not in BUNDLES:
        items = [make_sample_transaction(sender, 10 * sequence + i) for i in range(count)]
        BUNDLES[place] = make_sample_bundle(relay, sequence, items)
    return BUNDLES[place]


class MempoolMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.pool = Mempool(BOUNDS)
        self.held = {}  # digest -> (bundle, blocks seen when it came)
        self.accepted = self.included = self.expired = self.height = 0
        self.unserved = dict.fromkeys(RELAYS, 0)

    @rule(
        relay=st.sampled_from(RELAYS), sequence=st.integers(0, 8),
        sender=st.sampled_from(["x", "y", "z"]), count=st.integers(1, 4),
    )
    def arrive(self, relay, sequence, sender, count):
        bundle = get_bundle(relay, sequence, sender, count)
        before = self.pool.compute_digest()
        was_known = self.pool.is_known(bundle.digest)
        verdict = self.pool.add(bundle)
        if verdict == Accept():
            assert not was_known
            self.held[bundle.digest] = (bundle, self.height)
            self.accepted += 1
        else:
            assert isinstance(verdict, Ignore)
            assert (verdict.reason == "known bundle") == was_known
            assert self.pool.compute_digest() == before

    @rule(bundles=st.integers(0, 4))
    def finalise_what_this_pool_selects(self, bundles):
        chosen = self.pool.select(bundles * SIZE * 2, bundles)
        self.finalise(chosen)
        served = {bundle.relay for bundle in chosen}
        waiting = {bundle.relay for bundle, _ in self.held.values()}
        for relay in RELAYS:
            key = get_bundle(relay, 0, "x", 1).relay
            is_passed_over = key in waiting and key not in served and bool(chosen)
            self.unserved[relay] = self.unserved[relay] + 1 if is_passed_over else 0
            assert self.unserved[relay] <= 2 * len(RELAYS), "a relay is starved"

    @rule(relay=st.sampled_from(RELAYS), sequence=st.integers(0, 8))
    def finalise_a_bundle_of_another_pool(self, relay, sequence):
        self.finalise([get_bundle(relay, sequence, "x", 1)])

    def finalise(self, bundles):
        self.height += 1
        self.pool.upon_final(self.height, bundles)
        for bundle in bundles:
            self.included += self.held.pop(bundle.digest, None) is not None
            assert self.pool.is_known(bundle.digest)
        old = [name for name, (_, since) in self.held.items() if self.height - since >= EXPIRY]
        for name in old:
            del self.held[name]
        self.expired += len(old)

    @invariant()
    def bounds_hold(self):
        assert self.pool.size_bytes <= BOUNDS.mempool_bytes_max
        waiting = {}
        for bundle, _ in self.held.values():
            waiting[bundle.relay] = waiting.get(bundle.relay, 0) + len(bundle.encoded)
        assert max(waiting.values(), default=0) <= BOUNDS.mempool_relay_bytes_max
        assert sum(waiting.values()) == self.pool.size_bytes

    @invariant()
    def nothing_is_lost_silently(self):
        assert len(self.pool) == len(self.held)
        assert self.accepted == len(self.pool) + self.included + self.expired
        assert self.pool.expired == self.expired
        everything = self.pool.select(1 << 30, 1 << 30)
        assert sorted(bundle.digest for bundle in everything) == sorted(self.held)

    @invariant()
    def selection_keeps_order_and_takes_turns(self):
        everything = self.pool.select(1 << 30, 1 << 30)
        assert everything == self.pool.select(1 << 30, 1 << 30)
        taken = {}
        for bundle in everything:
            taken.setdefault(bundle.relay, []).append(bundle.sequence)
        assert all(numbers == sorted(set(numbers)) for numbers in taken.values())
        for end in range(len(everything)):
            counts = {}
            for bundle in everything[:end]:
                counts[bundle.relay] = counts.get(bundle.relay, 0) + 1
            for relay, numbers in taken.items():
                is_behind = counts.get(relay, 0) < max(counts.values(), default=0) - 1
                assert not is_behind or counts.get(relay, 0) == len(numbers)


TestMempool = MempoolMachine.TestCase
TestMempool.settings = settings(max_examples=40, stateful_step_count=40)
