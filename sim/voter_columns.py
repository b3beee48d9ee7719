"""Columns of those who send: a row per transaction, moments in virtual ns, 0 for "not yet"."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from sim.electorate import Electorate, Mask, Rows


class State(IntEnum):
    """Where a ballot's session stands; from FINAL on nothing more happens to it."""

    NOT_ARRIVED = 0
    AT_DOOR = 1
    WAITING_BALLOT = 2
    READING = 3
    LEAVING = 4  # reading, and will go without casting
    CASTING = 5  # sent, no answer yet
    POLLING = 6  # a relay took it; asking for the receipt
    BACKOFF = 7  # no answer or no receipt in time: will try again
    REVOTE_WAIT = 8  # a second ballot whose voter has not had second thoughts yet
    FINAL = 9  # the voter has seen the receipt
    ABANDONED = 10
    GAVE_UP = 11  # all tries used
    LATE = 12
    REFUSED = 13
    NO_BALLOT = 14  # asked too late
    TURNED_AWAY = 15  # still at the door at the close


class ClientColumns:
    """What clients keep of each transaction (sim.clients): 56 bytes each."""

    __slots__ = ("accepted_ns", "final_ns", "included_ns", "intended_ns", "mile_ns", "relay",
                 "seen_ns", "sent_ns", "state", "tries")

    def __init__(self, slots: int) -> None:
        assert slots > 0
        self.state: NDArray[np.uint8] = np.zeros(slots, np.uint8)
        self.tries: NDArray[np.uint8] = np.zeros(slots, np.uint8)
        self.relay: NDArray[np.int16] = np.zeros(slots, np.int16)
        self.mile_ns: NDArray[np.int32] = np.zeros(slots, np.int32)  # one way to a relay
        self.intended_ns: Rows = np.zeros(slots, np.int64)  # the user presses the button
        self.sent_ns: Rows = np.zeros(slots, np.int64)  # last sent, or next while BACKOFF
        self.accepted_ns: Rows = np.zeros(slots, np.int64)  # a relay's answer is here
        self.included_ns: Rows = np.zeros(slots, np.int64)  # time of the block
        self.final_ns: Rows = np.zeros(slots, np.int64)  # a relay holds the final block
        self.seen_ns: Rows = np.zeros(slots, np.int64)  # the user holds the receipt


class Columns(ClientColumns):
    """One row per slot (see Electorate): 80 bytes each."""

    __slots__ = ("arrival_ns", "asked_ns", "ballot_ns")

    def __init__(self, slots: int) -> None:
        super().__init__(slots)
        self.arrival_ns: Rows = np.zeros(slots, np.int64)  # or when a second vote is wanted
        self.asked_ns: Rows = np.zeros(slots, np.int64)  # past the door
        self.ballot_ns: Rows = np.zeros(slots, np.int64)  # the ballot is on the screen


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Told:
    """What voters meant and were told, for a judge who does not ask the chain. One per row.

    ``slot`` is the last ballot that the voter was told is final, -1 for none; ``choice`` and
    ``district`` are its own, 0 for none. ``unsure_slot`` is a later ballot that was sent and of
    which the voter never learnt the end: the chain may count it in place of ``slot``.
    """

    slot: Rows
    choice: Rows
    district: Rows
    unsure_slot: Rows
    unsure_choice: Rows


def compute_told(columns: Columns, electorate: Electorate) -> Told:
    """The judge's arrays, from intents and what voters saw."""
    rows = np.arange(electorate.users, dtype=np.int64)
    again = electorate.revote_slots_of(rows)
    final = columns.state == State.FINAL
    unsure = compute_unsure(columns)
    has_second = (again >= 0) & final[again]
    slot = np.where(has_second, again, np.where(final[rows], rows, -1))
    doubted_second = (again >= 0) & unsure[again]
    doubted = np.where(doubted_second, again, np.where(unsure[rows], rows, -1))
    assert not bool((has_second & (doubted >= 0)).any())
    districts = electorate.districts_of(rows)
    return Told(
        slot=slot,
        choice=np.where(slot >= 0, electorate.choices_of(np.maximum(slot, 0)), 0),
        district=np.where((slot >= 0) | (doubted >= 0), districts, 0),
        unsure_slot=doubted,
        unsure_choice=np.where(doubted >= 0, electorate.choices_of(np.maximum(doubted, 0)), 0),
    )


def compute_unsure(columns: Columns) -> Mask:
    """Ballots that were sent and whose voters never learnt whether they are stored.

    A refusal after an earlier try that brought no answer is one: the try may have arrived.
    """
    state = columns.state
    told = (state == State.FINAL) | (state == State.ABANDONED)
    told |= ((state == State.LATE) | (state == State.REFUSED)) & (columns.tries <= 1)
    unsure: Mask = (columns.tries > 0) & ~told
    return unsure
