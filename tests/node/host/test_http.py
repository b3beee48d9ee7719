import json
import sqlite3
from contextlib import asynccontextmanager

import httpx
import pytest
import trio

from node.block import decode_header
from node.codec import encode
from node.crypto import digest
from node.host.errors import SettingsError, StoreDamaged
from node.host.guard import HttpStats
from node.host.http import make_app
from node.host.index import Index
from node.host.limits import HttpLimits
from node.host.openapi import MSGPACK, OPERATIONS, build_document
from node.inputs import Role
from node.proof import (
    decode_inclusion_proof,
    decode_record_proof,
    verify_inclusion,
    verify_record_proof,
)
from node.services.fairs import unpack_holder
from tests.node.host.desks import FakeDesk, get_id
from tests.node.samples import make_identity

MEDIA = {"content-type": MSGPACK}


@asynccontextmanager
async def open_site(tmp_path, desk, *, address="10.0.0.1", is_followed=True, **how):
    """A client of a guarded app upon ``desk``, whose index keeps up."""
    index = Index.open(tmp_path / "index.sqlite", desk.genesis)
    app = make_app(desk, index, **how)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 9))
    async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
        client.index = index
        async with trio.open_nursery() as nursery:
            if is_followed:
                nursery.start_soon(index.follow, desk)
                await index.wait(desk.chain.height)
            yield client
            nursery.cancel_scope.cancel()
    index.close()


def assert_error(response, status, detail):
    assert response.status_code == status, response.text
    content = response.json()
    assert set(content) == {"error", "detail"}
    assert detail in content["detail"], content
    return response


async def test_a_ballot_s_proof_is_what_a_citizen_can_check(tmp_path):
    desk = FakeDesk()
    ballot = desk.cast()
    async with open_site(tmp_path, desk) as client:
        receipt = (await client.get(f"/v1/receipt/{ballot.hex()}")).json()
        content = (await client.get(f"/v1/proof/{ballot.hex().upper()}")).json()
        genesis = (await client.get("/v1/genesis")).json()
    assert receipt == {
        "transaction_id": ballot.hex(), "height": 2, "index": 0, "status": "ok",
    }
    assert content.items() >= receipt.items()
    validators = tuple(bytes.fromhex(key) for key in genesis["validators"])
    proof = decode_inclusion_proof(bytes.fromhex(content["proof"]))
    proven = verify_inclusion(proof, validators, bytes.fromhex(genesis["chain_id"]))
    assert (proven.transaction_id, proven.status) == (ballot, "ok")


async def test_the_encoded_genesis_is_what_the_chain_id_is_the_digest_of(tmp_path):
    desk = FakeDesk()
    async with open_site(tmp_path, desk) as client:
        genesis = (await client.get("/v1/genesis")).json()
    encoded = bytes.fromhex(genesis["encoded"])
    assert digest(b"genesis", encoded)[:8].hex() == genesis["chain_id"]
    assert genesis["chain_id"] == desk.chain.chain_id.hex()
    assert genesis["params"]["engine"] == "qbft"


async def test_blocks_are_told_from_genesis_to_the_head(tmp_path):
    desk = FakeDesk()
    desk.grant()
    async with open_site(tmp_path, desk) as client:
        head = (await client.get("/v1/head")).json()
        for height in (0, 1):
            block = (await client.get(f"/v1/block/{height}")).json()
            header = decode_header(bytes.fromhex(block["header"]))
            assert block["height"] == header.height == height
            assert block["digest"] == desk.chain.get_digest(height).hex()
        assert block == head
        assert len(block["sealed_by"]) >= 3
        assert_error(await client.get("/v1/block/2"), 404, "the head is 1")


async def test_a_tally_says_how_far_the_voting_is(tmp_path):
    desk = FakeDesk()
    desk.cast()
    async with open_site(tmp_path, desk) as client:
        tally = (await client.get("/v1/tally/1")).json()
        assert (tally["phase"], tally["is_final"], tally["height"]) == ("open", False, 2)
        assert tally["ballots"]["stored"] == tally["ballots"]["pending"] == 1
        assert [item["counts"] for item in tally["districts"]] == [[0, 0, 0, 0]] * 2
        desk.grow()
        assert (await client.get("/v1/tally/1")).json()["height"] == 3
        assert_error(await client.get("/v1/tally/2"), 404, "voting=2")


