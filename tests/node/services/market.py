"""A market hall for the tests of stalls: calls in short form, executed one by one."""

from hashlib import sha256

from node.errors import Refused
from node.ledger import Ledger
from node.services import auctions, fairs
from node.services.call import Call
from node.state import EMPTY_STATE

HANDLERS = fairs.HANDLERS | auctions.HANDLERS
OPENS_NS, CLOSES_NS = 1_000, 2_000
IN_WINDOW_NS, AFTER_NS = 1_500, 2_000


def name_key(name):
    """A 32-byte key for a name; services never check signatures."""
    return sha256(str(name).encode()).digest()


REGISTRAR = name_key("registrar")


class NoOpener:
    """Stalls have nothing to open."""

    def open_box(self, box, nonce, sender, secret):
        raise AssertionError("nobody opens boxes at a market")


class Market:
    """Carries out calls as the execution of a block does; ``height`` is the caller's to set."""

    def __init__(self):
        self.ledger = Ledger(EMPTY_STATE)
        self.height = 1
        self.index = 0

    def send(self, kind, payload, sender=REGISTRAR, *, time_ns=IN_WINDOW_NS, height=None):
        """The receipt's status; a refusal must not have written anything."""
        self.index += 1
        height = self.height if height is None else height
        call = Call(
            kind, sender, payload, name_key(self.index), height, time_ns,
            (height << 20) + self.index, sender == REGISTRAR, NoOpener(),
        )
        try:
            HANDLERS[kind](self.ledger, call)
        except Refused as refusal:
            assert not self.ledger._transaction, "a refusal after a write"
            return refusal.reason
        self.ledger.keep()
        return "ok"

    def get_records(self):
        """All records that stand, to compare."""
        changes = self.ledger.get_changes()
        return {key: value for key, value in changes.items() if value is not None}

    def make_state(self):
        """The snapshot of all that was kept."""
        return EMPTY_STATE.with_changes(self.ledger.get_changes())

    # fairs

    def create_season(self, sites=3, periods=2, season=1, **how):
        payload = fairs.make_create_season(season, sites, periods)
        return self.send(fairs.CREATE_SEASON, payload, **how)

    def add_row(self, site, trade, quotas, season=1, **how):
        payload = fairs.make_add_sites(season, [(site, trade, quotas)])
        return self.send(fairs.ADD_SITES, payload, **how)

    def open_window(self, season=1, **how):
        payload = fairs.make_open_window(season, OPENS_NS, CLOSES_NS)
        return self.send(fairs.OPEN_WINDOW, payload, **how)

    def apply(self, name, site, trade, kind, periods, season=1, **how):
        payload = fairs.make_apply(season, site, trade, kind, periods)
        return self.send(fairs.APPLY, payload, name_key(name), **how)

    def move(self, count=500, time_ns=AFTER_NS, **how):
        payload = fairs.make_move_pools(1, count)
        return self.send(fairs.MOVE_POOLS, payload, time_ns=time_ns, **how)

    def allocate(self, count=500, **how):
        payload = fairs.make_allocate_batch(1, count)
        return self.send(fairs.ALLOCATE_BATCH, payload, time_ns=AFTER_NS, **how)

    def finish(self, count=500, **how):
        payload = fairs.make_finish_season(1, count)
        return self.send(fairs.FINISH_SEASON, payload, time_ns=AFTER_NS, **how)

    # auctions

    def credit(self, **amounts):
        keys = [name_key(name) for name in amounts]
        payload = auctions.make_credit_accounts(keys, list(amounts.values()))
        return self.send(auctions.CREDIT_ACCOUNTS, payload)

    def create_ascending(self, auction=1, **changed):
        terms = {
            "lots": 3, "opens": 10, "closes": 20, "reserve": 100, "step": 10,
            "extension": 3, "extensions_max": 2,
        }
        payload = auctions.make_create_ascending(auction, **(terms | changed))
        return self.send(auctions.CREATE_ASCENDING, payload)

    def create_sealed(self, auction=2, **changed):
        terms = {"lots": 3, "opens": 10, "closes": 20, "reveal_closes": 30, "reserve": 100}
        payload = auctions.make_create_sealed(auction, **(terms | changed))
        return self.send(auctions.CREATE_SEALED, payload)

    def bid(self, name, amount, lot=0, height=10, auction=1):
        payload = auctions.make_bid(auction, lot, amount)
        return self.send(auctions.BID, payload, name_key(name), height=height)

    def commit(self, name, amount, deposit, lot=0, height=10, auction=2):
        commitment = auctions.compute_commitment(
            auction, lot, amount, name_key(f"salt of {name}"), name_key(name)
        )
        payload = auctions.make_commit(auction, lot, commitment, deposit)
        return self.send(auctions.COMMIT, payload, name_key(name), height=height)

    def reveal(self, name, amount, lot=0, height=20, auction=2, salt=None):
        salt = name_key(f"salt of {salt or name}")
        payload = auctions.make_reveal(auction, lot, amount, salt)
        return self.send(auctions.REVEAL, payload, name_key(name), height=height)

    def return_deposits(self, *names, lot=0, height=30, auction=2):
        payload = auctions.make_return_deposits(auction, lot, [name_key(n) for n in names])
        return self.send(auctions.RETURN_DEPOSITS, payload, name_key("anyone"), height=height)

    def settle(self, auction, count=500, height=100):
        payload = auctions.make_settle_lots(auction, count)
        return self.send(auctions.SETTLE_LOTS, payload, name_key("anyone"), height=height)

    def get_account(self, name):
        return tuple(auctions.get_account(self.ledger, name_key(name)))

    def get_leader(self, lot=0, auction=1):
        standing = auctions.get_lot(self.ledger, auction, lot)
        return standing and (standing.leader, standing.amount)
