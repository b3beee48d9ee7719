"""The allocation against a plain model of the city's rule, and against nonsense."""

from collections import Counter, defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from node.services import fairs
from node.services.fairs.records import (
    ALLOCATING,
    FARMERS,
    FINISHED,
    FIRMS,
    INDIVIDUALS,
    LISTING,
    POOLS,
    VEGETABLES,
)
from tests.node.services.market import (
    AFTER_NS,
    CLOSES_NS,
    OPENS_NS,
    REGISTRAR,
    Market,
    name_key,
)

SITES, PERIODS, NAMES = 2, 2, 9
TRADES = (1, 2)

quota = st.sampled_from((0, 1, 1, 2, 3))
season_quotas = st.fixed_dictionaries({
    (site, period, trade): st.tuples(quota, quota, quota)
    if trade == VEGETABLES else st.tuples(st.just(0), st.just(0), quota)
    for site in range(SITES) for period in range(PERIODS) for trade in TRADES
})
applications = st.lists(
    st.tuples(
        st.integers(0, NAMES - 1), st.integers(0, SITES - 1), st.sampled_from((1, 1, 1, 2)),
        st.sampled_from(({0}, {1}, {0, 1}, {0, 1})), st.sampled_from((0,) * 8 + (1, 2)),
    ),
    min_size=8,
    max_size=40,
)
kinds = st.sampled_from((
    (0, 0, 0, 4, 4, 4, 1, 2, 3), (0, 4, 4, 4, 4, 4, 4, 1, 1), (0, 0, 0, 0, 0, 0, 4, 1, 1),
))


class Model:
    """The rule told with lists: who has what is looked up by going over all that was given."""

    def __init__(self, quotas, filed):
        self.free = {
            (*slot, pool): places[pool] for slot, places in quotas.items() for pool in POOLS
        }
        self.filed = filed  # pool -> [(name, site, trade, periods) or None if ended]
        self.given = []  # (name, site, period, trade, pool, number)
        self.rejected = set()  # (pool, number, period)
        self.moves = Counter()

    def run(self):
        self.balance()
        self.give(INDIVIDUALS, "one")
        for pool in (FARMERS, FIRMS):
            self.give(pool, "first")
            self.give(pool, "more")
        while self.move():
            self.give(INDIVIDUALS, "one")
            self.give(FARMERS, "more")
            self.give(FIRMS, "more")

    def slots(self):
        return sorted({slot[:3] for slot in self.free if slot[2] == VEGETABLES})

    def balance(self):
        for slot in self.slots():
            for pool in (FARMERS, FIRMS):
                wanted = sum(
                    1 for item in self.filed[pool]
                    if item and item[1] == slot[0] and item[2] == slot[2]
                    and slot[1] in item[3]
                )
                unwanted = max(0, self.free[(*slot, pool)] - wanted)
                self.free[(*slot, pool)] -= unwanted
                self.free[(*slot, INDIVIDUALS)] += unwanted

    def give(self, pool, rule):
        for number, item in enumerate(self.filed[pool]):
            if item is None:
                continue
            name, site, trade, periods = item
            for period in sorted(periods):
                self.give_one(pool, number, name, site, trade, period, rule)

    def give_one(self, pool, number, name, site, trade, period, rule):
        if self.is_settled(pool, number, period):
            return
        sites = [held[1] for held in self.given if held[0] == name and held[2] == period]
        if rule == "first" and sites:
            return
        if (rule == "one" and sites) or site in sites:
            self.rejected.add((pool, number, period))
        elif self.free[(site, period, trade, pool)]:
            self.free[(site, period, trade, pool)] -= 1
            self.given.append((name, site, period, trade, pool, number))

    def is_settled(self, pool, number, period):
        return (pool, number, period) in self.rejected or any(
            place[4:] == (pool, number) and place[2] == period for place in self.given
        )

    def move(self):
        moved = False
        for slot in self.slots():
            for source, target in ((2, 0), (2, 1), (0, 1), (0, 2), (1, 0), (1, 2)):
                if self.free[(*slot, source)] and self.moves[(*slot, target)] < 2:
                    self.free[(*slot, target)] += self.free[(*slot, source)]
                    self.free[(*slot, source)] = 0
                    self.moves[(*slot, target)] += 1
                    moved = True
                    break
        return moved

    def list_waiting(self):
        lists = defaultdict(list)
        for pool in POOLS:
            for number, item in enumerate(self.filed[pool]):
                for period in sorted(item[3]) if item else ():
                    if not self.is_settled(pool, number, period):
                        lists[(item[1], item[2], period, pool)].append(number)
        return lists