async def test_who_holds_a_stall_is_told_and_provable(tmp_path):
    desk = FakeDesk()
    desk.let_stalls()
    async with open_site(tmp_path, desk) as client:
        stall = (await client.get("/v1/stall/1/0/0/0")).json()
        assert stall["holder"]["applicant"] == make_identity("farmer").public.hex()
        record = (await client.get(f"/v1/record/{stall['record_key']}")).json()
        free = (await client.get("/v1/stall/1/0/0/1")).json()
        assert free["holder"] is None
        absent = (await client.get(f"/v1/record/{free['record_key']}")).json()
        assert absent["value"] is None
        lot = (await client.get("/v1/lot/1/0")).json()
        assert (lot["leader"]["amount"], lot["leader"]["bids"]) == (150, 1)
        assert (await client.get("/v1/lot/1/1")).json()["leader"] is None
        for path in ("/v1/stall/1/0/0/3", "/v1/stall/1/0/1/0", "/v1/stall/2/0/0/0",
                     "/v1/lot/1/2", "/v1/lot/2/0"):
            assert_error(await client.get(path), 404, "there is no such")
    for content in (record, absent):
        proof = decode_record_proof(bytes.fromhex(content["proof"]))
        value = verify_record_proof(proof, desk.genesis.validators, desk.chain.chain_id)
        assert (None if value is None else value.hex()) == content["value"]
    assert unpack_holder(bytes.fromhex(record["value"])).applicant == (
        make_identity("farmer").public
    )


@pytest.mark.parametrize(("path", "detail"), [
    ("/v1/block/-1", "height='-1': give a whole number from 0"),
    ("/v1/block/01", "height='01'"), ("/v1/block/1e3", "height='1e3'"),
    ("/v1/block/9007199254740992", "to 9007199254740991"),
    ("/v1/block/%D9%A3", "height='\\u0663'"), ("/v1/block/" + "9" * 300, "99..."),
    ("/v1/tally/65536", "to 65535"), ("/v1/stall/1/0/256/0", "period='256'"),
    ("/v1/stall/1/x/0/0", "site='x'"), ("/v1/lot/4294967296/0", "auction="),
    ("/v1/receipt/00", "give 64 hex digits"), ("/v1/proof/" + "g" * 64, "give 64 hex digits"),
    ("/v1/record/123", "bytes in hex"), ("/v1/record/" + "00" * 257, "1 to 256 bytes"),
])
async def test_a_wrong_part_of_the_path_is_named(tmp_path, path, detail):
    async with open_site(tmp_path, FakeDesk()) as client:
        assert_error(await client.get(path), 400, detail)


async def test_what_is_not_there_is_an_error_in_json(tmp_path):
    async with open_site(tmp_path, FakeDesk()) as client:
        assert_error(await client.get("/nowhere/"), 404, "path='/nowhere/'")
        response = await client.delete("/v1/head")
        assert_error(response, 405, "method=DELETE")
        assert "GET" in response.headers["allow"]
        assert (await client.get("/")).headers["location"] == "/proof"
        assert (await client.head("/v1/head")).content == b""


async def test_a_transaction_in_no_block_is_told_apart_from_a_late_index(tmp_path):
    desk = FakeDesk()
    desk.grant()
    async with open_site(tmp_path, desk, is_followed=False) as client:
        response = await client.get(f"/v1/receipt/{bytes(32).hex()}")
        assert_error(response, 503, "indexed up to 0 of 1")
        assert response.headers["retry-after"] == "1"
        client.index.fault = "the index stopped at block 0: disk full"
        assert_error(await client.get(f"/v1/proof/{bytes(32).hex()}"), 503, "disk full")
        assert (await client.get("/health")).json()["index_fault"].endswith("disk full")
    async with open_site(tmp_path, desk) as client:
        assert_error(await client.get(f"/v1/receipt/{bytes(32).hex()}"), 404, "up to 1")


async def test_an_index_ahead_of_the_chain_proves_nothing_yet(tmp_path):
    desk = FakeDesk()
    name = desk.grant()
    async with open_site(tmp_path, desk) as client:
        desk.chain = FakeDesk().chain
        assert_error(await client.get(f"/v1/proof/{name.hex()}"), 404, "up to 0")


# Transactions.


async def test_a_relay_that_may_takes_a_transaction_and_soon_proves_it(tmp_path):
    desk = FakeDesk()
    transaction = desk.net.make_grant(1)
    async with open_site(tmp_path, desk, takes_transactions=True) as client:
        response = await client.post("/v1/transactions", content=transaction, headers=MEDIA)
        assert response.status_code == 202
        name = response.json()["transaction_id"]
        assert name == get_id(transaction).hex()
        desk.grow()
        await client.index.wait(1)
        assert (await client.get(f"/v1/receipt/{name}")).json()["status"] == "ok"


