import pytest

from node.crypto import (
    BOX_OVERHEAD_BYTES,
    Identity,
    derive_box_public,
    digest,
    is_signature_valid,
    make_box_keys,
    open_box,
    seal_box,
)

ORDER = 2**252 + 27742317777372353535851937790883648493
ALICE = Identity(bytes(range(32)))
MESSAGE = b"a ballot"
NONCE = bytes(24)

# the eight points of small order, and encodings of them with y above the field's prime
SMALL_ORDER = [bytes.fromhex(text) for text in (
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)]


def test_a_signature_holds_for_its_key_and_message_only():
    signature = ALICE.sign(MESSAGE)
    assert is_signature_valid(ALICE.public, MESSAGE, signature)
    assert not is_signature_valid(ALICE.public, b"another", signature)
    assert not is_signature_valid(Identity(bytes(32)).public, MESSAGE, signature)


def test_signatures_are_those_of_rfc_8032():
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    signature = Identity(seed).sign(b"\x72")
    assert signature.hex().startswith("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8f")


@pytest.mark.parametrize("flipped", [0, 31, 32, 63])
def test_a_changed_signature_is_refused(flipped):
    signature = bytearray(ALICE.sign(MESSAGE))
    signature[flipped] ^= 1
    assert not is_signature_valid(ALICE.public, MESSAGE, bytes(signature))


def test_a_signature_with_the_group_order_added_is_refused():
    signature = ALICE.sign(MESSAGE)
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    assert scalar < 2**256
    other = signature[:32] + scalar.to_bytes(32, "little")
    assert not is_signature_valid(ALICE.public, MESSAGE, other)


@pytest.mark.parametrize("key", SMALL_ORDER)
def test_a_key_of_small_order_signs_nothing(key):
    for first in SMALL_ORDER:
        assert not is_signature_valid(key, MESSAGE, first + bytes(32))


def test_a_first_half_of_small_order_is_refused():
    for first in SMALL_ORDER:
        assert not is_signature_valid(ALICE.public, MESSAGE, first + bytes(32))


def test_wrong_lengths_are_refused_without_an_error():
    signature = ALICE.sign(MESSAGE)
    for key, other in (
        (b"", signature), (ALICE.public[:31], signature), (ALICE.public + b"\0", signature),
        (ALICE.public, b""), (ALICE.public, signature[:63]), (ALICE.public, signature + b"\0"),
    ):
        assert not is_signature_valid(key, MESSAGE, other)


def test_a_signature_does_not_slide_into_the_message():
    signature = ALICE.sign(b"xy")
    assert not is_signature_valid(ALICE.public, b"y", signature + b"x")


def test_an_identity_does_not_print_its_secret():
    assert repr(ALICE) == f"Identity({ALICE.public.hex()[:12]})"


def test_a_box_opens_for_both_ends_and_no_one_else():
    mine, my_secret = make_box_keys(bytes(32))
    yours, your_secret = make_box_keys(bytes([1]) * 32)
    box = seal_box(b"choice 3", NONCE, yours, my_secret)
    assert len(box) == 8 + BOX_OVERHEAD_BYTES
    assert open_box(box, NONCE, mine, your_secret) == b"choice 3"
    assert open_box(box, NONCE, yours, my_secret) == b"choice 3"
    assert open_box(box, NONCE, mine, my_secret) is None
    assert open_box(box[:-1] + bytes([box[-1] ^ 1]), NONCE, mine, your_secret) is None


def test_a_box_of_wrong_sizes_or_to_a_weak_key_opens_to_nothing():
    mine, _ = make_box_keys(bytes(32))
    yours, your_secret = make_box_keys(bytes([1]) * 32)
    assert open_box(b"short", NONCE, mine, your_secret) is None
    assert open_box(bytes(40), b"nonce", mine, your_secret) is None
    assert open_box(bytes(40), NONCE, mine[:31], your_secret) is None
    assert open_box(bytes(40), NONCE, bytes(32), your_secret) is None
    assert derive_box_public(your_secret) == yours


def test_digests_of_different_domains_differ():
    assert digest(b"a", b"bc") != digest(b"ab", b"c")
    assert digest(b"header", b"x") != digest(b"bundle", b"x")
    assert len(digest(b"a", b"")) == 32
