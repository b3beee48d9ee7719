"""Citizens who join at a checkpoint: what they are told, what stays behind if it fails."""

import json

import pytest
import trio

from node.block import Seal, compute_seal_message, decode_block, make_block, make_header
from node.chain import Chain
from node.host.checkpoint import read_checkpoint
from node.host.command import main
from node.host.errors import SettingsError, SyncFailed
from node.host.genesis import save_genesis
from node.host.joining import join
from node.host.making import make_checkpoint
from node.host.origin import Origin, place_checkpoint
from node.host.process import open_parts
from node.host.settings import Address, Settings
from node.inputs import Role
from node.merkle import MerkleTree
from node.services import election
from node.validation import compute_bundles_root
from node.work import Work
from sim.identities import derive_identities
from sim.streams import Streams
from sim.topology import Topology
from tests.node.host.elections import make_election_chain, store_chain
from tests.node.host.test_checkpoint import find_height
from tests.node.host.test_joining import serve
from tests.node.samples import make_identity
from tests.scenarios.small import make_small

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def chain():
    return make_election_chain()


@pytest.fixture(scope="module")
def folders(chain, tmp_path_factory):
    """Folders of nodes that hold the chain up to a height, by that; None is all of it."""
    root = tmp_path_factory.mktemp("folders")

    def get(last=None):
        folder = root / str(last)
        if not folder.exists():
            store_chain(chain, folder, last)
        return folder

    return get


@pytest.fixture(scope="module")
def files(chain, folders, tmp_path_factory):
    """Checkpoints by height."""
    root = tmp_path_factory.mktemp("files")

    def get(height):
        path = root / str(height)
        if not path.exists():
            make_checkpoint(folders(), chain.genesis, path, height)
        return path

    return get


def make_settings(folder):
    return Settings(role=Role.OBSERVER, genesis=folder, key=folder, data=folder,
                    listen=Address("127.0.0.1", 0))


@pytest.fixture
def run(chain, tmp_path, capsys):
    """Exit code, output, errors of a join with these words, from a node with that folder."""
    genesis = tmp_path / "genesis.json"
    save_genesis(chain.genesis, genesis)

    async def run_one(folder, *words):
        def task(place):
            return main(["--join", str(place), "--genesis", str(genesis), *map(str, words)])

        code = await serve(make_settings(folder), chain.genesis, task)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_one


async def test_from_a_checkpoint_before_the_close_every_box_is_opened_here(
    chain, folders, files, run
):
    height = find_height(chain, election.CLOSE_VOTING)
    digest = chain.get_digest(height).hex()
    code, out, _ = await run(folders(), "--checkpoint", files(height), "--trust", digest)
    assert code == 0
    assert digest in out
    assert f"not checked: what blocks 1 to {height:,} did" in out
    assert f"blocks {height + 1:,} to {chain.height:,}: executed here, all valid" in out
    assert "settled before" not in out
    assert out.endswith("the published result agrees, in every district\n")
    assert max(map(len, out.splitlines())) <= 80


async def test_what_was_settled_before_the_checkpoint_is_said_to_be_taken(
    chain, folders, files, run
):
    code, out, _ = await run(folders(), "--checkpoint", files(chain.height), "--json")
    assert code == 0
    content = json.loads(out)
    (voting,) = content["votings"]
    assert voting["taken_from_checkpoint"] == voting["stored"] > 50
    assert content["checkpoint"]["height"] == content["height"] == chain.height
    _, out, _ = await run(folders(), "--checkpoint", files(chain.height))
    assert "no block was executed here" in out
    assert "not one of these was opened here" in out
    assert max(map(len, out.splitlines())) <= 80


