"""The HTTP interface as a table of operations, and as the OpenAPI document made from it.

The routes are made from the same table, so that neither can say what the other does not.
"""

from typing import NamedTuple

from node.host.answers import Json, Object

JSON = "application/json"
HTML = "text/html"
TEXT = "text/plain"
MSGPACK = "application/msgpack"

HEX_32 = r"^[0-9a-fA-F]{64}$"
KEY_BYTES_MAX = 256
BATCH_MAX = 500


class Parameter(NamedTuple):
    """One part of a path: a whole number below ``end``, or hex when there is a ``pattern``."""

    name: str
    about: str
    end: int = 0
    pattern: str = ""


class Operation(NamedTuple):
    """One method of one path. ``name`` is the handler's, ``answer`` the schema of success."""

    name: str
    path: str
    summary: str
    answer: Json
    parameters: tuple[Parameter, ...] = ()
    refusals: tuple[int, ...] = ()
    media: str = JSON
    method: str = "get"
    success: int = 200
    body: str = ""


_NUMBER: Object = {"type": "integer", "minimum": 0}
_TEXT: Object = {"type": "string"}
_TRUTH: Object = {"type": "boolean"}
_HEX: Object = {"type": "string", "pattern": "^([0-9a-f]{2})*$"}
_DIGEST: Object = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_CHAIN_ID: Object = {"type": "string", "pattern": "^[0-9a-f]{16}$"}


def _object(**properties: Json) -> Object:
    return {
        "type": "object", "properties": properties, "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: Json) -> Object:
    return {"type": "array", "items": items}


def _or_null(schema: Object) -> Object:
    return {"anyOf": [schema, {"type": "null"}]}


_RECEIPT: Object = {
    "transaction_id": _DIGEST, "height": _NUMBER, "index": _NUMBER, "status": _TEXT,
}
_BLOCK = _object(
    height=_NUMBER, digest=_DIGEST, parent=_DIGEST, time_ns=_NUMBER, proposer=_DIGEST,
    bundles_root=_DIGEST, receipts_root=_DIGEST, state_root=_DIGEST,
    validators=_list(_DIGEST), round=_NUMBER, sealed_by=_list(_NUMBER), bundles=_NUMBER,
    bytes=_NUMBER, header=_HEX,
)
_ERROR = _object(error=_TEXT, detail=_TEXT)
_TRANSACTION_ID = Parameter("transaction_id", "digest of the transaction", pattern=HEX_32)

OPERATIONS = (
    Operation(
        "get_page", "/proof", "The citizen's page: checks a proof in the browser",
        _TEXT, media=HTML,
    ),
    Operation(
        "get_health", "/health", "Whether the node is well: 200, or 503 with the fault",
        _object(
            status={"type": "string", "enum": ["ok", "fault"]}, fault=_or_null(_TEXT),
            role={"type": "string", "enum": ["validator", "relay", "observer"]},
            chain_id=_CHAIN_ID, height=_NUMBER, head=_DIGEST, head_time_ns=_NUMBER,
            indexed=_NUMBER, index_fault=_or_null(_TEXT),
            peers=_object(validator=_NUMBER, relay=_NUMBER, observer=_NUMBER),
            takes_transactions=_TRUTH,
        ),
    ),
    Operation(
        "get_metrics", "/metrics", "Counters and levels in Prometheus' text format", _TEXT,
        media=TEXT,
    ),
    Operation(
        "get_document", "/openapi.json", "This document", {"type": "object"},
    ),
    Operation(
        "get_genesis", "/v1/genesis", "What the chain began with",
        _object(
            chain_id=_CHAIN_ID, time_ns=_NUMBER, validators=_list(_DIGEST),
            relays=_list(_DIGEST), registrar=_DIGEST,
            params={
                "type": "object",
                "additionalProperties": {"anyOf": [_NUMBER, _TEXT]},
            },
            encoded=_HEX,
        ),
    ),
    Operation("get_head", "/v1/head", "The last final block", _BLOCK),
    Operation(
        "get_block", "/v1/block/{height}", "A final block", _BLOCK,
        (Parameter("height", "of the block; 0 is genesis", 2**53),), (404,),
    ),
    Operation(
        "get_receipt", "/v1/receipt/{transaction_id}", "What became of a transaction",
        _object(**_RECEIPT), (_TRANSACTION_ID,), (404,),
    ),
    Operation(
        "get_proof", "/v1/proof/{transaction_id}",
        "The receipt with its proof, to be checked without this node",
        _object(
            format={"type": "string", "enum": ["veche-proof-1"]}, chain_id=_CHAIN_ID,
            **_RECEIPT, proof=_HEX,
        ),
        (_TRANSACTION_ID,), (404,),
    ),
    Operation(
        "get_record", "/v1/record/{key}",
        "A record of the present state with its proof, or the proof that there is none",
        _object(
            format={"type": "string", "enum": ["veche-record-1"]}, chain_id=_CHAIN_ID,
            height=_NUMBER, key=_HEX, value=_or_null(_HEX), proof=_HEX,
        ),
        (Parameter(
            "key", "of the record", pattern=rf"^([0-9a-fA-F]{{2}}){{1,{KEY_BYTES_MAX}}}$"
        ),),
        (404,),
    ),
    Operation(
        "get_tally", "/v1/tally/{voting}",
        "How a voting stands; place 0 of counts is for spoiled ballots",
        _object(
            voting=_NUMBER, height=_NUMBER,
            phase={"type": "string", "enum": ["registering", "open", "closed", "final"]},
            is_final=_TRUTH, open_ns=_NUMBER, close_ns=_NUMBER,
            ballots=_object(
                registered=_NUMBER, issued=_NUMBER, keys=_NUMBER, stored=_NUMBER,
                superseded=_NUMBER, decrypted=_NUMBER, spoiled=_NUMBER, pending=_NUMBER,
                failures=_NUMBER,
            ),
            districts=_list(_object(district=_NUMBER, counts=_list(_NUMBER))),
        ),
        (Parameter("voting", "its number", 1 << 16),), (404,),
    ),
    Operation(
        "get_stall", "/v1/stall/{season}/{site}/{period}/{place}",
        "Who holds a place of a fair; record_key leads to the proof",
        _object(
            season=_NUMBER, site=_NUMBER, period=_NUMBER, place=_NUMBER, height=_NUMBER,
            holder=_or_null(_object(
                applicant=_DIGEST, trade=_NUMBER, pool=_NUMBER, number=_NUMBER
            )),
            record_key=_HEX,
        ),
        (
            Parameter("season", "its number", 1 << 16), Parameter("site", "", 1 << 16),
            Parameter("period", "of the season", 256), Parameter("place", "", 1 << 16),
        ),
        (404,),
    ),
    Operation(
        "get_lot", "/v1/lot/{auction}/{lot}",
        "Where a lot of an auction stands; record_key leads to the proof",
        _object(
            auction=_NUMBER, lot=_NUMBER, height=_NUMBER,
            leader=_or_null(_object(
                bidder=_DIGEST, amount=_NUMBER, bids=_NUMBER, is_settled=_TRUTH,
                closes=_NUMBER,
            )),
            record_key=_HEX,
        ),
        (
            Parameter("auction", "its number", 1 << 32),
            Parameter("lot", "its number in the auction", 1 << 32),
        ),
        (404,),
    ),
    Operation(
        "post_transaction", "/v1/transactions", "Hand in one signed transaction",
        _object(transaction_id=_DIGEST, verdict={"type": "string", "enum": ["accepted"]}),
        (), (400, 403, 408, 413, 415, 422), method="post", success=202,
        body="[body, signature]",
    ),
    Operation(
        "post_batch", "/v1/transactions/batch",
        f"Hand in up to {BATCH_MAX} signed transactions; verdicts come in their order",
        _object(verdicts=_list(_TEXT)), (), (400, 403, 408, 413, 415), method="post",
        body="[transaction, ...], each a byte string",
    ),
)

_REFUSALS = {
    400: "A part of the request is not what it should be",
    403: "This node takes no transactions",
    404: "There is none, as far as this node knows",
    408: "The body came too slowly",
    413: "The body is too large",
    415: f"The body is not {MSGPACK}",
    422: "The relay refuses the transaction; detail says why",
    429: "Too many requests from this address; Retry-After says when to come again",
    500: "A fault of the node",
    503: "Not now; Retry-After says when to come again",
}


def build_document() -> Object:
    """The OpenAPI 3.1 document."""
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        assert operation.path not in paths
        paths[operation.path] = {operation.method: _describe(operation)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "A Veche node", "version": "1",
            "description": (
                "Reads of the final chain, for anyone; on a relay that allows it, "
                "transactions. Byte strings are hex, times nanoseconds since 1970."
            ),
        },
        "paths": paths,
        "components": {"schemas": {"Error": _ERROR}},
    }


