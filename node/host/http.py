"""HTTP for people and tools: reads of the final chain, and on a relay, transactions.

Read-only unless told otherwise. Whatever a request holds, the answer is what was asked for or
an error that says which part of the request is wrong and what would be right.
"""

import json
import re
import sqlite3
from contextlib import aclosing
from http import HTTPStatus

import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from node.block import Block, decode_block, make_genesis_block
from node.codec import decode
from node.errors import InvalidEncoding, InvalidTransaction
from node.host import answers
from node.host.answers import Json, Object
from node.host.desk import Desk
from node.host.errors import HostError
from node.host.guard import Guard, HttpStats, make_error
from node.host.index import Index, Place
from node.host.limits import HttpLimits
from node.host.metrics import CONTENT_TYPE, build_metrics
from node.host.openapi import (
    BATCH_MAX,
    KEY_BYTES_MAX,
    MSGPACK,
    OPERATIONS,
    Operation,
    build_document,
)
from node.host.page import build_page
from node.inputs import Role
from node.state import EMPTY_STATE
from node.transaction import decode_transaction

_WHOLE = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)
_HEX = re.compile(r"([0-9a-fA-F]{2})+", re.ASCII)
_OVERHEAD_BYTES = 64
_SOON = {"Retry-After": "1"}


def make_app(
    desk: Desk, index: Index, *, takes_transactions: bool = False,
    limits: HttpLimits | None = None, stats: HttpStats | None = None,
) -> ASGIApp:
    """The ASGI app, guarded. ``takes_transactions`` has an effect on a relay only."""
    limits = limits or HttpLimits()
    stats = stats or HttpStats()
    site = _Site(desk, index, limits, stats, takes_transactions=takes_transactions)
    routes = [Route("/", _redirect, include_in_schema=False)]
    routes += [
        Route(operation.path, getattr(site, operation.name), name=operation.name,
              methods=[operation.method.upper()])
        for operation in OPERATIONS
    ]
    app = Starlette(routes=routes, exception_handlers={
        HTTPException: _answer_refusal,
        sqlite3.Error: _answer_index,
        HostError: _answer_host,
        Exception: _answer_bug,
    })
    app.router.redirect_slashes = False
    return Guard(app, limits, stats)