def file_all(market, quotas, items, kinds):
    """Set up the season as the model sees it: pool -> applications in their order."""
    assert market.create_season(sites=SITES, periods=PERIODS) == "ok"
    for site in range(SITES):
        for trade in TRADES:
            places = [quotas[(site, period, trade)] for period in range(PERIODS)]
            assert market.add_row(site, trade, places) == "ok"
    assert market.open_window() == "ok"
    filed = {pool: [] for pool in POOLS}
    for name, site, trade, periods, fate in items:
        kind = kinds[name]
        status = market.apply(name, site, trade, kind, sorted(periods))
        if kind == 0 and trade != VEGETABLES:
            assert status == "vegetables only"
            continue
        assert status == "ok"
        pool = 0 if kind == 0 else 1 if (kind, trade) == (4, VEGETABLES) else 2
        number = len(filed[pool])
        filed[pool].append((name, site, trade, periods) if fate == 0 else None)
        if fate == 1:
            payload = fairs.make_withdraw(1, pool, number)
            assert market.send(fairs.WITHDRAW, payload, name_key(name)) == "ok"
        elif fate == 2:
            assert market.send(fairs.REFUSE, fairs.make_refuse(1, pool, number)) == "ok"
    return filed


def run_season(market, sizes):
    """Drive a season to its end with batches of these sizes, one after another."""
    turn = 0
    while True:
        phase = fairs.get_season(market.ledger, 1).phase
        if phase == FINISHED:
            return
        step = market.finish if phase == LISTING else market.move
        if phase == ALLOCATING:
            step = market.allocate
        assert step(sizes[turn % len(sizes)]) == "ok"
        turn += 1
        assert turn < 2_000


def list_given(market):
    """(name key, site, period, trade, pool, number) of each place that is held."""
    given = []
    for site in range(SITES):
        for period, places in enumerate(fairs.get_site_places(market.ledger, 1, site)):
            for place in range(places):
                holder = fairs.get_holder(market.ledger, 1, site, period, place)
                if holder:
                    given.append((holder[0], site, period, *holder[1:]))
    return given


