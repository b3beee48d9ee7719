"""What stands between strangers and the HTTP interface: how often, how many, how long.

Every refusal is an answer in JSON and is counted by reason. Addresses are those of the TCP
connections; behind a proxy all clients are one, and the proxy has to do this part.
"""

from collections import Counter
from http import HTTPStatus

import trio
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.host.buckets import Buckets
from node.host.limits import HttpLimits

HEADERS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
_SECOND_NS = 1_000_000_000


class HttpStats:
    """Counts since the start: answers by (operation, status), refusals by reason."""

    __slots__ = ("answers", "connections", "in_flight", "refusals")

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.refusals: Counter[str] = Counter()
        self.in_flight = 0
        self.connections = 0


class Guard:
    """An ASGI app before another one."""

    def __init__(self, app: ASGIApp, limits: HttpLimits, stats: HttpStats) -> None:
        self._app = app
        self._limits = limits
        self._stats = stats
        self._buckets = Buckets(limits.rate_per_s, limits.burst, limits.addresses_max)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request itself or lets it through."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] != "http":
            await self._app(scope, receive, send)
        else:
            response = self._refuse(scope)
            if response is not None:
                await response(scope, receive, send)
            else:
                self._stats.in_flight += 1
                try:
                    await self._answer(scope, receive, send)
                finally:
                    self._stats.in_flight -= 1

    def _refuse(self, scope: Scope) -> JSONResponse | None:
        address = scope["client"][0] if scope.get("client") else ""
        wait_ns = self._buckets.take(address, int(trio.current_time() * _SECOND_NS))
        if wait_ns:
            return self._make_refusal(
                "too often", HTTPStatus.TOO_MANY_REQUESTS, -(-wait_ns // _SECOND_NS),
                f"one address may ask {self._limits.rate_per_s:g} times a second",
            )
        if self._stats.in_flight >= self._limits.in_flight_max:
            return self._make_refusal(
                "too many at once", HTTPStatus.SERVICE_UNAVAILABLE, 1,
                f"{self._limits.in_flight_max} requests are being answered",
            )
        return None

    def _make_refusal(
        self, reason: str, status: HTTPStatus, wait_s: int, detail: str
    ) -> JSONResponse:
        self._stats.refusals[reason] += 1
        return make_error(status, detail, {"Retry-After": str(wait_s)})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def watch(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                name = getattr(scope.get("endpoint"), "__name__", "none")
                self._stats.answers[name, message["status"]] += 1
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        with trio.move_on_after(self._limits.answer_timeout_s) as deadline:
            await self._app(scope, receive, watch)
        if deadline.cancelled_caught:
            response = self._make_refusal(
                "too slow", HTTPStatus.SERVICE_UNAVAILABLE, 1, "the answer took too long"
            )
            if not has_begun:
                await response(scope, receive, watch)


def make_error(
    status: int, detail: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """What every refusal looks like: ``error`` for programs, ``detail`` for people."""
    content = {"error": HTTPStatus(status).phrase.lower(), "detail": detail}
    return JSONResponse(content, status, headers)
