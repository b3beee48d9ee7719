"""Checkpoints: what one proves, what it does not, and that nothing else is believed."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.block import Seal, decode_block, make_block
from node.bundle import decode_bundle
from node.chain import Chain
from node.codec import encode
from node.effects import Send, Worked
from node.errors import InvalidBlock
from node.host import checkpoint as files
from node.host.census import read_counts
from node.host.checkpoint import MAGIC, read_checkpoint, read_trail, write_checkpoint
from node.host.errors import CheckpointError, SettingsError, StoreDamaged, StoreError
from node.host.making import make_checkpoint
from node.host.origin import CHECKPOINT, Origin, place_checkpoint
from node.host.recount import judge, recount
from node.host.store import Store
from node.host.trail import TrailWalk, build_trail, strip
from node.inputs import PeerJoined, Received, Role
from node.node import Node
from node.services import election
from node.types import Now
from node.wire import frame_block, frame_given, frame_wanted
from node.work import Work
from tests.node.host.elections import make_election_chain, store_chain
from tests.node.host.test_recount import move_one_vote
from tests.node.samples import make_identity


@pytest.fixture(scope="module")
def chain():
    return make_election_chain()


@pytest.fixture(scope="module")
def served(chain, tmp_path_factory):
    """A folder with the whole chain, and snapshots now and then."""
    folder = tmp_path_factory.mktemp("chain") / "served"
    store_chain(chain, folder, snapshot_every_blocks=20)
    return folder


@pytest.fixture(scope="module")
def made(chain, served, tmp_path_factory):
    """Paths of checkpoints by height: each is made once."""
    folder = tmp_path_factory.mktemp("checkpoints")

    def make(height):
        path = folder / str(height)
        if not path.exists():
            make_checkpoint(served, chain.genesis, path, height)
        return path

    return make


def find_height(chain, kind):
    """The block before the first one in which there is a transaction of this kind."""
    for height in range(1, chain.height + 1):
        block = decode_block(chain.get_encoded(height), chain.genesis.params)
        for bundle in block.bundles:
            if any(item.kind == kind for item in decode(bundle, chain)):
                return height - 1
    raise AssertionError(kind)


def decode(bundle, chain):
    return decode_bundle(bundle, chain.genesis.params).transactions


def test_a_checkpoint_gives_the_state_and_the_authorities_of_its_block(chain, made):
    height = chain.height // 2
    found = read_checkpoint(made(height), chain.genesis)
    header = chain.get_header(height)
    assert (found.height, found.block_digest) == (height, header.digest)
    assert found.state.root == header.state_root
    assert found.authorities.validators == chain.authorities.validators
    assert found.times_ns == {
        below: chain.get_header(below).time_ns for below in range(1, height + 1)
    }
    assert not list(made(height).parent.glob("*.part"))
    begun = found.begin(chain.genesis)
    assert (begun.height, begun.first) == (height, height + 1)
    for after in range(height + 1, chain.height + 1):
        encoded = chain.get_encoded(after)
        block = decode_block(encoded, chain.genesis.params)
        begun.take(begun.plan_step(encoded, block, Work()))
    assert begun.state.root == chain.state.root


def test_of_whatever_height_it_is_made_it_is_the_same_as_from_a_replay(chain, served, made):
    for height in (1, 3, chain.height - 1, chain.height):
        found = read_checkpoint(made(height), chain.genesis)
        assert found.state.root == chain.get_header(height).state_root


def test_a_checkpoint_is_made_while_a_node_has_the_folder(chain, served, tmp_path):
    store = Store.open(served, chain.genesis)
    store.load()
    made, size_bytes = make_checkpoint(served, chain.genesis, tmp_path / "c")
    assert (made.height, size_bytes) == (chain.height, (tmp_path / "c").stat().st_size)
    store.close()


@pytest.mark.parametrize(("words", "said"), [
    ({"height": 10**6}, "the folder has blocks 1 to"),
    ({"out": "here"}, "it exists"),
    ({"folder": "nothing"}, "there is no chain"),
])
def test_what_cannot_be_made_leaves_no_file(chain, served, tmp_path, words, said):
    (tmp_path / "here").touch()
    out = tmp_path / words.get("out", "new")
    folder = tmp_path / words["folder"] if "folder" in words else served
    with pytest.raises((SettingsError, StoreError), match=said):
        make_checkpoint(folder, chain.genesis, out, words.get("height"))
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


# What is refused.

def forge(path, content):
    """``content`` with a digest that fits: the work of someone who knows the format."""
    path.write_bytes(content + sha256(content).digest())
    return path


def list_records(content):
    """(begin, end) of each record's bytes in a file."""
    at = len(MAGIC)
    while length := int.from_bytes(content[at : at + 4], "big"):
        yield at + 4, at + 4 + length
        at += 4 + length


