"""Small real things to test with: keys, transactions, bundles, a sealed block."""

from hashlib import sha256

from node.block import Seal, compute_seal_message, make_block, make_header
from node.bundle import decode_bundle, make_bundle
from node.crypto import Identity
from node.merkle import compute_root
from node.params import Params
from node.receipt import OK, encode_receipt
from node.state import EMPTY_STATE
from node.transaction import make_transaction

CHAIN = b"chain-id"
PARAMS = Params()


def make_identity(name):
    return Identity(sha256(str(name).encode()).digest())


VALIDATORS = sorted((make_identity(f"validator {i}") for i in range(4)), key=lambda x: x.public)
KEYS = tuple(identity.public for identity in VALIDATORS)


def make_sample_transaction(sender="voter", nonce=0, payload=(1, 7, bytes(32))):
    return make_transaction(make_identity(sender), CHAIN, 3, nonce, list(payload))


def make_sample_bundle(relay="relay", sequence=0, transactions=None, params=PARAMS):
    items = transactions or [make_sample_transaction(f"{relay} {sequence}")]
    return decode_bundle(make_bundle(make_identity(relay), CHAIN, sequence, items), params)


def make_sealed_block(receipts, state=EMPTY_STATE, height=7, round_number=2, sealers=(0, 1, 3)):
    nothing = bytes(32)
    header = make_header(
        CHAIN, height, nothing, 10**18, KEYS[0], nothing, compute_root(receipts), state.root,
        KEYS, None,
    )
    message = compute_seal_message(CHAIN, height, round_number, header.digest)
    seals = tuple(Seal(index, VALIDATORS[index].sign(message)) for index in sealers)
    return make_block(header, round_number, seals, ())


def make_receipts(count, height=7):
    return tuple(
        encode_receipt(sha256(bytes([index])).digest(), height, index, OK)
        for index in range(count)
    )