class _Site:
    """A handler for each operation, under its name."""

    def __init__(
        self, desk: Desk, index: Index, limits: HttpLimits, stats: HttpStats, *,
        takes_transactions: bool,
    ) -> None:
        self._desk = desk
        self._index = index
        self._limits = limits
        self._stats = stats
        self._takes = takes_transactions and desk.role is Role.RELAY
        self._document = _encode(build_document())
        self._genesis = _encode(answers.describe_genesis(desk.genesis))
        self._chain_id = desk.chain.chain_id.hex()
        self._tallies: dict[int, tuple[int, bytes]] = {}

    # What the node itself is.

    async def get_page(self, request: Request) -> Response:
        page = build_page()
        return Response(page.content, media_type="text/html; charset=utf-8", headers={
            "Content-Security-Policy": page.policy, "Cache-Control": "no-cache",
        })

    async def get_health(self, request: Request) -> Response:
        desk = self._desk
        head = desk.chain.head
        roles = [role for _, role in desk.peers()]
        fault = desk.has_fault
        return _respond({
            "status": "ok" if fault is None else "fault",
            "fault": fault,
            "role": desk.role.value,
            "chain_id": self._chain_id,
            "height": head.height,
            "head": head.digest.hex(),
            "head_time_ns": head.time_ns,
            "indexed": self._index.height,
            "index_fault": self._index.fault,
            "peers": {role.value: roles.count(role) for role in Role},
            "takes_transactions": self._takes,
        }, HTTPStatus.OK if fault is None else HTTPStatus.SERVICE_UNAVAILABLE)

    async def get_metrics(self, request: Request) -> Response:
        text = build_metrics(self._desk, self._index, self._stats)
        return Response(text, media_type=CONTENT_TYPE)

    async def get_document(self, request: Request) -> Response:
        return Response(self._document, media_type="application/json")

    # The chain.

    async def get_genesis(self, request: Request) -> Response:
        return Response(self._genesis, media_type="application/json")

    async def get_head(self, request: Request) -> Response:
        return _respond(answers.describe_block(self._read_block(self._desk.chain.height)))

    async def get_block(self, request: Request) -> Response:
        (height,) = _read_numbers(request)
        if height > self._desk.chain.height:
            raise _refuse_missing(f"height={height}: the head is {self._desk.chain.height}")
        return _respond(answers.describe_block(self._read_block(height)))

    async def get_receipt(self, request: Request) -> Response:
        place = await self._find(request)
        page = await self._index.read_page(place.height)
        return _respond(answers.describe_receipt(page, place))

    async def get_proof(self, request: Request) -> Response:
        place = await self._find(request)
        page = await self._index.read_page(place.height)
        block = self._read_block(place.height)
        return _respond(answers.describe_proof(self._desk.chain, block, page, place))

    async def get_record(self, request: Request) -> Response:
        key = _read_hex(request, "key", KEY_BYTES_MAX)
        chain = self._desk.chain
        if chain.height == 0:
            raise _refuse_missing("there is no sealed block yet")
        return _respond(answers.describe_record(chain, self._read_block(chain.height), key))

    async def get_tally(self, request: Request) -> Response:
        (voting,) = _read_numbers(request)
        chain = self._desk.chain
        known = self._tallies.get(voting)
        if known is None or known[0] != chain.height:
            tally = answers.describe_tally(chain, voting)
            if tally is None:
                raise _refuse_missing(f"voting={voting}: there is no such voting")
            known = (chain.height, _encode(tally))
            self._tallies[voting] = known  # bounded: only votings that exist get here
        return Response(known[1], media_type="application/json")

    async def get_stall(self, request: Request) -> Response:
        season, site, period, place = _read_numbers(request)
        stall = answers.describe_stall(self._desk.chain, season, site, period, place)
        if stall is None:
            raise _refuse_missing(
                f"season={season} site={site} period={period} place={place}: "
                "there is no such place"
            )
        return _respond(stall)

    async def get_lot(self, request: Request) -> Response:
        auction, lot = _read_numbers(request)
        found = answers.describe_lot(self._desk.chain, auction, lot)
        if found is None:
            raise _refuse_missing(f"auction={auction} lot={lot}: there is no such lot")
        return _respond(found)

    def _read_block(self, height: int) -> Block:
        if height == 0:
            return make_genesis_block(self._desk.genesis, EMPTY_STATE.root)
        return decode_block(self._desk.chain.get_encoded(height), self._desk.genesis.params)

    async def _find(self, request: Request) -> Place:
        transaction_id = _read_hex(request, "transaction_id", 32)
        index, chain = self._index, self._desk.chain
        behind = index.height < chain.height
        place = await index.find(transaction_id)
        if place is None and behind:
            raise HTTPException(
                HTTPStatus.SERVICE_UNAVAILABLE,
                index.fault or f"blocks are indexed up to {index.height} of {chain.height}",
                _SOON,
            )
        if place is None or place.height > chain.height:
            raise _refuse_missing(
                f"transaction_id={transaction_id.hex()}: in no final block up to "
                f"{chain.height}"
            )
        return place

    # Transactions.

    async def post_transaction(self, request: Request) -> Response:
        bytes_max = self._desk.genesis.params.transaction_bytes_max
        encoded = await self._read_body(request, bytes_max)
        try:
            transaction = decode_transaction(encoded, bytes_max)
        except InvalidTransaction as error:
            raise HTTPException(HTTPStatus.BAD_REQUEST, f"body: {error}") from error
        (verdict,) = await self._desk.submit_many([encoded])
        if verdict == "busy":
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "the relay is busy", _SOON)
        if verdict != "accepted":
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"transaction: {verdict}")
        return _respond(
            {"transaction_id": transaction.id.hex(), "verdict": verdict}, HTTPStatus.ACCEPTED
        )

    async def post_batch(self, request: Request) -> Response:
        bytes_max = self._limits.batch_bytes_max
        body = await self._read_body(request, bytes_max)
        try:
            items = decode(body, bytes_max, BATCH_MAX + 1)
        except InvalidEncoding as error:
            raise HTTPException(HTTPStatus.BAD_REQUEST, f"body: {error}") from error
        batch = items if isinstance(items, list) else []
        transactions = [item for item in batch if isinstance(item, bytes)]
        if not transactions or len(transactions) != len(batch):
            raise HTTPException(
                HTTPStatus.BAD_REQUEST, f"body: give a list of 1 to {BATCH_MAX} byte strings"
            )
        verdicts: list[Json] = [*await self._desk.submit_many(transactions)]
        return _respond({"verdicts": verdicts})

    async def _read_body(self, request: Request, bytes_max: int) -> bytes:
        if not self._takes:
            raise HTTPException(
                HTTPStatus.FORBIDDEN,
                "this node takes no transactions: send them to a relay that does",
            )
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != MSGPACK:  # a page of another site cannot send this without asking
            raise HTTPException(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"content-type={kind!r}: send {MSGPACK}"
            )
        declared = request.headers.get("content-length", "0")
        body = bytearray()
        if not declared.isdecimal() or int(declared[:16]) > bytes_max:
            raise _refuse_size(bytes_max)
        with trio.move_on_after(self._limits.body_timeout_s) as deadline:
            try:
                async with aclosing(request.stream()) as pieces:
                    async for piece in pieces:
                        body += piece
                        if len(body) > bytes_max:
                            break
            except ClientDisconnect as error:
                raise HTTPException(HTTPStatus.BAD_REQUEST, "body: cut off") from error
        if len(body) > bytes_max:
            raise _refuse_size(bytes_max)
        if deadline.cancelled_caught:
            raise HTTPException(
                HTTPStatus.REQUEST_TIMEOUT,
                f"body: send it within {self._limits.body_timeout_s:g} s",
            )
        return bytes(body)


