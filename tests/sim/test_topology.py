"""Who is linked to whom, and where."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.inputs import Role
from sim.errors import ConfigurationError
from sim.streams import Streams
from sim.topology import PRESETS, SERVER, HardwareProfile, Topology, TopologyConfig


def build(seed: int = 1, **parts: object) -> Topology:
    return Topology.build(TopologyConfig(**parts), Streams(seed))  # type: ignore[arg-type]


def test_validators_form_a_full_mesh_and_relays_hang_on_three():
    topology = build(validators=25, relays=75, observers=100)
    for validator in topology.validators:
        own = set(topology.neighbours[validator])
        assert own >= set(topology.validators) - {validator}
        assert own & set(topology.relays), "every validator has relays"
        assert not own & set(topology.observers), "observers never reach validators"
    for relay in topology.relays:
        assert len(set(topology.neighbours[relay]) & set(topology.validators)) == 3


def test_every_validator_has_a_relay_even_if_relays_are_few():
    topology = build(validators=10, relays=2, observers=5)
    for validator in topology.validators:
        assert set(topology.neighbours[validator]) & set(topology.relays)


def test_mesh_degrees_are_between_lo_and_hi_for_sixty_peers():
    topology = build(validators=4, relays=6, observers=50)
    degrees = [
        sum(other >= 4 for other in topology.neighbours[peer]) for peer in range(4, 60)
    ]
    assert all(5 <= degree <= 12 for degree in degrees)
    assert 6 <= sum(degrees) / len(degrees) < 6.6


@settings(max_examples=30)
@given(st.integers(1, 12), st.integers(1, 20), st.integers(0, 40), st.integers(0, 99))
def test_any_division_gives_one_city_with_symmetric_links(
    validators: int, relays: int, observers: int, seed: int
):
    topology = build(seed, validators=validators, relays=relays, observers=observers)
    assert len(topology.peers) == validators + relays + observers
    for peer, own in enumerate(topology.neighbours):
        assert list(own) == sorted(set(own) - {peer})
        assert all(peer in topology.neighbours[other] for other in own)


def test_seed_and_config_give_the_city():
    assert build(1) == build(1)
    assert build(1).neighbours != build(2).neighbours


@pytest.mark.parametrize("preset", PRESETS)
def test_peers_live_in_regions_by_their_shares(preset: str):
    topology = build(preset=preset)
    counts = [0] * len(topology.regions)
    for observer in topology.observers:
        counts[topology.peers[observer].region] += 1
    assert sum(counts) == 900
    assert all(counts), "nine hundred observers are enough for every region"
    assert len(topology.one_way_ns) == len(topology.regions)


def test_roles_have_their_machines():
    topology = build(validators=4, relays=6, observers=100, mobile_ratio=0.2)
    assert {topology.peers[peer].profile for peer in range(10)} == {SERVER}
    names = [topology.peers[peer].profile.name for peer in topology.observers]
    assert names.count("mobile") == 20
    assert names.count("home") == 80
    assert list(topology.get_indices(Role.RELAY)) == list(range(4, 10))


@pytest.mark.parametrize(("field", "value"), [
    ("validators", 0), ("validators", -3), ("validators", 1_001), ("relays", 0),
    ("observers", -1), ("observers", 100_001), ("observers", 1.5), ("validators_per_relay", 0),
    ("mesh_degree", 13), ("mesh_degree_min", 7), ("mesh_degree_max", 1), ("mobile_ratio", 1.1),
    ("preset", "moon"),
])
def test_an_impossible_city_is_refused_by_field_and_value(field: str, value: object):
    with pytest.raises(ConfigurationError) as caught:
        TopologyConfig(**{field: value})  # type: ignore[arg-type]
    assert str(value) in str(caught.value)
    assert caught.value.remedy.startswith(("give", "known"))


def test_more_than_a_hundred_thousand_peers_are_too_many_together():
    with pytest.raises(ConfigurationError, match="peers=150025"):
        TopologyConfig(relays=75_000, observers=75_000)


def test_a_machine_without_a_core_is_refused():
    with pytest.raises(ConfigurationError, match="cores=0"):
        HardwareProfile(
            name="x", cores=0, speed_ratio=1.0, disk_sync_ns=0, uplink_bps=1, downlink_bps=1,
            inbox_bytes_max=1, access_ns=0, jitter_ns=0, loss_ratio=0.0,
        )


@pytest.mark.slow
def test_twenty_thousand_peers_are_drawn():
    topology = build(validators=25, relays=975, observers=19_000)
    assert len(topology.peers) == 20_000