def _describe(operation: Operation) -> Object:
    refusals = {*operation.refusals, 429, 500, 503, *((400,) if operation.parameters else ())}
    responses: dict[str, Json] = {
        str(operation.success): {
            "description": "OK", "content": {operation.media: {"schema": operation.answer}}
        }
    }
    for status in sorted(refusals):
        schema: Json = {"$ref": "#/components/schemas/Error"}
        if (operation.name, status) == ("get_health", 503):
            schema = {"anyOf": [schema, operation.answer]}
        responses[str(status)] = {
            "description": _REFUSALS[status], "content": {JSON: {"schema": schema}},
        }
    described: Object = {
        "operationId": operation.name, "summary": operation.summary, "responses": responses,
    }
    if operation.parameters:
        described["parameters"] = [_describe_parameter(item) for item in operation.parameters]
    if operation.body:
        described["requestBody"] = {
            "required": True, "description": f"canonical msgpack: {operation.body}",
            "content": {MSGPACK: {"schema": {"type": "string", "format": "binary"}}},
        }
    return described


def _describe_parameter(parameter: Parameter) -> Object:
    schema: Object
    if parameter.pattern:
        schema = {"type": "string", "pattern": parameter.pattern}
    else:
        assert parameter.end > 0
        schema = {"type": "integer", "minimum": 0, "maximum": parameter.end - 1}
    return {
        "name": parameter.name, "in": "path", "required": True,
        "description": parameter.about, "schema": schema,
    }
