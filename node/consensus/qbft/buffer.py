"""Messages that came too early: of later rounds, and of a few later heights.

Each author has a share of the room, in messages and in bytes, so that nobody can crowd others
out; within a share the highest (height, round) leaves first. The first message per author,
kind, height and round is kept. Only messages with valid signatures get here.
"""

from typing import TypeAlias

from node.consensus.qbft.messages import (
    BALLOT_BYTES_MAX,
    Commit,
    Message,
    Prepare,
    Proposal,
    compute_bytes_max,
)
from node.params import Params

Key: TypeAlias = tuple[int, int, str]
"""(height, round, kind)"""


class Buffer:
    """Early messages by author, bounded for any numbers in them."""

    __slots__ = ("_bytes", "_bytes_max", "_items", "_messages_max")

    def __init__(self, params: Params, validators: int) -> None:
        self._messages_max = max(1, params.future_messages_max // validators)
        self._bytes_max = compute_bytes_max(params)
        self._items: dict[int, dict[Key, Message]] = {}
        self._bytes: dict[int, int] = {}

    def has(self, message: Message) -> bool:
        """Whether one of this author, kind, height and round is here."""
        return _make_key(message) in self._items.get(message.author, ())

    def add(self, message: Message) -> bool:
        """Keep the message; False if it is the one that its author's share has no room for."""
        share = self._items.setdefault(message.author, {})
        key = _make_key(message)
        assert key not in share
        # The message joins first and may be the one that leaves: one rule for both cases.
        share[key] = message
        used = self._bytes.get(message.author, 0) + _compute_size(message)
        while len(share) > self._messages_max or used > self._bytes_max:
            used -= _compute_size(share.pop(max(share)))
        self._bytes[message.author] = used
        assert used >= 0
        return key in share

    def take_round(self, height: int, round_number: int) -> list[Message]:
        """Remove and return the messages of one round, by author."""
        taken = []
        for author in sorted(self._items):
            share = self._items[author]
            for key in [key for key in share if key[:2] == (height, round_number)]:
                message = share.pop(key)
                self._bytes[author] -= _compute_size(message)
                taken.append(message)
        return taken

    def count(self) -> int:
        """How many messages wait."""
        return sum(map(len, self._items.values()))

    def get_messages(self) -> list[Message]:
        """All that wait, by author, in order of arrival."""
        return [message for author in sorted(self._items)
                for message in self._items[author].values()]


def _make_key(message: Message) -> Key:
    return message.height, message.round, type(message).__name__


def _compute_size(message: Message) -> int:
    if isinstance(message, Prepare | Commit) or message.block is None:
        return BALLOT_BYTES_MAX
    # The block dominates; the rest is an upper bound, for Prepares differ by a few bytes.
    parts = 1 + len(message.prepares)
    if isinstance(message, Proposal):
        parts += len(message.round_changes)
    return message.block.size + parts * BALLOT_BYTES_MAX