async def test_before_the_result_is_published_it_says_so(chain, folders, files, run):
    height = find_height(chain, election.FINALIZE_VOTING)
    for words in ([], ["--checkpoint", files(height // 2)]):
        code, out, _ = await run(folders(height), *words)
        assert (code, "no result is published yet" in out) == (111, True)


async def test_a_kept_chain_goes_on_from_its_checkpoint_and_serves_others(
    chain, folders, files, run, tmp_path
):
    kept, height = tmp_path / "kept", chain.height // 2
    words = ("--data", kept, "--checkpoint", files(height))
    code, _, _ = await run(folders(chain.height - 2), *words)
    assert code in (0, 111)
    code, out, err = await run(folders(), *words)
    assert (code, "it is not empty" in err) == (104, True)
    code, out, _ = await run(folders(), "--data", kept)
    assert (code, f"began at block {height:,}" in out) == (0, True)
    # a node upon it: one that has less asks it in vain, and neither ends
    code, _, err = await run(kept)
    assert (code, "gave no more than 0 of its" in err) == (112, True)
    late = tmp_path / "late"
    code, out, _ = await run(kept, "--data", late, "--checkpoint", files(height + 1))
    assert (code, "agrees" in out) == (0, True)


@pytest.mark.parametrize("role", ["validator", "relay"])
def test_whoever_must_serve_old_blocks_does_not_start_upon_a_checkpoint(
    chain, files, tmp_path, role
):
    folder = tmp_path / "data"
    place_checkpoint(files(9), folder)
    origin = Origin.of(read_checkpoint(files(9), chain.genesis))
    settings = Settings(role=Role(role), genesis=folder, key=folder, data=folder)
    opened = open_parts(settings, chain.genesis, make_identity(role), [], origin)
    with pytest.raises(SettingsError, match="only an observer without http"), opened:
        pass


@pytest.mark.parametrize(("case", "code", "said"), [
    ("ahead", 112, "is at block 5, behind block 9 here"),
    ("damaged", 104, "damaged or cut short"),
    ("trust", 104, "its block is"),
    ("absent", 104, "No such file"),
])
async def test_what_fails_leaves_nothing_in_the_folder(
    chain, folders, files, run, tmp_path, case, code, said
):
    file, folder, more = files(9), folders(), []
    if case == "ahead":
        folder = folders(5)
    elif case == "damaged":
        file = tmp_path / "cut"
        file.write_bytes(files(9).read_bytes()[:-1])
    elif case == "trust":
        more = ["--trust", "0" * 64]
    else:
        file = tmp_path / "nothing"
    for data in ("new", "empty", "link"):
        if data == "empty":
            (tmp_path / data).mkdir()
        elif data == "link":
            (tmp_path / data).symlink_to(tmp_path / "empty")
        found, out, err = await run(
            folder, "--checkpoint", file, "--data", tmp_path / data, *more
        )
        assert (found, out) == (code, "")
        assert said in err
        assert (tmp_path / data).exists() == (data != "new")
        assert data == "new" or not any((tmp_path / data).iterdir())


async def test_a_peer_whose_chain_is_another_is_not_followed(chain, folders, files, tmp_path):
    """The same genesis, two histories: the citizen's begins at the checkpoint of the other."""
    other = fork(chain)
    served = tmp_path / "other"
    store_chain(other, served)
    said = []

    def task(place):
        with pytest.raises(SyncFailed, match=r"follow upon block 9 here|its block"):
            join(place, chain.genesis, tmp_path / "data", said.append, files(9))
        return True

    with trio.fail_after(60):
        assert await serve(make_settings(served), chain.genesis, task)
    assert not (tmp_path / "data").exists()


def fork(chain):
    """Other blocks under the same genesis: sealed by its validators, who must not do that."""
    scenario = make_small(users=60, peers=20, revote_ratio=0.4)
    topology = Topology.build(scenario.build_topology_config(), Streams(scenario.seed))
    people = {who.public: who for who in derive_identities(scenario.seed, topology)}
    forked = Chain(chain.genesis)
    first = decode_block(chain.get_encoded(1), chain.genesis.params).header
    time_ns = first.time_ns + 1
    for _ in range(15):
        keys = forked.authorities.validators
        header = make_header(
            chain.chain_id, forked.height + 1, forked.head.digest, time_ns, keys[0],
            compute_bundles_root([]), MerkleTree([]).root, forked.state.root, keys, None,
        )
        message = compute_seal_message(chain.chain_id, header.height, 0, header.digest)
        seals = tuple(Seal(n, people[key].sign(message)) for n, key in enumerate(keys))
        block = make_block(header, 0, seals, ())
        forked.take(forked.plan_step(block.encoded, block, Work()))
        time_ns += chain.genesis.params.block_interval_ns
    return forked
