"""A validator whose power goes at any promise never says two things of one round.

Validator 0 of a fake city keeps its disk in a real store. At the n-th thing to be stored the
power goes, before or after the write; what the disk held then is what it starts from again.
"""

import numpy as np
import pytest

from node.consensus.qbft.messages import Commit, Prepare, Proposal, RoundChange, decode_message
from node.effects import Persist, Spread
from node.host.store import Store
from node.inputs import Started
from node.node import Node
from node.params import Params
from node.wire import ConsensusCarried, decode_frame
from node.work import Work
from tests.node.host.broken_disk import list_cuts, read_files, write_files
from tests.node.nodenet import NodeNet


class Careful:
    """A node as its host sees it: what follows a Persist leaves when that is on the disk."""

    def __init__(self, node, net):
        self._node = node
        self._net = net

    def __getattr__(self, name):
        return getattr(self._node, name)

    def handle(self, now, happened):
        effects = self._node.handle(now, happened)
        for index, effect in enumerate(effects):
            if type(effect) is Persist and not self._net.store_one(effect):
                return effects[:index]
            if type(effect) is Spread:  # signed is said, even if nobody is linked yet
                self._net.note(effect.frame)
        return tuple(effect for effect in effects if type(effect) is not Persist)


class DiskNet(NodeNet):
    """Four validators, the first with a disk; ``said`` is all that it ever said."""

    def __init__(self, folder, cut_at, generator):
        self.folder, self.disks = folder, 0
        self.cut_at, self.generator = cut_at, generator
        self.persists, self.is_cut = 0, False
        self.store = None
        self.said = {}
        # one is away, so that no height is decided without validator 0
        params = Params(round_timeout_ns=10**9)
        super().__init__(relays=1, observers=0, params=params, late=(3,))
        # validator 0 is slow to hear in some rounds, so that later rounds happen
        self.drop = lambda _, to, frame: to == 0 and self.now_ns // 300_000_000 % 7 == 3

    def start(self, index):
        if index:
            return super().start(index)
        folder = self.folder / str(self.disks)
        self.store = Store.open(folder, self.genesis, snapshot_every_blocks=2)
        loaded = self.store.load()
        node = Node(
            self.genesis, self.identities[0], self.get_role(0), Work(), loaded.chain,
            self.get_lock(loaded),
        )
        self.nodes[0] = Careful(node, self)
        self.tell(0, Started())
        for other in range(1, len(self.nodes)):
            if self.nodes[other] is not None:
                self.link(0, other)

    def get_lock(self, loaded):
        return loaded.lock

    def store_one(self, effect):
        """Whether it is on the disk; otherwise the power is gone."""
        self.persists += 1
        entry = effect.slot, b"".join(effect.parts)
        if self.is_cut or self.persists != self.cut_at:
            if not self.is_cut:
                self.store.write([entry], self.nodes[0].chain)
            return not self.is_cut
        self.is_cut = True
        folder = self.folder / str(self.disks)
        before = read_files(folder)
        self.store.write([entry], self.nodes[0].chain)
        cuts = list(list_cuts(before, read_files(folder), self.generator))
        self.store.close()
        self.disks += 1
        _, files = cuts[int(self.generator.integers(len(cuts)))]
        write_files(self.folder / str(self.disks), files)
        return False

    def note(self, frame):
        message = decode_frame(frame, self.genesis.params)
        if not isinstance(message, ConsensusCarried):
            return
        message = decode_message(message.payload, self.chain_id, self.genesis.params)
        match message:
            case Proposal(height, round_number, _, block):
                content = block.header.digest
            case Prepare(height, round_number, _, digest) | Commit(
                height, round_number, _, digest
            ):
                content = digest
            case RoundChange(height, round_number):
                content = (message.prepared_round, message.prepared_digest)
        place = (type(message).__name__, height, round_number)
        if self.said.setdefault(place, content) != content:
            raise AssertionError(place)

    def run_day(self):
        """Blocks with transactions; the power is back as soon as it went."""
        for tick in range(120):
            if tick % 30 == 0:
                self.submit(4, self.make_grant(1 + tick // 30))
            self.run(0.2)
            if self.is_cut:
                self.crash(0)
                self.is_cut, self.cut_at = False, 0
                self.start(0)
        self.assert_one_chain()
        self.store.close()


class Forgetful(DiskNet):
    """The negative control: its validator forgets its lock."""

    def get_lock(self, loaded):
        return None


@pytest.mark.slow
def test_a_validator_never_contradicts_what_it_stored(tmp_path):
    generator = np.random.default_rng(3)
    cuts = 0
    for cut_at in range(1, 15):
        net = DiskNet(tmp_path / str(cut_at), cut_at, generator)
        net.run_day()
        cuts += net.disks
        # no block without it, so it took part again
        assert net.nodes[1].chain.height >= 2
    assert cuts >= 10


@pytest.mark.slow
def test_a_validator_that_forgets_its_lock_is_caught(tmp_path):
    generator = np.random.default_rng(3)
    caught = 0
    for cut_at in range(1, 15):
        try:
            Forgetful(tmp_path / str(cut_at), cut_at, generator).run_day()
        except AssertionError as error:
            caught += error.args[0][:1] == ("Proposal",)
    assert caught > 0
