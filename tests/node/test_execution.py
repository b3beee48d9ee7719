"""Executing a block: deterministic, total, and a refusal writes nothing but its nonce."""

import pytest

from node.bundle import decode_bundle, make_bundle
from node.execution import SEQUENCE_PER_BLOCK, execute_bundles, get_nonce
from node.ledger import Ledger
from node.receipt import decode_receipt
from node.services import catalogue
from node.services.election import STORE_BALLOT
from node.services.identity import (
    ENABLE_SERVICE,
    GRANT_RIGHT,
    LOCK_SERVICES,
    REGISTER,
    make_enable_service,
    make_grant_right,
    make_lock_services,
)
from node.state import EMPTY_STATE
from node.transaction import make_transaction
from node.work import Work, WorkKind
from tests.node.samples import CHAIN, PARAMS, make_identity

CHIEF = make_identity("registrar")
RELAY = make_identity("relay")


def send(kind, nonce, payload, sender=CHIEF):
    return make_transaction(sender, CHAIN, kind, nonce, payload)


def grant(nonce, name="clerk", sender=CHIEF):
    payload = make_grant_right(make_identity(name).public, REGISTER)
    return send(GRANT_RIGHT, nonce, payload, sender)


def execute(*bundles, state=EMPTY_STATE, height=3, time_ns=1_000):
    decoded = [
        decode_bundle(make_bundle(RELAY, CHAIN, number, items), PARAMS)
        for number, items in enumerate(bundles)
    ]
    return execute_bundles(state, height, time_ns, decoded, CHIEF.public, Work())


def get_statuses(output):
    return [decode_receipt(receipt).status for receipt in output.receipts]


def test_transactions_execute_in_order_across_bundles():
    output = execute([grant(1), grant(2)], [grant(3)])
    assert get_statuses(output) == ["ok"] * 3
    assert [decode_receipt(receipt).index for receipt in output.receipts] == [0, 1, 2]
    assert [len(outcome) for outcome in output.outcomes] == [2, 1]
    assert get_nonce(output.state, CHIEF.public) == 3
    assert output.transaction_count == 3


def test_no_transactions_leave_the_state_and_cost_nothing():
    output = execute()
    assert output.state_root == EMPTY_STATE.root
    assert output.receipts == ()
    assert output.worked == ()


@pytest.mark.parametrize(("nonces", "statuses"), [
    ((0,), ["duplicate"]), ((2,), ["nonce gap"]), ((1, 1), ["ok", "duplicate"]),
    ((1, 3, 2), ["ok", "nonce gap", "ok"]), ((2, 1), ["nonce gap", "ok"]),
])
def test_nonces_count_from_one_without_gaps(nonces, statuses):
    output = execute([grant(nonce, f"clerk {at}") for at, nonce in enumerate(nonces)])
    assert get_statuses(output) == statuses


def test_a_refused_transaction_uses_up_its_nonce_and_changes_nothing_else():
    stranger = make_identity("stranger")
    output = execute([grant(1, sender=stranger)])
    assert get_statuses(output) == ["not allowed"]
    assert get_nonce(output.state, stranger.public) == 1
    assert [key for key, _ in output.state.items()] == [b"nonce/" + stranger.public]
    assert get_statuses(execute([grant(1, sender=stranger)], state=output.state)) == [
        "duplicate"
    ]


def test_a_replay_in_the_same_bundle_other_bundle_or_later_block_is_a_duplicate():
    item = grant(1)
    output = execute([item], [item])
    assert get_statuses(output) == ["ok", "duplicate"]
    again = execute([item], state=output.state, height=4)
    assert get_statuses(again) == ["duplicate"]
    assert again.state_root == output.state_root


def test_unknown_kinds_and_bad_payloads_are_recorded():
    output = execute([
        send(999, 1, []), send(GRANT_RIGHT, 1, []), send(GRANT_RIGHT, 2, [b"short", "right"]),
        send(-5, 3, []),
    ])
    assert get_statuses(output) == [
        "unknown kind", "bad payload", "bad payload", "unknown kind",
    ]


def test_a_service_is_closed_until_enabled_and_after_the_lock_none_is_added():
    output = execute([
        send(STORE_BALLOT, 0, []), send(ENABLE_SERVICE, 1, make_enable_service("election")),
        send(STORE_BALLOT, 0, []), send(LOCK_SERVICES, 2, make_lock_services()),
        send(ENABLE_SERVICE, 3, make_enable_service("fairs")),
    ])
    statuses = get_statuses(output)
    assert statuses[0] == "service not enabled"
    assert statuses[2] == "bad payload"
    assert statuses[4] not in ("ok", "bad payload")


def test_what_orders_itself_takes_no_nonce_but_zero():
    output = execute([
        send(ENABLE_SERVICE, 1, make_enable_service("election")), send(STORE_BALLOT, 1, []),
    ])
    assert get_statuses(output) == ["ok", "bad payload"]
    assert get_nonce(output.state, CHIEF.public) == 1


@pytest.mark.parametrize("payload", [
    [], [None], [1, 2, 3], [b"", b""], [[]], [-1], [2**63], ["x" * 1_000], [True, False],
    [[[[[1]]]]], [b"\x00" * 10_000],
])
def test_no_payload_of_any_kind_raises(payload):
    enable = [
        send(ENABLE_SERVICE, nonce, make_enable_service(name))
        for nonce, name in enumerate(catalogue.SERVICES, 1)
    ]
    state = execute(enable).state
    nonce = len(enable)
    for kind in sorted(catalogue.HANDLERS):
        own = kind in catalogue.SELF_ORDERED
        output = execute([send(kind, 0 if own else nonce + 1, payload)], state=state)
        (status,) = get_statuses(output)
        assert status != "nonce gap"


def test_the_work_is_told_so_that_it_can_be_charged():
    output = execute([grant(1), grant(2)])
    told = dict(output.worked)
    assert told[WorkKind.EXECUTE] == 2
    assert told[WorkKind.CHECK_SIGNATURE] == 3
    assert WorkKind.CHECK_SIGNATURE not in dict(output.executed)


def test_the_same_block_on_the_same_state_has_the_same_outcome_and_another_order_another():
    items = [grant(1, "a"), grant(2, "b")]
    one, again = execute(items), execute(items)
    assert (one.state_root, one.receipts, one.outcomes, one.receipts_root, one.worked) == (
        again.state_root, again.receipts, again.outcomes, again.receipts_root, again.worked
    )
    assert execute(items).receipts_root != execute(items[::-1]).receipts_root


def test_each_transaction_has_its_own_place_in_the_order_of_the_chain(monkeypatch):
    seen = []

    def note(ledger: Ledger, call):
        seen.append((call.sequence, call.height, call.time_ns, call.is_registrar))

    monkeypatch.setitem(catalogue.HANDLERS, 888, note)
    execute([send(888, 1, []), send(888, 1, [], RELAY)], height=5, time_ns=77)
    first = 5 * SEQUENCE_PER_BLOCK
    assert seen == [(first, 5, 77, True), (first + 1, 5, 77, False)]
