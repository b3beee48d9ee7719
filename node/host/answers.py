"""What the HTTP interface says about the chain, as JSON: pure functions of chain and state.

Byte strings are lower-case hex; times are whole nanoseconds since 1970 and may exceed what a
JavaScript number holds. Every answer tells the block that it is true for.
"""

from dataclasses import asdict
from typing import TypeAlias

from node.block import Block
from node.chain import Chain
from node.codec import Value, encode
from node.host.index import Page, Place
from node.params import Genesis
from node.proof import (
    InclusionProof,
    SealedHeader,
    encode_inclusion_proof,
    encode_record_proof,
    make_record_proof,
)
from node.receipt import decode_receipt
from node.services.auctions import readers as auctions
from node.services.auctions.records import make_lot_key
from node.services.election import readers as election
from node.services.election.records import Standing
from node.services.fairs import readers as fairs
from node.services.fairs.records import make_place_key

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Object: TypeAlias = dict[str, Json]

PHASES = ("registering", "open", "closed", "final")


def describe_genesis(genesis: Genesis) -> Object:
    """``encoded`` is what the chain's id is the digest of, so that a reader can check it."""
    params: dict[str, int | str] = asdict(genesis.params)
    values: list[Value] = [*params.values()]
    encoded = encode([
        values, genesis.validators, genesis.relays, genesis.registrar, genesis.time_ns,
    ])
    return {
        "chain_id": genesis.compute_chain_id().hex(),
        "time_ns": genesis.time_ns,
        "validators": [key.hex() for key in genesis.validators],
        "relays": [key.hex() for key in genesis.relays],
        "registrar": genesis.registrar.hex(),
        "params": {**params},
        "encoded": encoded.hex(),
    }


def describe_block(block: Block) -> Object:
    """The header's fields, and who sealed it."""
    header = block.header
    return {
        "height": header.height,
        "digest": header.digest.hex(),
        "parent": header.parent.hex(),
        "time_ns": header.time_ns,
        "proposer": header.proposer.hex(),
        "bundles_root": header.bundles_root.hex(),
        "receipts_root": header.receipts_root.hex(),
        "state_root": header.state_root.hex(),
        "validators": [key.hex() for key in header.validators],
        "round": block.round,
        "sealed_by": [seal.validator for seal in block.seals],
        "bundles": len(block.bundles),
        "bytes": len(block.encoded),
        "header": header.encoded.hex(),
    }


def describe_receipt(page: Page, place: Place) -> Object:
    """What became of a transaction, and where."""
    receipt = decode_receipt(page.receipts[place.number])
    assert (receipt.height, receipt.index) == place
    return {
        "transaction_id": receipt.transaction_id.hex(),
        "height": receipt.height,
        "index": receipt.index,
        "status": receipt.status,
    }


def describe_proof(chain: Chain, block: Block, page: Page, place: Place) -> Object:
    """The receipt with its proof: a file for the citizen to keep and to check elsewhere."""
    assert page.tree.root == block.header.receipts_root
    proof = InclusionProof(
        sealed=SealedHeader(
            header=block.header.encoded, round=block.round, seals=block.seals
        ),
        receipt=page.receipts[place.number], index=place.number, count=page.tree.count,
        path=page.tree.prove(place.number),
    )
    return {
        "format": "veche-proof-1",
        "chain_id": chain.chain_id.hex(),
        **describe_receipt(page, place),
        "proof": encode_inclusion_proof(proof).hex(),
    }


def describe_record(chain: Chain, head: Block, key: bytes) -> Object:
    """The record of the state after the head, or that there is none, with its proof."""
    proof = make_record_proof(head, chain.state, key)
    return {
        "format": "veche-record-1",
        "chain_id": chain.chain_id.hex(),
        "height": head.header.height,
        "key": key.hex(),
        "value": None if proof.value is None else proof.value.hex(),
        "proof": encode_record_proof(proof).hex(),
    }


def describe_tally(chain: Chain, voting: int) -> Object | None:
    """How a voting stands; None if there is none. Choice 0 counts spoiled ballots."""
    counters = election.get_counters(chain.state, voting)
    terms = election.get_voting_terms(chain.state, voting)
    if counters is None or terms is None:
        return None
    result = election.get_result(chain.state, voting)
    if result is None:
        tallies = [
            election.get_tally(chain.state, voting, district)
            for district in range(1, terms.districts + 1)
        ]
    else:
        tallies = list(result.tallies)
    width = terms.choices + 1
    return {
        "voting": voting,
        "height": chain.height,
        "phase": PHASES[counters.phase],
        "is_final": result is not None,
        "open_ns": counters.open_ns,
        "close_ns": terms.close_ns,
        "ballots": _describe_ballots(counters),
        "districts": [
            {
                "district": district,
                "counts": [*counts, *([0] * (width - len(counts)))],
            }
            for district, counts in enumerate(tallies, 1)
        ],
    }


def _describe_ballots(counters: Standing) -> Object:
    return {
        "registered": counters.registered, "issued": counters.issued, "keys": counters.keys,
        "stored": counters.stored, "superseded": counters.superseded,
        "decrypted": counters.decrypted, "spoiled": counters.spoiled,
        "pending": counters.pending, "failures": counters.failures,
    }


def describe_stall(
    chain: Chain, season: int, site: int, period: int, place: int
) -> Object | None:
    """Who holds a place of a fair; None if there is no such place."""
    places = fairs.get_site_places(chain.state, season, site)
    if period >= len(places) or place >= places[period]:
        return None
    holder = fairs.get_holder(chain.state, season, site, period, place)
    return {
        "season": season, "site": site, "period": period, "place": place,
        "height": chain.height,
        "holder": None if holder is None else {
            "applicant": holder.applicant.hex(), "trade": holder.trade, "pool": holder.pool,
            "number": holder.number,
        },
        "record_key": make_place_key(season, site, period, place).hex(),
    }


def describe_lot(chain: Chain, auction: int, lot: int) -> Object | None:
    """Where a lot of an auction stands; None if there is no such lot."""
    terms = auctions.get_terms(chain.state, auction)
    if terms is None or lot >= terms.lots:
        return None
    found = auctions.get_lot(chain.state, auction, lot)
    return {
        "auction": auction, "lot": lot, "height": chain.height,
        "leader": None if found is None else {
            "bidder": found.leader.hex(), "amount": found.amount, "bids": found.bids,
            "is_settled": bool(found.is_settled), "closes": found.closes,
        },
        "record_key": make_lot_key(auction, lot).hex(),
    }
