"""A chain with a whole election in it, made by the simulator: real blocks and ballots."""

from dataclasses import replace

from node.node import Node
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