async def test_a_batch_has_a_verdict_for_each_in_order(tmp_path):
    desk = FakeDesk()
    batch = [desk.net.make_grant(1), b"garbage", desk.net.make_grant(2)]
    async with open_site(tmp_path, desk, takes_transactions=True) as client:
        response = await client.post(
            "/v1/transactions/batch", content=encode(batch), headers=MEDIA
        )
        assert response.json() == {"verdicts": ["accepted", "encoding", "accepted"]}
        for content in (encode([]), encode([1]), encode(b"x"), encode([b""] * 501), b"\xc1"):
            response = await client.post(
                "/v1/transactions/batch", content=content, headers=MEDIA
            )
            assert_error(response, 400, "body: ")
    assert desk.submitted == batch


@pytest.mark.parametrize(("role", "may"), [
    (Role.RELAY, False), (Role.OBSERVER, True), (Role.VALIDATOR, True),
])
async def test_nobody_else_takes_transactions(tmp_path, role, may):
    desk = FakeDesk(role=role)
    async with open_site(tmp_path, desk, takes_transactions=may) as client:
        for path in ("/v1/transactions", "/v1/transactions/batch"):
            response = await client.post(path, content=desk.net.make_grant(1), headers=MEDIA)
            assert_error(response, 403, "send them to a relay")
        assert (await client.get("/health")).json()["takes_transactions"] is False
    assert desk.submitted == []


@pytest.mark.parametrize(("verdict", "status"), [
    ("busy", 503), ("signature", 422), ("wrong chain", 422),
])
async def test_the_relay_s_refusals_are_passed_on(tmp_path, verdict, status):
    desk = FakeDesk()
    desk.verdicts = [verdict]
    async with open_site(tmp_path, desk, takes_transactions=True) as client:
        response = await client.post(
            "/v1/transactions", content=desk.net.make_grant(1), headers=MEDIA
        )
        assert_error(response, status, verdict)


async def test_a_body_of_the_wrong_kind_or_size_never_reaches_the_relay(tmp_path):
    desk = FakeDesk()
    size = desk.genesis.params.transaction_bytes_max
    async with open_site(tmp_path, desk, takes_transactions=True) as client:
        post = client.post
        path = "/v1/transactions"
        assert_error(await post(path, content=b"\x90", headers=MEDIA), 400, "body: encoding")
        assert_error(await post(path, content=b"x"), 415, f"send {MSGPACK}")
        response = await post(path, content=b"x", headers={"content-type": "text/plain"})
        assert_error(response, 415, "content-type='text/plain'")
        response = await post(path, content=bytes(size + 1), headers=MEDIA)
        assert_error(response, 413, f"at most {size} bytes")
        response = await post("/v1/transactions/batch", content=bytes(1 << 21), headers=MEDIA)
        assert_error(response, 413, "at most 1048576 bytes")
    assert desk.submitted == []


async def test_a_body_that_never_ends_is_given_up(tmp_path, autojump_clock):
    desk = FakeDesk()

    async def drip():
        yield b"\x92"
        await trio.sleep_forever()

    async with open_site(tmp_path, desk, takes_transactions=True) as client:
        response = await client.post("/v1/transactions", content=drip(), headers=MEDIA)
        assert_error(response, 408, "within 5 s")


# Limits.


