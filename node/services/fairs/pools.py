"""Unused places move between the pools of a row, so that none stays empty while others wait.

Only vegetables are sold by all three pools. Before the first round, places of farmers and firms
beyond what was applied for go to individuals. After each round, all free places of one pool of
a slot go to another: those of firms to individuals or else farmers, those of individuals to
farmers or else firms, those of farmers to individuals or else firms; at most twice into each
pool of a slot. When nothing moved, the waiting lists are written.

The contract let places vanish that were free in a pool whose two targets were used up; here
they stay, and the next pool gets its turn.
"""

from typing import Final

from node.codec import Value
from node.errors import Refused
from node.ledger import Ledger
from node.services.call import Call, require_registrar
from node.services.fairs.records import (
    ALLOCATING,
    BALANCING,
    DEMAND_BYTES,
    FARMERS,
    FIRMS,
    INDIVIDUALS,
    LISTING,
    MOVING,
    OPEN,
    VEGETABLES,
    Season,
    Slot,
    find_season,
    make_demand_key,
    make_row_key,
    put_season,
    put_slot,
    read_batch,
    unpack_slot,
)

MOVES_MAX: Final = 2
"""Into each pool of a slot."""

_MOVES = (
    (FIRMS, INDIVIDUALS), (FIRMS, FARMERS), (INDIVIDUALS, FARMERS), (INDIVIDUALS, FIRMS),
    (FARMERS, INDIVIDUALS), (FARMERS, FIRMS),
)


def make_move_pools(season: int, sites: int) -> list[Value]:
    """Payload of MovePools."""
    return [season, sites]


def process_move_pools(ledger: Ledger, call: Call) -> None:
    """Go on moving places for up to ``sites`` sites; the last one decides what comes next.

    The first call after the window is the beginning of the allocation.

    Refused: bad payload, not allowed, unknown season, not open, window open, not moving (a
    round is under way, or all is done).
    """
    season, count = read_batch(call)
    require_registrar(call)
    standing = find_season(ledger, season)
    if standing.phase == OPEN:
        if call.time_ns < standing.closes_ns:
            raise Refused("window open")
        standing = standing._replace(phase=BALANCING)
    elif standing.phase < OPEN:
        raise Refused("not open")
    if standing.phase not in (BALANCING, MOVING):
        raise Refused("not moving")
    end = min(standing.cursor + count, standing.sites)
    has_moved = standing.has_moved
    for site in range(standing.cursor, end):
        has_moved |= _move_site(ledger, season, site, standing)
    standing = standing._replace(cursor=end, has_moved=has_moved)
    put_season(ledger, season, _advance(standing) if end == standing.sites else standing)


def _advance(standing: Season) -> Season:
    if standing.phase == BALANCING:
        return standing._replace(phase=ALLOCATING, cursor=0, has_moved=0)
    assert standing.phase == MOVING
    if standing.has_moved:
        return standing._replace(phase=ALLOCATING, round=standing.round + 1, cursor=0)
    return standing._replace(phase=LISTING, cursor=0)


def _move_site(ledger: Ledger, season: int, site: int, standing: Season) -> bool:
    key = make_row_key(season, site, VEGETABLES)
    record = ledger.get(key)
    if record is None:
        return False
    row = bytearray(record)
    for period in range(standing.periods):
        slot = unpack_slot(row, period)
        if standing.phase == MOVING:
            moved = move_slot(slot)
        else:
            wanted = [
                _get_demand(ledger, make_demand_key(season, site, VEGETABLES, pool), period)
                for pool in (FARMERS, FIRMS)
            ]
            moved = balance_slot(slot, wanted[0], wanted[1])
        assert sum(moved.free) == sum(slot.free)
        put_slot(row, period, moved)
    if row == record:
        return False
    ledger.put(key, bytes(row))
    return True


def _get_demand(ledger: Ledger, key: bytes, period: int) -> int:
    record = ledger.get(key)
    assert record is not None
    return int.from_bytes(record[DEMAND_BYTES * period : DEMAND_BYTES * (period + 1)], "big")


def balance_slot(slot: Slot, farmers_wanted: int, firms_wanted: int) -> Slot:
    """The slot after what farmers and firms did not apply for went to individuals."""
    farmers = min(slot.free_farmers, farmers_wanted)
    firms = min(slot.free_firms, firms_wanted)
    individuals = sum(slot.free) - farmers - firms
    return Slot._make((individuals, farmers, firms, *slot[3:]))


def move_slot(slot: Slot) -> Slot:
    """The slot after one pool's free places moved, or the same slot if none may."""
    free = list(slot.free)
    moves = list(slot[5:])
    for source, target in _MOVES:
        if free[source] and moves[target] < MOVES_MAX:
            free[target] += free[source]
            free[source] = 0
            moves[target] += 1
            # one move a round: the allocation between decides whether more are needed
            return Slot._make((*free, slot.taken, slot.base, *moves))
    return slot
