"""A town: one ledger, one registrar, and the election's calls in short form."""

import pytest

from node.crypto import derive_box_public, digest, open_box
from node.errors import Refused
from node.ledger import Ledger
from node.services import election
from node.services.call import Call
from node.services.catalogue import HANDLERS
from node.services.identity import ENABLE_SERVICE, make_enable_service
from node.services.shares import split_secret
from node.state import EMPTY_STATE

OPEN_NS, CLOSE_NS, GRACE_NS = 1_000, 2_000, 100
NOON_NS, AFTER_NS = 1_500, 2_101
CHOICES = 4


class Opener:
    """Opens boxes and counts them."""

    opened = 0

    def open_box(self, box, nonce, sender, secret):
        self.opened += 1
        return open_box(box, nonce, sender, secret)


def name_key(name):
    """A 32-byte key for a name; services never check signatures."""
    return digest(b"test", str(name).encode())


class Town:
    """Carries out calls one by one, as the execution of a block does."""

    REGISTRAR = name_key("registrar")
    HOLDERS = tuple(name_key(f"holder {index}") for index in range(1, 6))
    SECRET = name_key("election secret")
    PUBLIC = derive_box_public(SECRET)
    SHARES = split_secret(SECRET, name_key("shares"), threshold=3, count=5)

    def __init__(self):
        self.ledger = Ledger(EMPTY_STATE)
        self.opener = Opener()
        self.sequence = 1 << 20
        self.written = 0
        assert self.send(ENABLE_SERVICE, make_enable_service("election")) == "ok"

    def send(self, kind, payload, sender=None, time_ns=NOON_NS):
        """The receipt's status."""
        sender = sender or self.REGISTRAR
        self.sequence += 1
        call = Call(
            kind, sender, payload, name_key(self.sequence), self.sequence >> 20, time_ns,
            self.sequence, sender == self.REGISTRAR, self.opener,
        )
        try:
            HANDLERS[kind](self.ledger, call)
        except Refused as refusal:
            self.ledger.drop()
            return refusal.reason
        self.written = self.ledger.keep()
        return "ok"

    def get_records(self):
        """All records, to compare."""
        return dict(self.ledger.get_changes())

    def create(self, **changed):
        terms = {
            "districts": 3, "choices": CHOICES, "open_ns": OPEN_NS, "close_ns": CLOSE_NS,
            "grace_ns": GRACE_NS, "holders": list(self.HOLDERS), "threshold": 3,
            "box_public": self.PUBLIC,
        }
        payload = election.make_create_voting(voting=1, **terms)
        # into the payload itself: a stranger is not held to the types of our own call
        places = ["voting", *terms]
        for name, value in changed.items():
            payload[places.index(name)] = value
        return self.send(election.CREATE_VOTING, payload, time_ns=0)

    def register(self, districts=(1, 2, 3, 1, 2, 0), page=0, voting=1):
        payload = election.make_register_voters(voting, page, districts)
        return self.send(election.REGISTER_VOTERS, payload, time_ns=0)

    def open(self, voting=1):
        return self.send(election.OPEN_VOTING, election.make_open_voting(voting), time_ns=0)

    def issue(self, *voters, voting=1, **how):
        payload = election.make_issue_ballots(voting, voters)
        return self.send(election.ISSUE_BALLOTS, payload, **how)

    def add_key(self, name, district=1, group=None, voting=1, **how):
        key = name_key(name)
        commitment = election.compute_commitment(name_key(group or f"group of {name}"), key)
        payload = election.make_add_voter_keys(voting, [key], [district], [commitment])
        return self.send(election.ADD_VOTER_KEYS, payload, **how)

    def seal(self, name, choice, public=None):
        nonce = name_key(f"nonce of {name}")[:24]
        return election.seal_ballot(
            choice, public or self.PUBLIC, name_key(f"box of {name}"), nonce
        )

    def cast(self, name, choice, district=1, voting=1, time_ns=NOON_NS, public=None):
        sealed = self.seal(name, choice, public)
        payload = election.make_store_ballot(voting, district, *sealed)
        return self.send(election.STORE_BALLOT, payload, name_key(name), time_ns)

    def close(self, voting=1, time_ns=AFTER_NS):
        payload = election.make_close_voting(voting)
        return self.send(election.CLOSE_VOTING, payload, time_ns=time_ns)

    def publish(self, index, share=None, voting=1, sender=None):
        share = self.SHARES[index - 1] if share is None else share
        payload = election.make_publish_share(voting, index, share)
        sender = sender or self.HOLDERS[index - 1]
        return self.send(election.PUBLISH_SHARE, payload, sender, AFTER_NS)

    def resolve(self, group, *names, voting=1, **how):
        groups = [(name_key(group), [name_key(name) for name in names])]
        payload = election.make_resolve_revotes(voting, groups)
        return self.send(election.RESOLVE_REVOTES, payload, time_ns=AFTER_NS, **how)

    def decrypt(self, choices, voting=1, **how):
        """``choices`` maps names to claims: a choice, or the bytes of a plain."""
        plains = [
            claim if isinstance(claim, bytes) else election.encode_choice(claim)
            for claim in choices.values()
        ]
        payload = election.make_decrypt_ballots(voting, list(map(name_key, choices)), plains)
        return self.send(election.DECRYPT_BALLOTS, payload, time_ns=AFTER_NS, **how)

    def finalize(self, voting=1, **how):
        payload = election.make_finalize_voting(voting)
        return self.send(election.FINALIZE_VOTING, payload, time_ns=AFTER_NS, **how)

    def begin(self, voters=5):
        """A voting with voters 0 to 4 of districts 1, 2, 3, 1, 2, ballots issued to some."""
        assert (self.create(), self.register(), self.open()) == ("ok",) * 3
        if voters:
            assert self.issue(*range(voters)) == "ok"
        return self

    def end(self, *holders):
        """Closes, and holders publish."""
        assert self.close() == "ok"
        for index in holders or (1, 2, 3):
            assert self.publish(index) == "ok"
        return self

    @property
    def counters(self):
        return election.get_counters(self.ledger, 1)

    @property
    def failures(self):
        return [failure.reason for failure in election.get_failures(self.ledger, 1)]


@pytest.fixture(scope="session")
def new_town():
    """Builds towns; of the session, so that one property test may build many."""
    return Town


@pytest.fixture
def town():
    return Town()


@pytest.fixture(scope="session")
def name_to_key():
    return name_key
