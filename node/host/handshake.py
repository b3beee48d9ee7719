"""The handshake: two strangers become a link, or learn why not. Bytes in, bytes out, no I/O.

    initiator                                                                  responder
    HELLO    magic version kind chain ephemeral            ─►
             ◄─    REPLY    magic version status chain     ephemeral header {claim}
    PROOF    header {claim}                                ─►
             ◄─    VERDICT  {status}

{...} is a record of an encrypted stream, one for each direction, which the link then goes on
with. Its key is a hash of the X25519 secret and of all that was said in clear, so a change of
any of it makes the first record a forgery. A claim is an identity, a role, and the identity's
signature over what was said before and the claim itself, under a domain that names the
direction. That is SIGMA with the identities encrypted (Krawczyk, "SIGMA: the SIGn-and-MAc
approach to authenticated Diffie-Hellman", CRYPTO 2003, section 5.2): who records a link and
later steals both identities' keys cannot read it; who replays a flight meets another ephemeral;
who reflects one meets the other direction's key. Whoever dials shows itself last, and only to
the identity that it expects.

Every flight has one fixed size. Whoever drives a party gives ``receive`` exactly ``wanted``
bytes and sends what it returns, until ``wanted`` is 0. A status other than 0 in clear says that
the chain or the version is another; nothing relies on it.

The same HELLO of another kind asks for the genesis, which is public: a citizen who knows no
more than an address begins with it.
"""

from collections.abc import Callable
from enum import Enum
from hashlib import blake2b
from typing import NamedTuple

from node.crypto import Identity, digest, is_signature_valid
from node.host.cipher import (
    PUBLIC_BYTES,
    SEAL_OVERHEAD_BYTES,
    STREAM_HEADER_BYTES,
    STREAM_KEY_BYTES,
    Ephemeral,
    Opener,
    Sealer,
)
from node.host.errors import HandshakeFailed, LinkBroken, LinkRefused
from node.inputs import Role
from node.types import CHAIN_ID_BYTES, KEY_BYTES, SIGNATURE_BYTES, PublicKey

VERSION = 1
GENESIS_BYTES_MAX = 1024 * 1024

_MAGIC = b"veche"
_LINK, _GENESIS = b"L", b"G"
_OK = 0
_FROM_INITIATOR, _FROM_RESPONDER = b"veche initiator", b"veche responder"
_ROLES = {1: Role.VALIDATOR, 2: Role.RELAY, 3: Role.OBSERVER}
_ROLE_CODES = {role: bytes([code]) for code, role in _ROLES.items()}

_HEAD_BYTES = len(_MAGIC) + 2 + CHAIN_ID_BYTES
_CLAIM_BYTES = KEY_BYTES + 1 + SIGNATURE_BYTES
HELLO_BYTES = _HEAD_BYTES + PUBLIC_BYTES
PROOF_BYTES = STREAM_HEADER_BYTES + _CLAIM_BYTES + SEAL_OVERHEAD_BYTES
VERDICT_BYTES = 1 + SEAL_OVERHEAD_BYTES
_LENGTH_BYTES = 4


class Refusal(Enum):
    """Why a node takes no link: a code on the wire and words for people."""

    VERSION = 1, "other version"
    CHAIN = 2, "other chain"
    ROLE = 3, "not entitled to its role"
    DUPLICATE = 4, "already linked"
    FULL = 5, "no free slot"

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason


_REFUSALS = {refusal.code: refusal for refusal in Refusal}


class Terms(NamedTuple):
    """What a node brings into each of its handshakes."""

    identity: Identity
    role: Role
    chain_id: bytes


class Agreed(NamedTuple):
    """What a handshake leads to: who is there, and the two streams.

    ``role`` is what the other claims to be; whether it may is for the caller to say.
    """

    identity: PublicKey
    role: Role
    sealer: Sealer
    opener: Opener