def frame(value):
    encoded = encode(value)
    return len(encoded).to_bytes(4, "big") + encoded


def build(chain, trail, state=None, chain_id=None):
    """The bytes of a checkpoint without its digest."""
    pieces = files._list_pieces(
        chain.chain_id if chain_id is None else chain_id, trail, state or chain.state
    )
    return b"".join(pieces)


def take_blocks(chain, last):
    return [decode_block(chain.get_encoded(height), chain.genesis.params)
            for height in range(1, last + 1)]


def test_a_cut_or_changed_file_is_damaged(chain, made, tmp_path):
    whole = made(9).read_bytes()
    for at in (0, 5, len(MAGIC), len(MAGIC) + 2, len(whole) // 2, len(whole) - 1):
        (tmp_path / "c").write_bytes(whole[:at])
        with pytest.raises(CheckpointError, match=r"damaged|no checkpoint"):
            read_checkpoint(tmp_path / "c", chain.genesis)
        changed = bytearray(whole)
        changed[at] ^= 1
        (tmp_path / "c").write_bytes(changed)
        with pytest.raises(CheckpointError, match=r"damaged|no checkpoint"):
            read_checkpoint(tmp_path / "c", chain.genesis)
    (tmp_path / "c").write_bytes(whole + b"\0")
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(tmp_path / "c", chain.genesis)


def test_what_is_no_file_or_too_large_is_refused(chain, tmp_path, monkeypatch):
    for path, said in ((tmp_path, "no file"), (tmp_path / "absent", "No such file")):
        with pytest.raises(CheckpointError, match=said):
            read_checkpoint(path, chain.genesis)
    path = forge(tmp_path / "c", MAGIC + frame([chain.chain_id]) + b"\xff" * 4)
    with pytest.raises(CheckpointError, match="a record of 4,294,967,295 bytes"):
        read_checkpoint(path, chain.genesis)
    with path.open("r+b") as file:
        file.truncate(files.CHECKPOINT_BYTES_MAX + 1)  # a hole: it takes no room
    with pytest.raises(CheckpointError, match="at most"):
        read_checkpoint(path, chain.genesis)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_is_changed_in_a_file_whose_digest_is_made_to_fit_it_is_refused(
    chain, made, tmp_path_factory, data
):
    content = made(chain.height // 2).read_bytes()[:-32]
    records = list(list_records(content))
    kind = data.draw(st.sampled_from(["flip", "drop", "repeat", "swap", "cut", "insert"]))
    number = data.draw(st.integers(0, len(records) - 1))
    begin, end = records[number]
    record = content[begin - 4 : end]
    if kind == "flip":
        at = data.draw(st.integers(begin - 4, end - 1))
        bit = 1 << data.draw(st.integers(0, 7))
        changed = content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]
    elif kind == "drop":
        changed = content[: begin - 4] + content[end:]
    elif kind == "repeat":
        changed = content[:end] + record + content[end:]
    elif kind == "swap" and number + 1 < len(records):
        other = records[number + 1]
        changed = content[: begin - 4] + content[end : other[1]] + record + content[other[1] :]
    elif kind == "cut":
        changed = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        noise = data.draw(st.binary(min_size=1, max_size=40))
        changed = content[: begin - 4] + frame([1, 70_000, noise]) + content[begin - 4 :]
    path = forge(tmp_path_factory.mktemp("forged") / "c", changed)
    try:
        found = read_checkpoint(path, chain.genesis)
    except CheckpointError:
        return
    # the seals that decide nothing may be left out, and are not signed by anyone
    assert found.block.header == chain.get_header(found.height)
    assert found.state.root == found.block.header.state_root
    assert found.authorities == read_checkpoint(made(found.height), chain.genesis).authorities


def test_another_chains_checkpoint_is_named(chain, made, tmp_path):
    blocks = take_blocks(chain, 5)
    path = forge(tmp_path / "c", build(chain, [strip(x) for x in blocks], chain_id=bytes(8)))
    with pytest.raises(CheckpointError, match=f"0000, not of {chain.chain_id.hex()}"):
        read_checkpoint(path, chain.genesis)


def test_forged_and_missing_seals_are_refused(chain, tmp_path):
    *before, last = [strip(block) for block in take_blocks(chain, 5)]
    state = read_state(chain, 5)
    forged = Seal(last.seals[0].validator, bytes(64))
    for seals, said in (
        ((forged, *last.seals[1:]), "seal signature"),
        (last.seals[:1], "too few seals"),
        ((last.seals[0],) * len(last.seals), "distinct"),
        ((), "the trail's end"),
    ):
        block = make_block(last.header, last.round, seals, ())
        path = forge(tmp_path / "c", build(chain, [*before, block], state))
        with pytest.raises(CheckpointError, match=said):
            read_checkpoint(path, chain.genesis)
    # the control: the same way of making it, with nothing forged
    path = forge(tmp_path / "c", build(chain, [*before, last], state))
    assert read_checkpoint(path, chain.genesis).height == 5


def read_state(chain, height):
    replayed = Chain(chain.genesis)
    for block in take_blocks(chain, height):
        replayed.take(replayed.plan_step(block.encoded, block, Work()))
    return replayed.state


@pytest.mark.parametrize("change", [
    lambda state: state.with_changes({b"election/h\0\1": b"x"}),
    lambda state: state.with_changes({b"new": b"x"}),
    lambda state: state.with_changes({next(iter(state.items()))[0]: None}),
])
def test_a_state_other_than_the_sealed_one_is_refused(chain, tmp_path, change):
    trail = list(build_trail(chain.genesis, take_blocks(chain, chain.height)))
    path = forge(tmp_path / "c", build(chain, trail, change(chain.state)))
    with pytest.raises(CheckpointError, match="snapshot"):
        read_checkpoint(path, chain.genesis)


def test_a_trail_with_a_gap_or_bundles_is_refused(chain, tmp_path):
    blocks = take_blocks(chain, chain.height)
    full = next(block for block in blocks if block.bundles)
    walk = TrailWalk(chain.genesis)
    walk.take(strip(blocks[0]))
    with pytest.raises(InvalidBlock, match="height in the trail"):
        walk.take(strip(blocks[2]))
    content = MAGIC + frame([chain.chain_id]) + frame([0, full.encoded]) + bytes(4)
    with pytest.raises(CheckpointError, match="bundles"):
        list(read_trail(forge(tmp_path / "c", content), chain.genesis))


# A store that begins at one.

def begin_store(chain, made, folder, height):
    place_checkpoint(made(height), folder)
    origin = Origin.of(read_checkpoint(made(height), chain.genesis))
    return Store.open(folder, chain.genesis, origin=origin, snapshot_every_blocks=8)


def grow(store, stored, chain, last):
    for height in range(stored.height + 1, last + 1):
        encoded = chain.get_encoded(height)
        block = decode_block(encoded, chain.genesis.params)
        stored.take(stored.plan_step(encoded, block, Work()))
        store.write([("block", encoded)], stored)


def test_a_store_that_begins_at_a_checkpoint_goes_on_stops_and_starts(chain, made, tmp_path):
    height = chain.height // 2
    for last in (height, height + 3, chain.height):  # before and after its first snapshot
        store = (Store.open(tmp_path, chain.genesis, snapshot_every_blocks=8)
                 if last > height else begin_store(chain, made, tmp_path, height))
        stored = store.load().chain
        assert stored.first == height + 1
        grow(store, stored, chain, last)
        store.close()
    store = Store.open(tmp_path, chain.genesis)
    verified = store.verify()
    assert (verified.height, verified.first) == (chain.height, height + 1)
    assert verified.snapshot_height > height
    assert store.load().chain.state.root == chain.state.root
    store.close()
    # and a checkpoint is made of it, with the trail from genesis
    make_checkpoint(tmp_path, chain.genesis, tmp_path / "again")
    again = read_checkpoint(tmp_path / "again", chain.genesis)
    assert (again.height, len(again.times_ns)) == (chain.height, chain.height)
    with pytest.raises(SettingsError, match=f"blocks {height + 1} to"):
        make_checkpoint(tmp_path, chain.genesis, tmp_path / "early", height - 1)


def test_a_store_whose_checkpoint_is_gone_or_another_is_damaged(chain, made, tmp_path):
    begin_store(chain, made, tmp_path, 9).close()
    (tmp_path / CHECKPOINT).write_bytes(made(8).read_bytes())
    store = Store.open(tmp_path, chain.genesis)
    with pytest.raises(StoreDamaged, match="another than it was"):
        store.load()
    store.close()
    (tmp_path / CHECKPOINT).unlink()
    store = Store.open(tmp_path, chain.genesis)
    with pytest.raises(StoreDamaged, match="No such file"):
        store.load()
    store.close()


def test_a_node_upon_a_checkpoint_is_not_troubled_by_what_lies_before(chain, made):
    begun = read_checkpoint(made(9), chain.genesis).begin(chain.genesis)
    node = Node(chain.genesis, make_identity("citizen"), Role.OBSERVER, Work(), begun)
    now = Now(0, chain.head.time_ns)
    node.handle(now, PeerJoined(1, make_identity("peer").public, Role.OBSERVER))
    before = node.compute_digest()
    for height in (1, 8):
        effects = node.handle(now, Received(1, frame_block(chain.get_encoded(height))))
        assert {type(effect) for effect in effects} == {Worked}
    for first in (1, 9):
        effects = node.handle(now, Received(1, frame_wanted(first, 4)))
        assert Send(1, frame_given([])) in effects
    assert node.compute_digest() == before
    effects = node.handle(now, Received(1, frame_block(chain.get_encoded(10))))
    assert node.chain.height == 10
    assert Send(1, frame_given([chain.get_encoded(10)])) in node.handle(
        now, Received(1, frame_wanted(10, 4))
    )


# The recount.

@pytest.mark.slow
def test_the_recount_from_any_checkpoint_is_that_from_genesis(chain, made):
    (whole,) = recount(chain)
    total = len(whole.count.ballots)
    heights = {
        "no voting": 1, "mid-vote": find_height(chain, election.CLOSE_VOTING) // 2,
        "closed": find_height(chain, election.PUBLISH_SHARE),
        "sealed": find_height(chain, election.DECRYPT_BALLOTS), "final": chain.height,
    }
    for name, height in heights.items():
        base = read_checkpoint(made(height), chain.genesis)
        (counted,) = recount(chain, base=base)
        assert counted.agrees, (name, counted.differences)
        assert counted.tallies == whole.tallies
        assert len(counted.count.ballots) == total
        superseded = [key for key, ballot in counted.count.ballots.items()
                      if ballot.is_superseded]
        assert superseded == [key for key, ballot in whole.count.ballots.items()
                              if ballot.is_superseded]
        assert (counted.count.taken == total) == (name == "final")
        if name in ("no voting", "mid-vote", "closed"):
            assert counted.count.taken == 0
    assert base.height == chain.height


def test_a_result_that_differs_is_found_from_a_checkpoint_too(chain, made):
    base = read_checkpoint(made(find_height(chain, election.PUBLISH_SHARE)), chain.genesis)
    (counted,) = recount(chain, base=base)
    judged = judge(counted.count, move_one_vote(counted.published))
    assert "district 1" in judged.differences[0]


def test_the_hour_of_a_ballot_in_the_state_is_that_of_its_block_if_that_is_known(chain, made):
    base = read_checkpoint(made(find_height(chain, election.PUBLISH_SHARE)), chain.genesis)
    (count,) = read_counts(base.state, base.times_ns).values()
    assert (count.findings, count.untimed) == ([], 0)
    (count,) = read_counts(base.state, {}).values()
    assert (count.findings, count.untimed) == ([], len(count.ballots))
    shifted = {height: time_ns + 10**15 for height, time_ns in base.times_ns.items()}
    (count,) = read_counts(base.state, shifted).values()
    assert len(count.findings) == len(count.ballots)
    assert "outside of the voting's hours" in count.findings[0]


def test_a_copy_is_never_written_over(chain, tmp_path):
    (tmp_path / "c").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        write_checkpoint(tmp_path / "c", chain.chain_id, [], chain.state)
    assert (tmp_path / "c").read_bytes() == b"mine"


def test_what_fails_in_the_writing_leaves_nothing_and_a_part_that_was_left_is_no_obstacle(
    chain, tmp_path
):
    (tmp_path / "c.part").write_bytes(b"of one that was killed")

    def fail():
        yield from ()
        raise InvalidBlock("a trail", 1, 2)

    with pytest.raises(InvalidBlock):
        write_checkpoint(tmp_path / "c", chain.chain_id, fail(), chain.state)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "c.part").write_bytes(b"of one that was killed")
    trail = build_trail(chain.genesis, take_blocks(chain, chain.height))
    write_checkpoint(tmp_path / "c", chain.chain_id, trail, chain.state)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    assert read_checkpoint(tmp_path / "c", chain.genesis).height == chain.height
