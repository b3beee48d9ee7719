from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import merkle
from node.errors import InvalidProof
from node.merkle import EMPTY_ROOT, MerkleTree, PathChecker, compute_root, verify_path

# Certificate Transparency's reference tree: eight inputs and the root after each
LEAVES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def refuse(*arguments):
    with pytest.raises(InvalidProof) as caught:
        verify_path(*arguments)
    return caught.value.reason


@pytest.mark.parametrize("count", range(1, 9))
def test_roots_are_those_of_certificate_transparency(count):
    assert compute_root(LEAVES[:count]).hex() == ROOTS[count - 1]
    assert MerkleTree(LEAVES[:count]).root.hex() == ROOTS[count - 1]


def test_the_empty_tree_has_a_root_of_its_own():
    assert compute_root([]) == MerkleTree([]).root == EMPTY_ROOT == sha256(b"").digest()
    assert compute_root([b""]) != EMPTY_ROOT


@pytest.mark.parametrize("count", [*range(1, 34), 100])
def test_every_leaf_of_every_size_has_a_path(count):
    leaves = [bytes([index]) for index in range(count)]
    tree = MerkleTree(leaves)
    assert tree.root == compute_root(leaves)
    for index, leaf in enumerate(leaves):
        path = tree.prove(index)
        assert len(path) <= (count - 1).bit_length()
        verify_path(tree.root, leaf, index, count, path)


def test_a_path_proves_one_leaf_at_one_place():
    leaves = [bytes([index]) for index in range(11)]
    tree = MerkleTree(leaves)
    for index in range(11):
        path = tree.prove(index)
        for other in range(11):
            if other != index:
                assert "path:" in refuse(tree.root, leaves[index], other, 11, path)
                assert refuse(tree.root, leaves[other], index, 11, path) == "path: another root"


def test_each_failure_says_which_step_failed():
    tree = MerkleTree(LEAVES)
    path = tree.prove(5)
    leaf = LEAVES[5]
    assert refuse(tree.root, leaf, 8, 8, path) == "path: index outside of the tree"
    assert refuse(tree.root, leaf, -1, 8, path) == "path: index outside of the tree"
    assert refuse(tree.root, leaf, 0, 0, path) == "path: index outside of the tree"
    assert refuse(tree.root, leaf, 5, 8, path[:-1]) == "path: too short"
    assert refuse(tree.root, leaf, 5, 8, (*path, path[0])) == "path: too long"
    assert refuse(bytes(32), leaf, 5, 8, path) == "path: another root"
    assert refuse(tree.root, leaf, 5, 8, path[::-1]) == "path: another root"


def test_a_node_does_not_pass_for_a_leaf():
    tree = MerkleTree(LEAVES[:2])
    left, right = (sha256(b"\0" + leaf).digest() for leaf in LEAVES[:2])
    assert refuse(tree.root, left + right, 0, 1, ()) == "path: another root"
    assert refuse(tree.root, b"\1" + left + right, 0, 1, ()) == "path: another root"


def test_doubling_the_last_leaf_changes_the_root():
    assert compute_root(LEAVES[:3]) != compute_root([*LEAVES[:3], LEAVES[2]])


@pytest.mark.parametrize("count", [1, 2, 3, 8, 13, 100])
def test_all_leaves_together_hash_each_inner_node_once_or_twice(count, monkeypatch):
    leaves = [bytes([index]) for index in range(count)]
    tree = MerkleTree(leaves)
    hashed = []

    def watched(content):
        hashed.append(content)
        return sha256(content)

    monkeypatch.setattr(merkle, "sha256", watched)
    checker = PathChecker(tree.root, count)
    for index, leaf in enumerate(leaves):
        checker.verify(leaf, index, tree.prove(index))
    # each leaf and its parent, and one step more for the first of two that meet
    assert len(hashed) <= 3 * count
    hashed.clear()
    for index, leaf in enumerate(leaves):
        verify_path(tree.root, leaf, index, count, tree.prove(index))
    assert len(hashed) == sum(1 + len(tree.prove(index)) for index in range(count))


STEPS = st.lists(st.tuples(
    st.integers(0, 12), st.integers(0, 12), st.integers(0, 12),
    st.sampled_from(["", "short", "long", "swapped", "changed"]),
), max_size=30)


@given(st.integers(1, 12), STEPS)
def test_a_checker_of_many_paths_says_of_each_what_is_said_of_it_alone(count, steps):
    tree = MerkleTree([bytes([index]) for index in range(count)])
    checker = PathChecker(tree.root, count)
    for leaf, index, proven, change in steps:
        path = list(tree.prove(proven % count))
        if change == "short":
            path = path[:-1]
        elif change == "long":
            path.append(bytes(32))
        elif change == "swapped":
            path.reverse()
        elif change == "changed" and path:
            path[leaf % len(path)] = bytes(32)
        try:
            verify_path(tree.root, bytes([leaf]), index, count, path)
            expected = None
        except InvalidProof as error:
            expected = error.reason
        try:
            checker.verify(bytes([leaf]), index, tuple(path))
            said = None
        except InvalidProof as error:
            said = error.reason
        assert said == expected


def test_a_path_that_goes_on_otherwise_is_refused_after_all_others_have_held():
    leaves = [bytes([index]) for index in range(11)]
    tree = MerkleTree(leaves)
    checker = PathChecker(tree.root, 11)
    for index, leaf in enumerate(leaves):
        checker.verify(leaf, index, tree.prove(index))
    for index, leaf in enumerate(leaves):
        path = tree.prove(index)
        others = [(*path[:at], bytes(32), *path[at + 1 :]) for at in range(len(path))]
        for other in (*others, path[:-1], (*path, bytes(32))):
            reason = refuse(tree.root, leaf, index, 11, other)
            with pytest.raises(InvalidProof) as caught:
                checker.verify(leaf, index, other)
            assert caught.value.reason == reason
