"""A chain with a whole election in it, made by the simulator: real blocks and ballots."""

from dataclasses import replace

from node.block import decode_block
from node.host.store import Store
from node.node import Node
from node.work import Work
from sim.simulation import Simulation
from tests.scenarios.small import make_small, watch

PEERS = 20


def make_election_chain():
    """Some voters vote again; the result is published."""
    simulation = Simulation(make_small(users=60, peers=PEERS, revote_ratio=0.4))
    voters = simulation.people.voters
    voters._habits = replace(voters._habits, revote_median_ns=20 * 10**9, revote_sigma=0.1)
    simulation.run(watch)
    nodes = [simulation.city.get_node(index) for index in range(PEERS)]
    chains = [node.chain for node in nodes if isinstance(node, Node)]
    return max(chains, key=lambda chain: chain.height)


def store_chain(chain, folder, last=None, **thresholds):
    """A node's folder with the chain's blocks up to ``last``, closed."""
    store = Store.open(folder, chain.genesis, **thresholds)
    stored = store.load().chain
    for height in range(1, (chain.height if last is None else last) + 1):
        encoded = chain.get_encoded(height)
        block = decode_block(encoded, chain.genesis.params)
        stored.take(stored.plan_step(encoded, block, Work()))
        store.write([("block", encoded)], stored)
    store.close()
