"""Who may act: rights of keys, services that are switched on, and the lock.

The registrar of genesis starts with every right. Rights are granted and revoked by whoever
may ``administer``. LockServices ends the set-up: from then on no service is enabled and nobody
is made an administrator, as in the permission contract of 2019 (LockableTransactionAuthorizer),
which after its lock allowed no new contracts.

Kinds and payloads:
    10 GrantRight     [key(32), right]
    11 RevokeRight    [key(32), right]
    12 LockServices   []
    13 EnableService  [service]
"""

from typing import Final

from node.codec import Value
from node.errors import Refused
from node.ledger import Ledger, Readable
from node.receipt import BAD_PAYLOAD
from node.services.call import Call, Handler
from node.types import KEY_BYTES, PublicKey

GRANT_RIGHT: Final = 10
REVOKE_RIGHT: Final = 11
LOCK_SERVICES: Final = 12
ENABLE_SERVICE: Final = 13

ADMINISTER: Final = "administer"  # grant, revoke, enable, lock
REGISTER: Final = "register"  # create and close votings and sessions, register people
ISSUE: Final = "issue"  # issue ballots, admit one-time keys
DECRYPT: Final = "decrypt"  # resolve re-votes, open ballots
ALLOCATE: Final = "allocate"  # allocate places

SERVICE_NAME_MAX: Final = 32

_BITS: Final = {ADMINISTER: 1, REGISTER: 2, ISSUE: 4, DECRYPT: 8, ALLOCATE: 16}
_ALL: Final = sum(_BITS.values())

_RIGHTS: Final = b"identity/r"
_ENABLED: Final = b"identity/e"
_LOCKED: Final = b"identity/locked"


def make_grant_right(key: PublicKey, right: str) -> list[Value]:
    """Payload of GrantRight."""
    return [key, right]


def make_revoke_right(key: PublicKey, right: str) -> list[Value]:
    """Payload of RevokeRight."""
    return [key, right]


def make_lock_services() -> list[Value]:
    """Payload of LockServices."""
    return []


def make_enable_service(service: str) -> list[Value]:
    """Payload of EnableService."""
    return [service]


def require_right(ledger: Ledger, call: Call, right: str) -> None:
    """Raise Refused("not allowed") unless the sender of ``call`` has ``right``."""
    granted, revoked = _get_masks(ledger, call.sender)
    if call.is_registrar:
        granted = _ALL
    if not granted & ~revoked & _BITS[right]:
        raise Refused("not allowed")


def is_locked(records: Readable) -> bool:
    """Whether LockServices has happened."""
    return records.get(_LOCKED) is not None


def make_service_key(service: str) -> bytes:
    """The key of the record that is there once ``service`` is enabled."""
    return _ENABLED + service.encode()


def is_service_enabled(records: Readable, service: str) -> bool:
    """Whether the kinds of ``service`` are accepted."""
    return records.get(make_service_key(service)) is not None


def process_grant_right(ledger: Ledger, call: Call) -> None:
    """Give a key a right. Refused: bad payload, not allowed, locked."""
    key, right = _read_right(call)
    require_right(ledger, call, ADMINISTER)
    if right == ADMINISTER and is_locked(ledger):
        raise Refused("locked")
    granted, revoked = _get_masks(ledger, key)
    _put_masks(ledger, key, granted | _BITS[right], revoked & ~_BITS[right])


def process_revoke_right(ledger: Ledger, call: Call) -> None:
    """Take a right from a key. Refused: bad payload, not allowed, own right.

    Nobody revokes their own ``administer``, so that an administrator always remains.
    """
    key, right = _read_right(call)
    require_right(ledger, call, ADMINISTER)
    if right == ADMINISTER and key == call.sender:
        raise Refused("own right")
    granted, revoked = _get_masks(ledger, key)
    _put_masks(ledger, key, granted & ~_BITS[right], revoked | _BITS[right])


def process_lock_services(ledger: Ledger, call: Call) -> None:
    """End the set-up for good. Refused: bad payload, not allowed, locked."""
    if call.payload:
        raise Refused(BAD_PAYLOAD)
    require_right(ledger, call, ADMINISTER)
    if is_locked(ledger):
        raise Refused("locked")
    ledger.put(_LOCKED, call.sequence.to_bytes(8, "big"))


def process_enable_service(ledger: Ledger, call: Call) -> None:
    """Accept a service's kinds. Refused: bad payload, not allowed, locked, already enabled."""
    match call.payload:
        case [str(service)] if 0 < len(service) <= SERVICE_NAME_MAX and service.isascii():
            pass
        case _:
            raise Refused(BAD_PAYLOAD)
    require_right(ledger, call, ADMINISTER)
    if is_locked(ledger):
        raise Refused("locked")
    if is_service_enabled(ledger, service):
        raise Refused("already enabled")
    ledger.put(make_service_key(service), call.sequence.to_bytes(8, "big"))


HANDLERS: dict[int, Handler] = {
    GRANT_RIGHT: process_grant_right,
    REVOKE_RIGHT: process_revoke_right,
    LOCK_SERVICES: process_lock_services,
    ENABLE_SERVICE: process_enable_service,
}


def _read_right(call: Call) -> tuple[PublicKey, str]:
    match call.payload:
        case [bytes(key), str(right)] if len(key) == KEY_BYTES and right in _BITS:
            return key, right
    raise Refused(BAD_PAYLOAD)


def _get_masks(ledger: Ledger, key: PublicKey) -> tuple[int, int]:
    # Revoked rights are kept apart from granted ones, because only the registrar's own calls
    # tell which key is the registrar's, and its rights must be revocable by others.
    record = ledger.get(_RIGHTS + key)
    if record is None:
        return 0, 0
    assert len(record) == 2
    return record[0], record[1]


def _put_masks(ledger: Ledger, key: PublicKey, granted: int, revoked: int) -> None:
    assert granted & revoked == 0
    assert (granted | revoked) <= _ALL
    ledger.put(_RIGHTS + key, bytes((granted, revoked)))
