"""A desk without a host: an observer's real chain, grown by real nodes over a fake wire."""

import trio

from node.crypto import derive_box_public
from node.inputs import Role
from node.services import auctions, election, fairs
from node.services.identity import ENABLE_SERVICE, make_enable_service
from node.transaction import decode_transaction, make_transaction
from tests.node.nodenet import CHIEF, SECOND_NS, NodeNet
from tests.node.samples import make_identity

BYTES_MAX = 1 << 20


def get_id(transaction):
    return decode_transaction(transaction, BYTES_MAX).id


class FakeDesk:
    """``verdicts`` answers submissions in turn; by default the net's relay does."""

    def __init__(self, role=Role.RELAY, observers=1, **how):
        self.net = NodeNet(observers=observers, **how)
        self.role = role
        self.has_fault = None
        self.verdicts = []
        self.submitted = []
        self.heights = []
        self.links = [(make_identity("a"), Role.VALIDATOR), (make_identity("b"), Role.OBSERVER)]
        self.nonce = 0
        self.chain = self.net.nodes[-1].chain
        self.gate = None

    @property
    def genesis(self):
        return self.net.genesis

    async def submit_many(self, transactions):
        if self.gate is not None:
            await self.gate.wait()
        self.submitted += transactions
        relay = self.net.relays[0]
        return [
            self.verdicts.pop(0) if self.verdicts else self.net.submit(relay, transaction)
            for transaction in transactions
        ]

    def peers(self):
        return [(identity.public, role) for identity, role in self.links]

    def counters(self):
        return {
            "peers.count": len(self.links), "inputs.count": 7, "links.bytes in": 2.5,
            'refused.reject: "signature"\n': 3, "worked.sign": 4,
        }

    def subscribe(self):
        send, receive = trio.open_memory_channel(1)
        self.heights.append(send)
        return receive

    # What tests do.

    def send(self, kind, payload, sender=None, nonce=None):
        """Give a transaction to a relay; the registrar's nonces count themselves."""
        if sender is None:
            self.nonce += 1
            sender, nonce = CHIEF, self.nonce
        transaction = make_transaction(sender, self.net.chain_id, kind, nonce, payload)
        assert self.net.submit(self.net.relays[0], transaction) == "accepted"
        return get_id(transaction)

    def grow(self, blocks=1):
        """Let the chain grow, and tell subscribers of the last block."""
        self.net.reach(self.chain.height + blocks)
        self.tell()

    def tell(self):
        for send in list(self.heights):
            try:
                send.send_nowait(self.chain.height)
            except trio.WouldBlock:
                pass  # news waits already
            except trio.BrokenResourceError:
                self.heights.remove(send)

    def grant(self, blocks=1):
        """An ordinary transaction, in the chain afterwards; its id."""
        self.nonce += 1
        transaction = self.net.make_grant(self.nonce)
        assert self.net.submit(self.net.relays[0], transaction) == "accepted"
        self.grow(blocks)
        return get_id(transaction)

    def cast(self, name="Anna", choice=2):
        """A whole voting number 1 up to one sealed ballot; the ballot's id."""
        secret = make_identity("election secret").public
        holders = [make_identity(f"holder {number}").public for number in range(3)]
        box_public = derive_box_public(secret)
        now_ns = self.net.now_ns
        self.send(ENABLE_SERVICE, make_enable_service("election"))
        self.send(election.CREATE_VOTING, election.make_create_voting(
            voting=1, districts=2, choices=3, open_ns=now_ns,
            close_ns=now_ns + 3600 * SECOND_NS, grace_ns=SECOND_NS, holders=holders,
            threshold=2, box_public=box_public,
        ))
        self.send(
            election.REGISTER_VOTERS, election.make_register_voters(1, 0, [1, 2, 1])
        )
        self.send(election.OPEN_VOTING, election.make_open_voting(1))
        self.send(election.ISSUE_BALLOTS, election.make_issue_ballots(1, [0]))
        key = make_identity(name)
        commitment = election.compute_commitment(bytes(32), key.public)
        self.send(election.ADD_VOTER_KEYS, election.make_add_voter_keys(
            1, [key.public], [1], [commitment]
        ))
        self.grow()
        sealed = election.seal_ballot(choice, box_public, bytes(31) + b"\1", bytes(24))
        ballot = self.send(
            election.STORE_BALLOT, election.make_store_ballot(1, 1, *sealed), key, 0
        )
        self.grow()
        return ballot

    def let_stalls(self):
        """Season 1 with a place of which one is given, and auction 1 with a bid on lot 0."""
        farmer, bidder = make_identity("farmer"), make_identity("bidder")
        now_ns = self.net.now_ns
        for service in ("fairs", "auctions"):
            self.send(ENABLE_SERVICE, make_enable_service(service))
        self.send(fairs.CREATE_SEASON, fairs.make_create_season(1, 1, 1))
        self.send(fairs.ADD_SITES, fairs.make_add_sites(1, [(0, 1, [(1, 2, 0)])]))
        closes_ns = now_ns + 20 * SECOND_NS
        self.send(fairs.OPEN_WINDOW, fairs.make_open_window(1, now_ns, closes_ns))
        self.send(auctions.CREDIT_ACCOUNTS, auctions.make_credit_accounts(
            [bidder.public], [1_000]
        ))
        self.send(auctions.CREATE_ASCENDING, auctions.make_create_ascending(
            1, lots=2, opens=self.chain.height + 2, closes=50, reserve=100, step=10,
            extension=1, extensions_max=1,
        ))
        self.grow()
        self.send(fairs.APPLY, fairs.make_apply(1, 0, 1, 4, [0]), farmer, 1)
        self.send(auctions.BID, auctions.make_bid(1, 0, 150), bidder, 1)
        self.grow(5)
        self.send(fairs.MOVE_POOLS, fairs.make_move_pools(1, 10))
        self.send(fairs.ALLOCATE_BATCH, fairs.make_allocate_batch(1, 10))
        self.grow()