class Initiator:
    """The side that dialled; it sends ``hello`` first. ``seed`` is 32 fresh random bytes.

    ``receive`` raises HandshakeFailed for whatever is not the other side of this handshake with
    the ``expected`` identity (None: any but our own), and LinkRefused when that one says no.
    ``agreed`` is there once ``wanted`` is 0.
    """

    def __init__(self, terms: Terms, seed: bytes, expected: PublicKey | None = None) -> None:
        self._terms = terms
        self._expected = expected
        self._ephemeral = Ephemeral(seed)
        self._step: Callable[[bytes], bytes] = self._upon_head
        self._head = b""
        self.hello = _MAGIC + bytes([VERSION]) + _LINK + terms.chain_id + self._ephemeral.public
        self.wanted = _HEAD_BYTES
        self.agreed: Agreed | None = None
        assert len(self.hello) == HELLO_BYTES

    def receive(self, data: bytes) -> bytes:
        """Take the next ``wanted`` bytes; returns what to send."""
        assert len(data) == self.wanted
        return self._step(data)

    def _upon_head(self, head: bytes) -> bytes:
        _check_head(head)
        if head[-CHAIN_ID_BYTES:] != self._terms.chain_id:
            raise HandshakeFailed(Refusal.CHAIN.reason)
        self._head = head
        self._step = self._upon_reply
        self.wanted = PUBLIC_BYTES + PROOF_BYTES
        return b""

    def _upon_reply(self, reply: bytes) -> bytes:
        other, proof = reply[:PUBLIC_BYTES], reply[PUBLIC_BYTES:]
        transcript = digest(b"link", self.hello + self._head + other)
        sealer, key = _derive_streams(
            self._ephemeral, other, transcript, _FROM_INITIATOR, _FROM_RESPONDER
        )
        opener, claim = _open_claim(key, proof)
        who, role = _verify_claim(claim, _FROM_RESPONDER, transcript)
        _check_identity(who, self._terms, self._expected)
        self.agreed = Agreed(who, role, sealer, opener)
        self._step = self._upon_verdict
        self.wanted = VERDICT_BYTES
        mine = _make_claim(self._terms, _FROM_INITIATOR, transcript + claim)
        return sealer.header + sealer.seal(mine)

    def _upon_verdict(self, verdict: bytes) -> bytes:
        assert self.agreed is not None
        (status,) = _open(self.agreed.opener, verdict)
        self.wanted = 0
        if status != _OK:
            raise LinkRefused(_get_reason(status))
        return b""


class Responder:
    """The side that was dialled. ``seed`` is 32 fresh random bytes.

    ``receive`` raises HandshakeFailed; ``farewell`` is then what to send, if anything, before
    hanging up. Once ``wanted`` is 0, either ``asks_genesis`` is set or ``agreed`` is there and
    the caller sends what ``welcome`` or ``refuse`` gives.
    """

    def __init__(self, terms: Terms, seed: bytes) -> None:
        self._terms = terms
        self._ephemeral = Ephemeral(seed)
        self._step: Callable[[bytes], bytes] = self._upon_hello
        self._transcript = b""
        self._claim = b""
        self._key = b""
        self._sealer: Sealer | None = None
        self.wanted = HELLO_BYTES
        self.farewell = b""
        self.asks_genesis = False
        self.agreed: Agreed | None = None

    def receive(self, data: bytes) -> bytes:
        """Take the next ``wanted`` bytes; returns what to send."""
        assert len(data) == self.wanted
        return self._step(data)

    def welcome(self) -> bytes:
        """The verdict that makes the link."""
        return self._judge(_OK)

    def refuse(self, refusal: Refusal) -> bytes:
        """The verdict that ends it."""
        return self._judge(refusal.code)

    def _judge(self, status: int) -> bytes:
        assert self.agreed is not None
        return self.agreed.sealer.seal(bytes([status]))

    def _upon_hello(self, hello: bytes) -> bytes:
        if not hello.startswith(_MAGIC):
            raise HandshakeFailed("not veche")
        version, kind = hello[len(_MAGIC)], hello[len(_MAGIC) + 1 : len(_MAGIC) + 2]
        if version != VERSION:
            raise self._part(Refusal.VERSION)
        if kind == _GENESIS:
            self.asks_genesis = True
            self.wanted = 0
            return b""
        if kind != _LINK:
            raise HandshakeFailed("not veche")
        if hello[_HEAD_BYTES - CHAIN_ID_BYTES : _HEAD_BYTES] != self._terms.chain_id:
            raise self._part(Refusal.CHAIN)
        return self._reply(hello)

    def _part(self, refusal: Refusal) -> HandshakeFailed:
        self.farewell = _make_head(refusal.code, self._terms.chain_id)
        return HandshakeFailed(refusal.reason)

    def _reply(self, hello: bytes) -> bytes:
        clear = _make_head(_OK, self._terms.chain_id) + self._ephemeral.public
        self._transcript = digest(b"link", hello + clear)
        self._sealer, self._key = _derive_streams(
            self._ephemeral, hello[_HEAD_BYTES:], self._transcript,
            _FROM_RESPONDER, _FROM_INITIATOR,
        )
        self._claim = _make_claim(self._terms, _FROM_RESPONDER, self._transcript)
        self._step = self._upon_proof
        self.wanted = PROOF_BYTES
        return clear + self._sealer.header + self._sealer.seal(self._claim)

    def _upon_proof(self, proof: bytes) -> bytes:
        assert self._sealer is not None
        opener, claim = _open_claim(self._key, proof)
        who, role = _verify_claim(claim, _FROM_INITIATOR, self._transcript + self._claim)
        _check_identity(who, self._terms, None)
        self.agreed = Agreed(who, role, self._sealer, opener)
        self.wanted = 0
        return b""


