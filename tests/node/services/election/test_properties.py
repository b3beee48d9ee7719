"""What holds of an election whatever is sent to it."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from node.services import election, identity
from node.services.election.records import (
    ADDED,
    DECRYPTED,
    FINAL,
    SPOILED,
    STORED,
    SUPERSEDED,
)
from node.services.election.registry import REVOTES_MAX

NAMES = [f"{group} {number}" for group in ("ann", "bob", "eve") for number in (1, 2)]
CASTS = {name: 1 + place % 5 for place, name in enumerate(NAMES)}  # 5 is no choice: spoiled
DISTRICTS = {name: 1 + place // 2 for place, name in enumerate(NAMES)}
TIMES = st.sampled_from([999, 1_000, 1_500, 2_100, 2_101])
NAME = st.sampled_from(NAMES)

SETTING_UP = ["create", "register", "open"]
VOTING = ["issue", "add", "cast", "add", "cast"]
COUNTING = ["publish", "resolve", "decrypt", "decrypt"]
ALL = [*SETTING_UP, *VOTING, "close", *COUNTING, "finalize"]


def act(town, data, action):
    """One call, often valid; gives its status."""
    draw = data.draw
    match action:
        case "register":
            return town.register(districts=draw(st.sampled_from([(1, 2, 3), (1, 9), (0,)])))
        case "issue":
            return town.issue(*draw(st.lists(st.integers(0, 3), min_size=1, max_size=3)))
        case "add":
            name = draw(NAME)
            return town.add_key(name, DISTRICTS[name], name[:3], time_ns=draw(TIMES))
        case "cast":
            name = draw(NAME)
            district = draw(st.sampled_from([DISTRICTS[name]] * 3 + [1]))
            return town.cast(name, CASTS[name], district, time_ns=draw(TIMES))
        case "close":
            return town.close(time_ns=draw(st.sampled_from([2_099, 2_100, 2_101])))
        case "publish":
            index = draw(st.integers(1, 5))
            return town.publish(index, draw(st.sampled_from([None, None, None, bytes(32)])))
        case "resolve":
            group = draw(st.sampled_from(["ann", "bob", "eve"]))
            return town.resolve(group, f"{group} 2", f"{group} 1")
        case "decrypt":
            names = draw(st.lists(NAME, min_size=1, unique=True))
            lie = draw(st.sampled_from([0, 0, 0, 1]))
            return town.decrypt({name: (CASTS[name] + lie) % 5 for name in names})
    return getattr(town, action)()


def check_invariants(town, name_to_key):
    """Counters against a recount of the records that they sum up."""
    counters = town.counters
    if counters is None:
        return
    ballots = {name: election.get_ballot(town.ledger, 1, name_to_key(name)) for name in NAMES}
    seen = Counter(ballot.status for ballot in ballots.values() if ballot)
    assert counters.keys == sum(seen.values())
    assert counters.stored == counters.keys - seen[ADDED]
    assert counters.pending == seen[STORED]
    assert counters.decrypted == seen[DECRYPTED]
    assert counters.spoiled == seen[SPOILED]
    assert counters.superseded == seen[SUPERSEDED]
    assert counters.issued <= counters.registered
    assert counters.keys <= counters.issued * (1 + REVOTES_MAX)
    assert counters.failures == len(town.failures)
    for district in (1, 2, 3):
        counts = [0] * 5
        for name, ballot in ballots.items():
            if ballot and ballot.district == district and ballot.status in (DECRYPTED, SPOILED):
                assert ballot.choice == CASTS[name] % 5
                counts[ballot.choice] += 1
        tally = election.get_tally(town.ledger, 1, district)
        assert tally == tuple(counts) or (tally == () and not any(counts))
    if counters.phase == FINAL:
        assert counters.pending == 0
        assert counters.decrypted + counters.spoiled <= counters.issued
        assert election.get_result(town.ledger, 1).counters == counters


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_any_calls_in_any_order_keep_the_books_and_a_refused_one_changes_nothing(
    new_town, name_to_key, data
):
    town = new_town()
    for usual in (SETTING_UP, VOTING * 4, ["close"], COUNTING * 3, ["finalize"]):
        for action in usual:
            stray = data.draw(st.sampled_from([None] * 8 + ALL))
            for step in (action, stray):
                before = town.get_records()
                final = town.counters is not None and town.counters.phase == FINAL
                if step and act(town, data, step) != "ok":
                    assert town.get_records() == before
                elif step:
                    assert not final
                check_invariants(town, name_to_key)


@settings(max_examples=60, deadline=None)
@given(
    st.permutations(NAMES),
    st.lists(st.sampled_from([("ann", 0, 1), ("bob", 1, 0), ("eve", 1, 1)]), max_size=3),
    st.sets(NAME),
)
def test_only_the_last_ballot_of_each_voter_counts(new_town, order, extra, absent):
    town = new_town().begin(voters=3)
    last = {}
    for name in NAMES:
        assert town.add_key(name, group=name[:3]) == "ok"
    for name in order:
        if name not in absent:
            assert town.cast(name, 1 + NAMES.index(name) % 4) == "ok"
            last[name[:3]] = 1 + NAMES.index(name) % 4
    town.end()
    numbered = [("ann", 0, 1), ("bob", 0, 1), ("eve", 0, 1), *extra]
    for group, one, other in numbered:
        assert town.resolve(group, f"{group} {one + 1}", f"{group} {other + 1}") == "ok"
    assert town.decrypt({name: 1 + NAMES.index(name) % 4 for name in NAMES}) == "ok"
    assert town.finalize() == "ok"
    expected = Counter(last.values())
    tally = election.get_tally(town.ledger, 1, 1) or (0,) * 5
    assert tally == tuple(expected[choice] for choice in range(5))


SCALARS = st.one_of(
    st.none(), st.booleans(), st.text(max_size=5),
    st.integers(-(2**63), 2**64 - 1), st.integers(-1, 6),
    st.binary(max_size=70),
    st.sampled_from([8, 16, 24, 32, 64]).flatmap(lambda n: st.binary(min_size=n, max_size=n)),
    st.sampled_from(["issue", "administer", "election"]),
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4), max_leaves=8)
STAGES = ["new", "created", "open", "closed", "counting", "final"]


def build_stage(new_town, stage):
    town = new_town()
    if stage == "created":
        assert town.create() == "ok"
    elif stage != "new":
        town.begin()
        assert town.add_key("ann") == "ok"
        assert town.cast("ann", 2) == "ok"
        if stage == "closed":
            assert town.close() == "ok"
        elif stage != "open":
            town.end()
            if stage == "final":
                assert town.decrypt({"ann": 2}) == "ok"
                assert town.finalize() == "ok"
    return town


def make_valid(town, key):
    """A payload of every kind that some stage accepts."""
    zero = bytes(32)
    return {
        10: [key, "issue"], 11: [key, "issue"], 12: [], 13: ["election"],
        20: election.make_create_voting(
            voting=2, districts=3, choices=4, open_ns=1, close_ns=2, grace_ns=0,
            holders=list(town.HOLDERS), threshold=3, box_public=town.PUBLIC,
        ),
        21: [1, 3, b"\1\2"], 22: [1], 24: [1, bytes(16)], 25: [1, zero, b"\1", zero],
        26: [1, 1, *town.seal("ann", 2)], 27: [1], 28: [1, 4, town.SHARES[3]],
        29: [1, [[zero, key + zero]]], 30: [1, key, election.encode_choice(2)], 31: [1],
    }


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_payload_crashes_a_handler(new_town, name_to_key, data):
    town = build_stage(new_town, data.draw(st.sampled_from(STAGES)))
    key = name_to_key("ann")
    kind = data.draw(st.sampled_from(sorted(make_valid(town, key))))
    payload = make_valid(town, key)[kind]
    if data.draw(st.booleans()):
        payload = data.draw(st.lists(VALUES, max_size=6))
    elif payload:
        place = data.draw(st.integers(0, len(payload) - 1))
        payload[place] = data.draw(VALUES)
    sender = data.draw(st.sampled_from([town.REGISTRAR, key, town.HOLDERS[3]]))
    before = town.get_records()
    status = town.send(kind, payload, sender, data.draw(TIMES))
    assert type(status) is str
    if status != "ok":
        assert town.get_records() == before


def test_the_fuzzed_kinds_are_those_of_identity_and_election(town, name_to_key):
    kinds = set(make_valid(town, name_to_key("ann")))
    assert kinds == set(identity.HANDLERS) | set(election.HANDLERS)
