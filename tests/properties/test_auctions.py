"""Money and winners against plain models, under any sequence of calls."""

from hypothesis import given, settings
from hypothesis import strategies as st

from node.services import auctions
from tests.node.services.market import REGISTRAR, Market, name_key

NAMES = ("anna", "boris", "clara", "dora")
LOTS = 2
ASCENDING, SEALED = 1, 2
OPENS, CLOSES, REVEAL_CLOSES = 10, 16, 24
RESERVE, STEP, EXTENSION, EXTENSIONS_MAX = 5, 3, 3, 2
FUNDS = 100

names = st.sampled_from(NAMES)
lots = st.integers(0, LOTS - 1)
amounts = st.integers(1, 50)


def make_market():
    market = Market()
    assert market.credit(**dict.fromkeys(NAMES, FUNDS)) == "ok"
    assert market.create_ascending(
        lots=LOTS, opens=OPENS, closes=CLOSES, reserve=RESERVE, step=STEP,
        extension=EXTENSION, extensions_max=EXTENSIONS_MAX,
    ) == "ok"
    assert market.create_sealed(
        lots=LOTS, opens=OPENS, closes=CLOSES, reveal_closes=REVEAL_CLOSES, reserve=RESERVE
    ) == "ok"
    return market


def check_money(market, names=NAMES):
    """Every kopeck is in one account or with the city; what is locked stands behind bids."""
    accounts = [auctions.get_account(market.ledger, name_key(name)) for name in names]
    money = auctions.get_money(market.ledger)
    assert all(account.free >= 0 <= account.locked for account in accounts)
    assert sum(account.free + account.locked for account in accounts) + money.city == (
        money.credited
    )
    behind = 0
    for auction in (ASCENDING, SEALED):
        for lot in range(LOTS):
            standing = auctions.get_lot(market.ledger, auction, lot)
            if standing and not standing.is_settled:
                behind += standing.amount
    for lot in range(LOTS):
        for name in names:
            bid = auctions.get_sealed_bid(market.ledger, SEALED, lot, name_key(name))
            behind += bid.deposit if bid else 0
    assert sum(account.locked for account in accounts) == behind