class GenesisAsker:
    """Asks a node for the genesis of its chain; it sends ``hello`` first.

    ``receive`` raises HandshakeFailed. ``genesis`` is there once ``wanted`` is 0: bytes that
    anyone could have sent, so whoever knows the chain's id must compare.
    """

    def __init__(self) -> None:
        self._step: Callable[[bytes], bytes] = self._upon_head
        self.hello = _MAGIC + bytes([VERSION]) + _GENESIS
        self.hello += bytes(HELLO_BYTES - len(self.hello))
        self.wanted = _HEAD_BYTES
        self.genesis: bytes | None = None

    def receive(self, data: bytes) -> bytes:
        """Take the next ``wanted`` bytes; returns what to send, which is nothing."""
        assert len(data) == self.wanted
        return self._step(data)

    def _upon_head(self, head: bytes) -> bytes:
        _check_head(head)
        self._step = self._upon_length
        self.wanted = _LENGTH_BYTES
        return b""

    def _upon_length(self, length: bytes) -> bytes:
        self.wanted = int.from_bytes(length)
        if not 0 < self.wanted <= GENESIS_BYTES_MAX:
            raise HandshakeFailed("genesis size")
        self._step = self._upon_genesis
        return b""

    def _upon_genesis(self, genesis: bytes) -> bytes:
        self.genesis = genesis
        self.wanted = 0
        return b""


def give_genesis(chain_id: bytes, genesis: bytes) -> bytes:
    """The answer to a GenesisAsker."""
    assert 0 < len(genesis) <= GENESIS_BYTES_MAX
    return _make_head(_OK, chain_id) + len(genesis).to_bytes(_LENGTH_BYTES) + genesis


def _make_head(status: int, chain_id: bytes) -> bytes:
    assert len(chain_id) == CHAIN_ID_BYTES
    return _MAGIC + bytes([VERSION, status]) + chain_id


def _check_head(head: bytes) -> None:
    if not head.startswith(_MAGIC):
        raise HandshakeFailed("not veche")
    version, status = head[len(_MAGIC)], head[len(_MAGIC) + 1]
    if version != VERSION:
        raise HandshakeFailed(Refusal.VERSION.reason)
    if status != _OK:
        raise HandshakeFailed(_get_reason(status))


def _get_reason(status: int) -> str:
    refusal = _REFUSALS.get(status)
    return "unknown status" if refusal is None else refusal.reason


def _derive_streams(
    mine: Ephemeral, other: bytes, transcript: bytes, sending: bytes, receiving: bytes
) -> tuple[Sealer, bytes]:
    """The stream to send on, and the key of the one to receive on."""
    if other == mine.public:
        raise HandshakeFailed("reflection")
    shared = mine.agree(other)
    if shared is None:
        raise HandshakeFailed("low-order point")
    keys = [
        blake2b(shared + transcript, digest_size=STREAM_KEY_BYTES, person=direction).digest()
        for direction in (sending, receiving)
    ]
    assert keys[0] != keys[1]
    return Sealer(keys[0]), keys[1]


def _make_claim(terms: Terms, direction: bytes, said: bytes) -> bytes:
    who = terms.identity.public + _ROLE_CODES[terms.role]
    claim = who + terms.identity.sign(digest(direction, said + who))
    assert len(claim) == _CLAIM_BYTES
    return claim


def _open(opener: Opener, sealed: bytes) -> bytes:
    try:
        plain, is_last = opener.open(sealed)
    except LinkBroken as error:
        raise HandshakeFailed(error.reason) from error
    if is_last:
        raise HandshakeFailed("forged record")
    return plain


def _open_claim(key: bytes, proof: bytes) -> tuple[Opener, bytes]:
    opener = Opener(key, proof[:STREAM_HEADER_BYTES])
    return opener, _open(opener, proof[STREAM_HEADER_BYTES:])


def _verify_claim(claim: bytes, direction: bytes, said: bytes) -> tuple[PublicKey, Role]:
    assert len(claim) == _CLAIM_BYTES
    who, signature = claim[:-SIGNATURE_BYTES], claim[-SIGNATURE_BYTES:]
    identity, role = who[:KEY_BYTES], _ROLES.get(who[KEY_BYTES])
    if role is None:
        raise HandshakeFailed("unknown role")
    if not is_signature_valid(identity, digest(direction, said + who), signature):
        raise HandshakeFailed("bad signature")
    return identity, role


def _check_identity(who: PublicKey, terms: Terms, expected: PublicKey | None) -> None:
    if who == terms.identity.public:
        raise HandshakeFailed("own identity")
    if expected is not None and who != expected:
        raise HandshakeFailed("other identity")