async def test_one_address_cannot_take_all(tmp_path, autojump_clock):
    desk = FakeDesk()
    limits = HttpLimits(rate_per_s=2, burst=3)
    stats = HttpStats()
    async with open_site(tmp_path, desk, limits=limits, stats=stats) as client:
        statuses = [(await client.get("/health")).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        response = await client.get("/health")
        assert_error(response, 429, "2 times a second")
        assert response.headers["retry-after"] == "1"
        with trio.move_on_after(0.5):
            await trio.sleep_forever()
        assert (await client.get("/health")).status_code == 200
        elsewhere = httpx.ASGITransport(client._transport.app, client=("10.0.0.2", 9))
        async with httpx.AsyncClient(transport=elsewhere, base_url="http://node") as other:
            assert (await other.get("/health")).status_code == 200
    assert stats.refusals == {"too often": 2}


async def test_requests_in_flight_are_bounded_and_slow_answers_are_given_up(
    tmp_path, autojump_clock
):
    desk = FakeDesk()
    desk.gate = trio.Event()
    limits = HttpLimits(in_flight_max=2)
    stats = HttpStats()
    how = {"limits": limits, "stats": stats, "takes_transactions": True}
    answered = []

    async with open_site(tmp_path, desk, **how) as client, trio.open_nursery() as nursery:
        async def post():
            answered.append(await client.post(
                "/v1/transactions", content=desk.net.make_grant(1), headers=MEDIA
            ))

        nursery.start_soon(post)
        nursery.start_soon(post)
        await trio.testing.wait_all_tasks_blocked()
        assert_error(await client.get("/health"), 503, "2 requests are being answered")
    for response in answered:
        assert_error(response, 503, "the answer took too long")
    assert stats.in_flight == 0
    assert stats.answers == {("post_transaction", 503): 2}
    assert stats.refusals == {"too many at once": 1, "too slow": 2}


@pytest.mark.parametrize(("field", "value"), [
    ("burst", 0), ("burst", 1.5), ("rate_per_s", -1), ("rate_per_s", float("nan")),
    ("in_flight_max", True),
])
def test_limits_are_positive(field, value):
    with pytest.raises(SettingsError, match=f"http_limits.{field}="):
        HttpLimits(**{field: value})


# Health, metrics, document, faults.


async def test_health_tells_what_the_node_is_and_what_is_broken(tmp_path):
    desk = FakeDesk(role=Role.OBSERVER)
    desk.grant()
    async with open_site(tmp_path, desk) as client:
        response = await client.get("/health")
        health = response.json()
        assert (response.status_code, health["status"]) == (200, "ok")
        assert health["role"] == "observer"
        assert (health["height"], health["indexed"]) == (1, 1)
        assert health["peers"] == {"validator": 1, "relay": 0, "observer": 1}
        desk.has_fault = "two sealed blocks at height 7"
        response = await client.get("/health")
        assert response.status_code == 503
        assert response.json()["fault"] == "two sealed blocks at height 7"


async def test_metrics_are_well_formed_and_count_what_was_asked(tmp_path):
    desk = FakeDesk()
    async with open_site(tmp_path, desk) as client:
        await client.get("/v1/head")
        await client.get("/v1/block/x")
        await client.get("/nowhere")
        response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = response.text.splitlines()
    assert 'veche_http_requests_total{operation="get_head",status="200"} 1' in lines
    assert 'veche_http_requests_total{operation="get_block",status="400"} 1' in lines
    assert 'veche_http_requests_total{operation="none",status="404"} 1' in lines
    assert 'veche_linked_peers{role="validator"} 1' in lines
    assert "veche_host_links_bytes_in 2.5" in lines
    assert r'veche_host_refused{reason="reject: \"signature\"\n"} 3' in lines
    assert 'veche_host_worked{kind="sign"} 4' in lines
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    told = set(types)
    for line in lines:
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            assert name.partition("{")[0] in told
            float(value)


async def test_routes_and_document_are_one(tmp_path):
    desk = FakeDesk()
    async with open_site(tmp_path, desk) as client:
        document = (await client.get("/openapi.json")).json()
        routes = client._transport.app._app.routes
    assert document == json.loads(json.dumps(build_document()))
    told = {
        (path, method.upper()) for path, methods in document["paths"].items()
        for method in methods
    }
    served = {
        (route.path, method) for route in routes for method in route.methods - {"HEAD"}
        if route.path != "/"
    }
    assert told == served
    assert len(told) == len(OPERATIONS)


async def test_the_page_may_run_nothing_but_itself(tmp_path):
    async with open_site(tmp_path, FakeDesk()) as client:
        response = await client.get("/proof")
        policy = response.headers["content-security-policy"]
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("error", "status", "detail"), [
    (StoreDamaged("block 1 is damaged", "restore it"), 500, "block 1 is damaged: restore it"),
    (sqlite3.OperationalError("disk I/O error"), 503, "the index: disk I/O error"),
    (ZeroDivisionError("secret"), 500, "an error of the node's own"),
])
async def test_a_fault_below_is_an_answer_too(tmp_path, error, status, detail):
    desk = FakeDesk()

    def fail(*_):
        raise error

    desk.peers = fail
    async with open_site(tmp_path, desk) as client:
        response = await client.get("/health")
        assert_error(response, status, detail)
        assert "secret" not in response.text
        assert (await client.get("/v1/head")).status_code == 200
