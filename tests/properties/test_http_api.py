"""The HTTP interface under requests that nobody would write: by its own document, by mutation.

Each request goes through the whole app, guard and all, in a trio run of its own. Whatever it
holds, the answer is documented, its body has the documented shape, and nothing has changed.
"""

import json
from datetime import timedelta
from functools import partial
from urllib.parse import quote, unquote

import httpx
import pytest
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from node.codec import encode
from node.host.guard import HttpStats
from node.host.http import make_app
from node.host.index import Index
from node.host.limits import HttpLimits
from node.host.openapi import MSGPACK, OPERATIONS, build_document
from node.host.server import serve_http
from tests.node.host.desks import FakeDesk

schemathesis = pytest.importorskip("schemathesis")

EXAMPLES = 40
LIMITS = HttpLimits(rate_per_s=1e6, burst=10**6, idle_timeout_s=0.02)
SCHEMA = schemathesis.openapi.from_dict(build_document())
FUZZ = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow,
                           HealthCheck.filter_too_much],
)


BODIES = st.one_of(
    st.binary(max_size=80), st.lists(st.binary(max_size=40), max_size=4).map(encode),
    st.tuples(st.binary(max_size=60), st.binary(min_size=64, max_size=64)).map(encode),
)
schemathesis.openapi.media_type(MSGPACK, BODIES)


@schemathesis.serializer(MSGPACK)
def serialize_msgpack(context, value):
    """Bodies are drawn as bytes; what is drawn against the schema is sent as text."""
    return value if isinstance(value, bytes) else str(value).encode()


class Site:
    """A desk with an election, stalls and an index of them."""

    def __init__(self, folder):
        self.desk = FakeDesk()
        self.ballot = self.desk.cast()
        self.desk.let_stalls()
        self.index = Index.open(folder / "index.sqlite", self.desk.genesis)
        trio.run(self._follow)

    async def _follow(self):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.index.follow, self.desk)
            await self.index.wait(self.desk.chain.height)
            nursery.cancel_scope.cancel()

    def make_app(self, stats=None):
        return make_app(
            self.desk, self.index, takes_transactions=True, limits=LIMITS, stats=stats
        )

    def ask(self, method, url, headers=(), body=b""):
        """The answer; an error inside of the app is raised here."""
        messages = trio.run(self._ask, method, url, headers, body)
        start, *rest = messages
        assert [message["type"] for message in rest] == ["http.response.body"] * len(rest)
        response = httpx.Response(
            start["status"], headers=start["headers"],
            request=httpx.Request("GET", "http://node"),
            content=b"".join(message.get("body", b"") for message in rest),
        )
        response.elapsed = timedelta(0)
        return response

    async def _ask(self, method, url, headers, body):
        """As Hypercorn would ask, without what HTTP clients refuse to send."""
        path, _, query = url.partition("?")
        messages = []

        async def send(message):
            messages.append(message)

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        await self.make_app()({
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1",
            "method": method, "path": unquote(path), "raw_path": path.encode(),
            "query_string": query.encode(), "root_path": "", "scheme": "http",
            "headers": [
                (name.lower().encode(), value.encode("latin-1", "replace"))
                for name, value in dict(headers).items()
            ],
            "client": ("10.0.0.1", 9), "server": ("node", 80),
        }, receive, send)
        return messages


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("fuzz"))
    yield site
    site.index.close()


def assert_sound(site, response):
    """A documented refusal or an answer, and a chain that is as it was."""
    assert response.status_code < 500 or response.status_code == 503, response.text
    if response.status_code >= 400:
        assert set(response.json()) == {"error", "detail"}
    assert site.desk.chain.height == site.index.height