@settings(max_examples=120, deadline=None, derandomize=True)
@given(season_quotas, applications, kinds, st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_the_allocation_is_that_of_the_model_whatever_the_batches(quotas, items, kinds, sizes):
    market = Market()
    model = Model(quotas, file_all(market, quotas, items, kinds))
    model.run()
    run_season(market, sizes)
    expected = [(name_key(place[0]), *place[1:]) for place in model.given]
    # sorted by slot only: within a slot, places are given from the lowest number on
    assert list_given(market) == sorted(expected, key=lambda place: place[1:4])
    for pool in POOLS:
        for number, item in enumerate(model.filed[pool]):
            application = fairs.get_application(market.ledger, 1, pool, number)
            rejected = {p for q, n, p in model.rejected if (q, n) == (pool, number)}
            assert application.rejected == sum(1 << period for period in rejected)
            assert item or not application.granted
    lists = model.list_waiting()
    for site, period, trade in quotas:
        row = fairs.get_row(market.ledger, 1, site, trade)
        for pool in POOLS:
            waiting = fairs.get_waiting(market.ledger, 1, site, trade, period, pool)
            assert list(waiting) == lists[(site, trade, period, pool)]
            assert row[period].free[pool] == model.free[(site, period, trade, pool)]
            assert row[period][5 + pool] == model.moves[(site, period, trade, pool)]
    season = fairs.get_season(market.ledger, 1)
    assert season.granted == len(model.given)
    assert season.waiting == sum(map(len, lists.values()))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(season_quotas, applications, kinds, st.integers(1, 9))
def test_no_place_is_given_twice_and_no_rule_is_broken(quotas, items, kinds, size):
    market = Market()
    file_all(market, quotas, items, kinds)
    run_season(market, [size])
    given = list_given(market)
    per_slot = Counter((site, period, trade) for _, site, period, trade, _, _ in given)
    assert all(count <= sum(quotas[slot]) for slot, count in per_slot.items())
    assert max(Counter(item[:3] for item in given).values(), default=0) <= 1
    ones = Counter((item[0], item[2]) for item in given if item[4] == INDIVIDUALS)
    assert max(ones.values(), default=0) <= 1
    for (_, period, trade), places in quotas.items():
        assert period < PERIODS
        assert trade == VEGETABLES or not places[0] + places[1]
    for site in range(SITES):
        for trade in TRADES:
            for period, slot in enumerate(fairs.get_row(market.ledger, 1, site, trade)):
                assert sum(slot.free) + slot.taken == sum(quotas[(site, period, trade)])
                assert max(slot[5:]) <= 2
                if trade != VEGETABLES:
                    assert slot[5:] == (0, 0, 0)
                if sum(slot.free) and trade == VEGETABLES:
                    # places stay empty only when nobody waits or all moves are used up
                    waiting = [
                        fairs.get_waiting(market.ledger, 1, site, trade, period, pool)
                        for pool in POOLS
                    ]
                    assert not any(w and f for w, f in zip(waiting, slot.free, strict=True))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(season_quotas, applications, kinds)
def test_batches_of_one_and_of_five_hundred_write_the_same_records(quotas, items, kinds):
    outcomes = []
    for size in (1, 500):
        market = Market()
        file_all(market, quotas, items, kinds)
        run_season(market, [size])
        outcomes.append(market.get_records())
    assert outcomes[0] == outcomes[1]


scalars = st.one_of(
    st.integers(-2, 6), st.integers(-(2**63), 2**64 - 1), st.booleans(), st.none(),
    st.binary(max_size=40), st.text(max_size=3),
)
items = st.one_of(scalars, st.lists(scalars, max_size=3))
values = st.one_of(scalars, st.lists(items, max_size=3))


@st.composite
def calls(draw):
    """A call that is nearly right, or not at all."""
    kind = draw(st.sampled_from(sorted(fairs.HANDLERS)))
    payload = {
        fairs.CREATE_SEASON: lambda: [2, 2, 2],
        fairs.ADD_SITES: lambda: [1, [[0, 1, bytes(12)]]],
        fairs.OPEN_WINDOW: lambda: [2, OPENS_NS, CLOSES_NS],
        fairs.APPLY: lambda: [1, 0, 1, 0, 1],
        fairs.WITHDRAW: lambda: [1, 0, 0],
        fairs.REFUSE: lambda: [1, 0, 0],
    }.get(kind, lambda: [1, 5])()
    for _ in range(draw(st.integers(0, 2))):
        payload[draw(st.integers(0, len(payload) - 1))] = draw(values)
    if draw(st.integers(0, 9)) == 0:
        payload = draw(st.lists(values, max_size=6))
    return kind, payload, draw(st.booleans()), draw(st.sampled_from((0, 1_500, AFTER_NS)))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(calls(), max_size=25))
def test_nonsense_is_refused_and_a_refused_call_changes_nothing(sequence):
    market = Market()
    assert market.create_season(sites=2) == "ok"
    assert market.add_row(0, VEGETABLES, [(1, 1, 1), (0, 0, 1)]) == "ok"
    if len(sequence) % 2:
        assert market.open_window() == "ok"
    for kind, payload, is_registrar, time_ns in sequence:
        before = market.get_records()
        sender = REGISTRAR if is_registrar else name_key("stranger")
        if market.send(kind, payload, sender, time_ns=time_ns) != "ok":
            assert market.get_records() == before
