"""A ballot's proof of a real chain, and every way to tamper with one that a test tries."""

from dataclasses import replace

from node.block import Seal, compute_seal_message, decode_block, make_header
from node.codec import decode, encode
from node.errors import InvalidProof
from node.merkle import compute_root
from node.proof import (
    decode_inclusion_proof,
    decode_record_proof,
    encode_inclusion_proof,
    make_inclusion_proof,
    make_record_proof,
    verify_inclusion,
    verify_record_proof,
)
from node.receipt import encode_receipt
from tests.node.host.desks import FakeDesk
from tests.node.samples import make_identity

OTHER_CHAIN = bytes(8)


class Proofs:
    """``ballot`` is in a block of five receipts, sealed by three of four validators."""

    def __init__(self):
        self.desk = desk = FakeDesk()
        desk.cast()
        for _ in range(5):
            desk.nonce += 1
            desk.net.submit(desk.net.relays[0], desk.net.make_grant(desk.nonce))
        desk.grow()
        chain = desk.chain
        self.chain_id = chain.chain_id
        self.validators = desk.genesis.validators
        self.signers = desk.net.identities
        self.block = decode_block(chain.get_encoded(chain.height), desk.genesis.params)
        self.receipts = chain.output.receipts
        self.good = make_inclusion_proof(self.block, self.receipts, 3)
        self.record = make_record_proof(self.block, chain.state, b"nonce/" + bytes(32))
        assert len(self.good.sealed.seals) == 3

    def seal(self, header, round_number=0, sealers=(0, 1, 2), signers=None):
        """Real signatures by validators, or by others in their place."""
        message = compute_seal_message(
            header.chain_id, header.height, round_number, header.digest
        )
        signers = signers or self.signers
        return tuple(Seal(index, signers[index].sign(message)) for index in sealers)

    def change_header(self, **fields):
        """The proof with another header and the same seals."""
        header = self.block.header
        names = ("chain_id", "height", "parent", "time_ns", "proposer", "bundles_root",
                 "receipts_root", "state_root", "validators", "vote")
        return make_header(**{name: getattr(header, name) for name in names} | fields)

    def encode_header(self, vote):
        """The header with any vote, well-formed or not."""
        fields = decode(self.block.header.encoded, 1 << 16)
        return encode([*fields[:-1], vote])

    def reseal(self, **fields):
        return replace(self.good, sealed=replace(self.good.sealed, **fields))

    def list_tampered(self):
        """(what was done, the proof's bytes, the reason of the refusal)."""
        good, seals = self.good, self.good.sealed.seals
        other = self.receipts[2]
        header = self.change_header(state_root=bytes(32))
        strangers = [make_identity(f"stranger {n}") for n in range(4)]
        theirs = self.change_header(validators=tuple(sorted(s.public for s in strangers)))
        strangers.sort(key=lambda identity: identity.public)
        forged = self.forge_block()
        flipped = replace(seals[1], signature=flip(seals[1].signature, 7))
        cases = [
            ("receipt", replace(good, receipt=other), "path: another root"),
            ("receipt's bit", replace(good, receipt=flip(good.receipt, 5)),
             "path: another root"),
            ("status", replace(good, receipt=good.receipt.replace(b"ok", b"no")),
             "path: another root"),
            ("index", replace(good, index=2), "path: another root"),
            ("path", replace(good, path=(bytes(32), *good.path[1:])), "path: another root"),
            ("path's order", replace(good, path=good.path[::-1]), "path: another root"),
            ("path cut", replace(good, path=good.path[:-1]), "path: too short"),
            ("path longer", replace(good, path=(*good.path, bytes(32))), "path: too long"),
            ("header", self.reseal(header=header.encoded), "seals: seal signature"),
            ("vote", self.reseal(header=self.encode_header([b"short", True])),
             "header: wrong vote"),
            ("vote's kind", self.reseal(header=self.encode_header([bytes(32), 1])),
             "header: wrong vote"),
            ("index outside", replace(good, index=5), "encoding: not an inclusion proof"),
            ("header garbage", self.reseal(header=b"\x01"), "header: wrong fields"),
            ("header cut", self.reseal(header=good.sealed.header[:-1]),
             f"header: truncated ({len(good.sealed.header) - 1} bytes)"),
            ("chain", self.reseal(
                header=self.change_header(chain_id=OTHER_CHAIN).encoded
            ), "header: another chain"),
            ("validators", self.reseal(
                header=theirs.encoded, seals=self.seal(theirs, signers=strangers)
            ), "header: other validators"),
            ("seal", self.reseal(seals=(seals[0], flipped, seals[2])), "seals: seal signature"),
            ("round", self.reseal(round=good.sealed.round + 1), "seals: seal signature"),
            ("too few seals", self.reseal(seals=seals[:2]), "seals: too few seals"),
            ("no seals", self.reseal(seals=()), "seals: too few seals"),
            ("seal twice", self.reseal(seals=(seals[0], seals[0], seals[2])),
             "seals: seals not of distinct validators"),
            ("seals' order", self.reseal(seals=seals[::-1]),
             "seals: seals not of distinct validators"),
            ("seal of nobody", self.reseal(seals=(*seals[:2], Seal(4, bytes(64)))),
             "seals: seals not of distinct validators"),
            ("seals of strangers", self.reseal(
                seals=self.seal(self.block.header, good.sealed.round, signers=strangers)
            ), "seals: seal signature"),
            ("seals moved", self.reseal(seals=self.move(seals)), "seals: seal signature"),
            ("another place", forged, "receipt: of another place"),
        ]
        return [
            (name, encode_inclusion_proof(proof), reason) for name, proof, reason in cases
        ] + [
            ("cut", encode_inclusion_proof(good)[:-1], "encoding: truncated"),
            ("garbage", b"garbage", "encoding: trailing bytes"),
            ("not a proof", encode([1, 2, 3]), "encoding: not"),
        ]

    def move(self, seals):
        """Each seal under the name of the next validator."""
        free = [n for n in range(4) if n not in {seal.validator for seal in seals}]
        indices = sorted([seal.validator for seal in seals[1:]] + free)
        return tuple(
            replace(seal, validator=index) for seal, index in zip(seals, indices, strict=True)
        )

    def forge_block(self):
        """A block that a quorum of dishonest validators sealed, with receipts of elsewhere."""
        receipts = tuple(encode_receipt(bytes(32), 99, n, "ok") for n in range(3))
        header = self.change_header(receipts_root=compute_root(receipts))
        block = replace(self.block, header=header, round=0, seals=self.seal(header))
        return make_inclusion_proof(block, receipts, 1)


def flip(data, at):
    """One bit changed."""
    changed = bytearray(data)
    changed[at % len(changed)] ^= 1 << at % 8
    return bytes(changed)


def judge(encoded, validators, chain_id):
    """What node/proof.py says of the bytes: "ok" or the reason."""
    try:
        proof = decode_inclusion_proof(encoded)
    except InvalidProof as error:
        return judge_record(encoded, validators, chain_id, error.reason)
    return get_reason(verify_inclusion, proof, validators, chain_id)


def judge_record(encoded, validators, chain_id, otherwise):
    try:
        record = decode_record_proof(encoded)
    except InvalidProof as error:
        is_other = error.reason == "encoding: not a record proof"
        return otherwise if is_other else error.reason
    return get_reason(verify_record_proof, record, validators, chain_id)


def get_reason(verify, *arguments):
    """ "ok", or why ``verify`` refuses."""
    try:
        verify(*arguments)
    except InvalidProof as error:
        return error.reason
    return "ok"