@SCHEMA.parametrize()
@FUZZ
def test_answers_are_those_of_the_document(site, case):
    how = case.as_transport_kwargs(base_url="http://node")
    body = how.get("data") or b""
    if "json" in how:
        body = json.dumps(how["json"])
    path = how["url"].removeprefix("http://node")
    headers = dict(how["headers"] or {})
    response = site.ask(
        how["method"], path, headers, body.encode() if isinstance(body, str) else bytes(body)
    )
    assert_sound(site, response)
    case.validate_response(response, excluded_checks=[
        schemathesis.checks.CHECKS.get_one("unsupported_method"),
        schemathesis.checks.CHECKS.get_one("positive_data_acceptance"),
        schemathesis.checks.CHECKS.get_one("missing_required_header"),
    ])


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PIECES = st.one_of(
    st.sampled_from(["v1", "block", "tally", "proof", "receipt", "record", "stall", "lot",
                     "head", "health", "..", ".", "", "0", "1", "-1", "0x1", "1e9", "%00",
                     "%2f", "%ff", "65536", "4294967296", "9" * 40]),
    TEXT, st.integers().map(str),
    st.binary(max_size=40).map(bytes.hex),
)
PATHS = st.one_of(
    st.lists(PIECES, max_size=7).map("/".join),
    st.tuples(st.sampled_from([item.path for item in OPERATIONS]), PIECES).map(
        lambda pair: pair[0][1:].rpartition("{")[0] + pair[1]
    ),
)


@settings(FUZZ, max_examples=5 * EXAMPLES)
@given(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X"]),
    PATHS, TEXT, st.binary(max_size=60),
)
@example("GET", "v1/stall/1/0/0/0", "", b"")
def test_any_path_and_method_has_an_answer(site, method, path, query, body):
    url = "/" + quote(path, safe="/%") + "?" + quote(query)
    response = site.ask(method, url, body=body)
    if response.status_code != 307:
        assert_sound_head(site, method, response)


def assert_sound_head(site, method, response):
    if method == "HEAD":
        assert response.status_code < 500 or response.status_code == 503
    else:
        assert_sound(site, response)


@settings(FUZZ, max_examples=5 * EXAMPLES)
@given(st.data())
def test_any_body_gets_a_verdict_or_a_reason(site, data):
    good = site.desk.net.make_grant(data.draw(st.integers(1, 3)))
    at = data.draw(st.integers(0, len(good) - 1))
    piece = data.draw(st.binary(max_size=4))
    mutant = good[:at] + piece + good[at + data.draw(st.integers(0, 4)) :]
    body = data.draw(st.sampled_from([
        mutant, encode([mutant]), encode([good, mutant, b""]), piece, piece * 5_000,
    ]))
    path = data.draw(st.sampled_from(["/v1/transactions", "/v1/transactions/batch"]))
    kind = data.draw(st.sampled_from([MSGPACK, MSGPACK.upper() + "; q=1", "text/plain", ""]))
    response = site.ask("POST", path, {"content-type": kind}, body)
    assert_sound(site, response)
    assert response.status_code in (200, 202, 400, 413, 415, 422)
    if kind not in (MSGPACK, MSGPACK.upper() + "; q=1"):
        assert response.status_code == 415


LINES = st.one_of(
    st.sampled_from([
        b"GET /health HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n",
        b"POST /v1/transactions HTTP/1.1\r\n",
        b"host: x\r\n", b"content-length: 5\r\n", b"content-length: -1\r\n",
        b"transfer-encoding: chunked\r\n", b"expect: 100-continue\r\n",
        b"connection: upgrade\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n",
        b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0\0\4\0\0\0\0\0",
        b"\0\0\1\1\5\0\0\0\1\x82", b"\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n",
    ]),
    st.binary(max_size=30),
)


@settings(FUZZ, max_examples=5 * EXAMPLES)
@given(st.lists(st.lists(LINES, max_size=6).map(b"".join), min_size=1, max_size=4))
def test_any_bytes_on_a_connection_leave_the_server_well(site, pieces):
    trio.run(_send_bytes, site, pieces)


async def _send_bytes(site, pieces):
    stats = HttpStats()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            serve = partial(serve_http, limits=LIMITS, stats=stats)
            host, port = await nursery.start(serve, site.make_app(stats), "127.0.0.1", 0)
            async with await trio.open_tcp_stream(host, port) as stream:
                try:
                    for piece in pieces:
                        await stream.send_all(piece)
                    await stream.send_eof()
                    async for _ in stream:
                        pass
                except trio.BrokenResourceError:
                    pass
            async with await trio.open_tcp_stream(host, port) as stream:
                await stream.send_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
            nursery.cancel_scope.cancel()
    assert stats.connections == stats.in_flight == 0
