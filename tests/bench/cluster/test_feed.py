"""The load generator against a relay that answers by script."""

import json
from collections import deque

import h11
import pytest
import trio
import trio.testing

from bench.cluster.feed import Feed
from node.codec import decode

ITEMS = [bytes([number]) * 9 for number in range(10)]


class Relay:
    """Takes batches; ``script`` has the verdicts of the first, "accepted" comes after it."""

    def __init__(self, *script):
        self.script = deque(script)
        self.batches = []

    async def serve(self, stream):
        http = h11.Connection(h11.SERVER)
        body = b""
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await stream.receive_some())
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                await stream.send_all(self.answer(http, decode(body, len(body))))
                body = b""
                http.start_next_cycle()
            elif isinstance(event, h11.ConnectionClosed):
                return

    def answer(self, http, batch):
        self.batches.append(batch)
        verdict = self.script.popleft() if self.script else "accepted"
        content = json.dumps({"verdicts": [verdict] * len(batch)}).encode()
        headers = [("content-length", str(len(content)))]
        events = (h11.Response(status_code=200, headers=headers), h11.Data(data=content),
                  h11.EndOfMessage())
        return b"".join(http.send(event) for event in events)


async def push(relay, backlog_max=100, upon=None):
    """Feed all items in batches of 4; ``upon`` may act on the feed while it runs."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, relay.serve, 0)
        port = listeners[0].socket.getsockname()[1]
        clock = iter(range(1, 1_000))
        feed = Feed(port, ITEMS, lambda: next(clock), backlog_max=backlog_max, batch=4)
        with trio.fail_after(5):
            async with trio.open_nursery() as inner:
                inner.start_soon(feed.run, 1)
                if upon is not None:
                    await upon(feed)
        nursery.cancel_scope.cancel()
    return feed


async def test_all_go_in_order_and_each_has_its_moment():
    relay = Relay()
    feed = await push(relay)
    assert [item for batch in relay.batches for item in batch] == ITEMS
    assert [len(batch) for batch in relay.batches] == [4, 4, 2]
    assert list(feed.sent_ns) == [1] * 4 + [2] * 4 + [3] * 2
    assert (feed.accepted, feed.busy, feed.refused) == (10, 0, {})


async def test_what_a_busy_relay_did_not_take_is_sent_again():
    relay = Relay("busy")
    feed = await push(relay)
    assert relay.batches[0] == relay.batches[1]
    assert (feed.accepted, feed.busy) == (10, 4)


async def test_refusals_are_counted_and_not_sent_again():
    feed = await push(Relay("accepted", "signature"))
    assert (feed.accepted, feed.refused) == (6, {"signature": 4})


@pytest.mark.parametrize("backlog_max", [4, 8])
async def test_no_more_are_handed_in_than_the_backlog_allows(backlog_max):
    relay = Relay()

    async def finish(feed):
        while feed.final < len(ITEMS):
            await trio.testing.wait_all_tasks_blocked(0.002)
            handed = sum(map(len, relay.batches))
            assert handed - feed.final <= backlog_max
            feed.final = handed
    await push(relay, backlog_max, finish)