def settle_all(market, auction, size):
    height, turns = 10_000, 0
    while auctions.get_settled(market.ledger, auction) < LOTS:
        assert market.settle(auction, size, height) == "ok"
        check_money(market)
        turns += 1
    assert turns == -(-LOTS // size)


raises = st.sampled_from((STEP, STEP, STEP, STEP + 1, STEP - 1, 20))
bids = st.lists(
    st.tuples(names, lots, raises, st.sampled_from((0, 0, 1, 1, 2))), min_size=6, max_size=30
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(bids, st.integers(1, 3))
def test_the_highest_valid_bid_wins_and_money_is_conserved(sequence, size):
    market = make_market()
    height = OPENS - 1
    valid = {lot: [] for lot in range(LOTS)}  # (amount, name), in the order of the chain
    closes = dict.fromkeys(range(LOTS), CLOSES)
    extensions = dict.fromkeys(range(LOTS), 0)
    for name, lot, more, later in sequence:
        height += later
        leading = {at: max(made) for at, made in valid.items() if made}
        amount = leading[lot][0] + more if lot in leading else 2 + more
        locked = sum(led for at, (led, who) in leading.items() if who == name and at != lot)
        is_valid = (
            OPENS <= height < closes[lot] and amount >= RESERVE
            and (lot not in leading or amount >= leading[lot][0] + STEP)
            and locked + amount <= FUNDS
        )
        before = market.get_records()
        assert (market.bid(name, amount, lot, height) == "ok") == is_valid
        if is_valid:
            valid[lot].append((amount, name))
            if height > closes[lot] - EXTENSION and extensions[lot] < EXTENSIONS_MAX:
                closes[lot] = height + EXTENSION
                extensions[lot] += 1
        else:
            assert market.get_records() == before
        check_money(market)
    settle_all(market, ASCENDING, size)
    paid = dict.fromkeys(NAMES, 0)
    for lot, bids_made in valid.items():
        winner = market.get_leader(lot)
        if not bids_made:
            assert winner is None
            continue
        amount, name = max(bids_made)
        assert winner == (name_key(name), amount)
        assert auctions.get_lot(market.ledger, ASCENDING, lot).closes == closes[lot]
        assert auctions.get_lot(market.ledger, ASCENDING, lot).bids == len(bids_made)
        paid[name] += amount
    for name in NAMES:
        assert market.get_account(name) == (FUNDS - paid[name], 0)


promised = st.sampled_from((4, 5, 6, 7, 7))
commitments = st.lists(
    st.tuples(names, lots, promised, st.integers(4, 9)), min_size=4, max_size=16
)
reveals = st.tuples(
    st.permutations(range(8)),  # each once, in any order, and then some again or wrongly
    st.lists(st.tuples(st.integers(0, 7), st.sampled_from((0, 1))), max_size=4),
    st.integers(0, 8),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(commitments, reveals, st.integers(1, 3))
def test_the_highest_sealed_bid_wins_ties_go_to_the_earliest(promises, openings, size):
    market = make_market()
    committed = []  # (name, lot, amount, deposit), in the order of the chain
    free = dict.fromkeys(NAMES, FUNDS)
    for name, lot, amount, deposit in promises:
        is_first = all(item[:2] != (name, lot) for item in committed)
        is_valid = deposit >= RESERVE and is_first and free[name] >= deposit
        status = market.commit(name, amount, deposit, lot, OPENS)
        assert (status == "ok") == is_valid
        if is_valid:
            committed.append((name, lot, amount, deposit))
            free[name] -= deposit
        check_money(market)
    revealed = set()
    order, others, count = openings
    for index, error in [*((at, 0) for at in order[:count]), *others]:
        if index >= len(committed):
            continue
        name, lot, amount, deposit = committed[index]
        is_valid = not error and RESERVE <= amount <= deposit and index not in revealed
        before = market.get_records()
        status = market.reveal(name, amount + error, lot, CLOSES)
        assert (status == "ok") == is_valid
        if is_valid:
            revealed.add(index)
        else:
            assert market.get_records() == before
        check_money(market)
    left = set(range(len(committed))) - revealed
    for index in sorted(left):
        name, lot = committed[index][:2]
        assert market.return_deposits(name, lot=lot, height=REVEAL_CLOSES) == "ok"
        check_money(market)
    settle_all(market, SEALED, size)
    paid = dict.fromkeys(NAMES, 0)
    for lot in range(LOTS):
        rivals = [index for index in sorted(revealed) if committed[index][1] == lot]
        winner = market.get_leader(lot, SEALED)
        if not rivals:
            assert winner is None
            continue
        best = max(committed[index][2] for index in rivals)
        first = next(index for index in rivals if committed[index][2] == best)
        assert winner == (name_key(committed[first][0]), best)
        paid[committed[first][0]] += best
    for name in NAMES:
        assert market.get_account(name) == (FUNDS - paid[name], 0)


scalars = st.one_of(
    st.integers(-2, 6), st.integers(-(2**63), 2**64 - 1), st.booleans(), st.none(),
    st.sampled_from((bytes(31), bytes(32), name_key("anna"))), st.binary(max_size=40),
    st.text(max_size=3),
)
values = st.one_of(scalars, st.lists(scalars, max_size=3))


@st.composite
def calls(draw):
    """A call that is nearly right, or not at all."""
    kind = draw(st.sampled_from(sorted(auctions.HANDLERS)))
    anna, salt, lot = name_key("anna"), bytes(32), draw(lots)
    amount = draw(amounts)
    seal = auctions.compute_commitment(SEALED, lot, amount, salt, anna)
    payload = {
        auctions.CREDIT_ACCOUNTS: [anna, amount.to_bytes(8, "big")],
        auctions.CREATE_ASCENDING: [3, LOTS, 50, 60, 1, 1, 0, 0],
        auctions.CREATE_SEALED: [4, LOTS, 50, 60, 70, 1],
        auctions.BID: [ASCENDING, lot, amount],
        auctions.COMMIT: [SEALED, lot, seal, amount],
        auctions.REVEAL: [SEALED, lot, amount, salt],
        auctions.RETURN_DEPOSITS: [SEALED, lot, anna],
        auctions.SETTLE_LOTS: [draw(st.sampled_from((ASCENDING, SEALED))), 1],
    }[kind]
    for _ in range(draw(st.sampled_from((0, 0, 1, 2)))):
        payload[draw(st.integers(0, len(payload) - 1))] = draw(values)
    if draw(st.integers(0, 9)) == 0:
        payload = draw(st.lists(values, max_size=8))
    sender = draw(st.sampled_from((REGISTRAR, anna, anna, name_key("boris"))))
    return kind, payload, sender, draw(st.sampled_from((0, 0, 0, 1, 4)))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(calls(), max_size=30))
def test_nonsense_is_refused_and_no_call_makes_or_loses_money(sequence):
    market = make_market()
    height = OPENS
    for kind, payload, sender, later in sequence:
        height += later
        before = market.get_records()
        credited = auctions.get_money(market.ledger).credited
        status = market.send(kind, payload, sender, height=height)
        if status != "ok":
            assert market.get_records() == before
        elif kind == auctions.CREDIT_ACCOUNTS:
            amounts = payload[1]
            added = sum(
                int.from_bytes(amounts[at : at + 8], "big") for at in range(0, len(amounts), 8)
            )
            assert auctions.get_money(market.ledger).credited == credited + added
            if payload[0] != name_key("anna"):
                return  # credited to who is not on the list of those we count
        check_money(market)
