"""Bidders' money: credited by the registrar, locked behind bids, released or paid.

Money is only ever moved: what leaves ``free`` enters ``locked`` of the same account, and what
leaves ``locked`` goes back or to the city.
"""

from collections.abc import Sequence
from typing import Final

from node.codec import Value
from node.errors import Refused
from node.ledger import Ledger, Readable
from node.receipt import BAD_PAYLOAD
from node.services.auctions.records import (
    ACCOUNT,
    ACCOUNT_KEY,
    AMOUNT_END,
    BATCH_MAX,
    MONEY,
    MONEY_KEY,
    Account,
    Money,
)
from node.services.call import Call, require_registrar
from node.types import KEY_BYTES, PublicKey

_AMOUNT_BYTES: Final = 8


def make_credit_accounts(keys: Sequence[PublicKey], amounts: Sequence[int]) -> list[Value]:
    """Payload of CreditAccounts; the two stand side by side, at most BATCH_MAX of them."""
    assert len(keys) == len(amounts)
    packed = b"".join(amount.to_bytes(_AMOUNT_BYTES, "big") for amount in amounts)
    return [b"".join(keys), packed]


def process_credit_accounts(ledger: Ledger, call: Call) -> None:
    """Add money to accounts; a key may stand there twice.

    Refused: bad payload, not allowed, too much money (all that was ever credited stays below
    AMOUNT_END, and so does every sum of it).
    """
    keys, amounts = _read_credits(call)
    require_registrar(call)
    money = get_money(ledger)
    credited = money.credited + sum(amounts)
    if credited >= AMOUNT_END:
        raise Refused("too much money")
    for at, amount in enumerate(amounts):
        key = ACCOUNT_KEY + keys[KEY_BYTES * at : KEY_BYTES * (at + 1)]
        record = ledger.get(key)
        free, locked = (0, 0) if record is None else ACCOUNT.unpack(record)
        ledger.put(key, ACCOUNT.pack(free + amount, locked))
    put_money(ledger, Money(credited, money.city))


def _read_credits(call: Call) -> tuple[bytes, list[int]]:
    match call.payload:
        case [bytes(keys), bytes(packed)]:
            count = len(packed) // _AMOUNT_BYTES
            sizes = (KEY_BYTES * count, _AMOUNT_BYTES * count)
            if 0 < count <= BATCH_MAX and (len(keys), len(packed)) == sizes:
                amounts = [
                    int.from_bytes(packed[at : at + _AMOUNT_BYTES], "big")
                    for at in range(0, len(packed), _AMOUNT_BYTES)
                ]
                if all(0 < amount < AMOUNT_END for amount in amounts):
                    return keys, amounts
    raise Refused(BAD_PAYLOAD)


def get_money(records: Readable) -> Money:
    """All that was credited, and what the city was paid of it."""
    record = records.get(MONEY_KEY)
    return Money(0, 0) if record is None else Money._make(MONEY.unpack(record))


def put_money(ledger: Ledger, money: Money) -> None:
    """Write the totals."""
    assert 0 <= money.city <= money.credited < AMOUNT_END
    ledger.put(MONEY_KEY, MONEY.pack(*money))


def get_account(records: Readable, bidder: PublicKey) -> Account:
    """A bidder's money; nothing for who was never credited."""
    record = records.get(ACCOUNT_KEY + bidder)
    return Account(0, 0) if record is None else Account._make(ACCOUNT.unpack(record))


def change_account(ledger: Ledger, bidder: PublicKey, free: int, locked: int) -> None:
    """Add to both parts of an account; Refused("not enough money") if ``free`` is short."""
    key = ACCOUNT_KEY + bidder
    record = ledger.get(key)
    # only the registrar makes accounts, or strangers could fill the state with empty ones
    if record is None:
        raise Refused("not enough money")
    old_free, old_locked = ACCOUNT.unpack(record)
    free += old_free
    locked += old_locked
    if free < 0:
        raise Refused("not enough money")
    assert locked >= 0
    ledger.put(key, ACCOUNT.pack(free, locked))