def find_operation(name: str) -> Operation:
    """The operation that the handler of this name answers."""
    return next(operation for operation in OPERATIONS if operation.name == name)


def _read_numbers(request: Request) -> list[int]:
    numbers = []
    for parameter in find_operation(request.scope["endpoint"].__name__).parameters:
        text = request.path_params[parameter.name]
        if not _WHOLE.fullmatch(text) or int(text) >= parameter.end:
            raise HTTPException(
                HTTPStatus.BAD_REQUEST,
                f"{parameter.name}={_shorten(text)}: give a whole number from 0 to "
                f"{parameter.end - 1}",
            )
        numbers.append(int(text))
    return numbers


def _read_hex(request: Request, name: str, bytes_max: int) -> bytes:
    text = request.path_params[name]
    sized = len(text) == 64 if name == "transaction_id" else len(text) <= 2 * bytes_max
    if not sized or not _HEX.fullmatch(text):
        wanted = "64 hex digits" if name == "transaction_id" else (
            f"1 to {bytes_max} bytes in hex"
        )
        raise HTTPException(
            HTTPStatus.BAD_REQUEST, f"{name}={_shorten(text)}: give {wanted}"
        )
    return bytes.fromhex(text)


def _shorten(text: str) -> str:
    return ascii(text if len(text) <= 80 else text[:80] + "...")


def _refuse_missing(detail: str) -> HTTPException:
    return HTTPException(HTTPStatus.NOT_FOUND, detail)


def _refuse_size(bytes_max: int) -> HTTPException:
    return HTTPException(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"body: send at most {bytes_max} bytes"
    )


def _encode(content: Object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _respond(content: Object, status: int = HTTPStatus.OK) -> Response:
    return Response(_encode(content), status, media_type="application/json")


async def _redirect(request: Request) -> Response:
    return RedirectResponse("/proof")


async def _answer_refusal(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND and "endpoint" not in request.scope:
        detail = f"path={_shorten(request.url.path)}: see /openapi.json for what there is"
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"method={request.method}: see Allow"
    return make_error(error.status_code, detail, dict(error.headers or {}))


async def _answer_index(request: Request, error: Exception) -> JSONResponse:
    return make_error(HTTPStatus.SERVICE_UNAVAILABLE, f"the index: {error}", _SOON)


async def _answer_host(request: Request, error: Exception) -> JSONResponse:
    return make_error(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))


async def _answer_bug(request: Request, error: Exception) -> JSONResponse:
    # Starlette raises it again behind the answer, so that it is logged.
    return make_error(HTTPStatus.INTERNAL_SERVER_ERROR, "an error of the node's own")
