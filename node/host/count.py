"""One voting as a citizen counts it: ballots in order, the key, what opens to what."""

from dataclasses import dataclass, field
from itertools import combinations

from node.crypto import derive_box_public, open_box
from node.services import election
from node.services.shares import combine_shares
from node.types import PublicKey

PLAIN_BYTES = 16
SPOILT = 0


@dataclass(slots=True)
class Ballot:
    """A sealed ballot and its place in the chain's order.

    ``choice`` is None until the box has been opened, 0 for spoiled. There is no box if that was
    settled before the recount begins.
    """

    place: int
    district: int
    box_public: bytes
    nonce: bytes
    box: bytes
    choice: int | None = None
    is_superseded: bool = False


@dataclass(slots=True, kw_only=True)
class Count:
    """What one voting's transactions say. ``ballots`` stand in the order of the chain.

    ``untimed`` are those of whose block nothing is known here, hence not when it was.
    """

    voting: int
    districts: int
    choices: int
    open_ns: int
    deadline_ns: int
    threshold: int
    box_public: bytes
    secret: bytes = b""
    shares: dict[int, bytes] = field(default_factory=dict)
    ballots: dict[PublicKey, Ballot] = field(default_factory=dict)
    commitments: dict[PublicKey, set[bytes]] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    untimed: int = 0

    @property
    def taken(self) -> int:
        """Ballots that were settled before the recount begins: nobody here opened them."""
        return sum(not ballot.box for ballot in self.ballots.values())

    def add_ballot(self, key: PublicKey, ballot: Ballot, time_ns: int) -> None:
        """A ballot of a block: in its time, and the only one of its key, or a finding."""
        if key in self.ballots:
            self.findings.append(f"key {key.hex()[:12]} has two ballots")
        self.check_hours(key, time_ns)
        self.ballots[key] = ballot

    def check_hours(self, key: PublicKey, time_ns: int) -> None:
        """A ballot whose block was not in the voting's hours is a finding."""
        if not self.open_ns <= time_ns <= self.deadline_ns:
            self.findings.append(f"ballot of {key.hex()[:12]} outside of the voting's hours")

    def add_share(self, index: int, share: bytes) -> None:
        """A holder's share; the secret is known once enough of them are true."""
        self.shares[index] = share
        if self.secret:
            return
        for subset in combinations(self.shares.items(), self.threshold):
            secret = combine_shares(dict(subset))
            if derive_box_public(secret) == self.box_public:
                self.secret = secret
                return

    def resolve(self, group_secret: bytes, keys: list[PublicKey]) -> None:
        """Of one voter's ballots only the last stands, if the group is proven and whole."""
        cast: dict[PublicKey, Ballot] = {}
        for key in keys:
            ballot = self.ballots.get(key)
            if ballot is not None and ballot.choice is not None:
                return  # nobody may choose among a voter's ballots once one is open
            if ballot is not None and ballot.is_superseded:
                continue
            commitment = election.compute_commitment(group_secret, key)
            if commitment not in self.commitments.get(key, ()):
                return
            if ballot is not None:
                cast[key] = ballot
        for ballot in sorted(cast.values(), key=lambda ballot: ballot.place)[:-1]:
            ballot.is_superseded = True

    def check_claim(self, key: PublicKey, claim: bytes) -> None:
        """The office says what a ballot holds: it counts as open only if that is true."""
        ballot = self.ballots.get(key)
        if ballot is None or ballot.is_superseded or ballot.choice is not None:
            return
        plain = self.open(ballot)
        if claim != (plain if ballot.choice else bytes(PLAIN_BYTES)):
            ballot.choice = None

    def open(self, ballot: Ballot) -> bytes | None:
        """What the box holds; the ballot's choice is settled by it."""
        assert ballot.box, "what was settled before stays as it is"
        plain = open_box(ballot.box, ballot.nonce, ballot.box_public, self.secret)
        ballot.choice = SPOILT
        if plain is not None and len(plain) == PLAIN_BYTES and not any(plain[2:]):
            choice = int.from_bytes(plain[:2], "big")
            ballot.choice = choice if choice <= self.choices else SPOILT
        return plain

    def sum_up(self) -> tuple[tuple[int, ...], ...]:
        """``[district - 1][choice]`` of all ballots that stand, opened here if need be."""
        tallies = [[0] * (self.choices + 1) for _ in range(self.districts)]
        for ballot in self.ballots.values():
            if not ballot.is_superseded:
                if ballot.choice is None:
                    self.open(ballot)
                assert ballot.choice is not None
                tallies[ballot.district - 1][ballot.choice] += 1
        return tuple(map(tuple, tallies))
