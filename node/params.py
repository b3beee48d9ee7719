"""Protocol parameters: the same on every node, hashed into the chain's identity."""

from dataclasses import astuple, dataclass, fields
from typing import Final

from node.codec import Value, encode
from node.crypto import digest
from node.errors import InvalidParams
from node.run import RECORD_BYTES_MAX
from node.types import CHAIN_ID_BYTES, PublicKey

ENGINES: Final = ("qbft",)
"""The names that ``Params.engine`` may have."""

_SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """The rules' numbers. Raises InvalidParams if one is not a positive whole number.

    Block interval: Moscow Fairs, 2019 (5 s). Round timers double up to a cap (GoQuorum's
    MaxRequestTimeoutSeconds). A relay publishes ``bundle_lead_ns`` before a block is due.
    Epoch and future limits: Besu's QBFT.
    """

    engine: str = "qbft"
    block_interval_ns: int = 5 * _SECOND_NS
    round_timeout_ns: int = 4 * _SECOND_NS
    round_timeout_max_ns: int = 60 * _SECOND_NS
    future_block_ns: int = _SECOND_NS
    epoch_blocks: int = 30_000
    rounds_max: int = 1_000
    future_heights_max: int = 10
    future_messages_max: int = 1_000

    transaction_bytes_max: int = 128 * 1024
    bundle_lead_ns: int = _SECOND_NS // 2
    bundle_bytes_max: int = 256 * 1024
    bundle_transactions_max: int = 2_000
    bundle_targets: int = 3  # the next proposer, and two more in case rounds fail
    block_bytes_max: int = 8 * 1024 * 1024
    block_transactions_max: int = 10_000

    mempool_bytes_max: int = 64 * 1024 * 1024
    mempool_relay_bytes_max: int = 8 * 1024 * 1024
    mempool_expiry_blocks: int = 120
    relay_pending_max: int = 50_000
    sender_pending_max: int = 64
    sync_blocks_max: int = 16

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "engine":
                if value not in ENGINES:
                    remedy = f"the engines are: {', '.join(ENGINES)}"
                    raise InvalidParams("engine", value, remedy)
            # bounded, so that sums of two still fit the codec's 64 bits; True is no number
            elif type(value) is not int or not 0 < value < 2**62:
                raise InvalidParams(field.name, value, "give a positive whole number")
        if self.transaction_bytes_max > RECORD_BYTES_MAX:
            raise InvalidParams(
                "transaction_bytes_max", self.transaction_bytes_max,
                f"give at most {RECORD_BYTES_MAX}: a record of the state holds no more",
            )
        if self.bundle_lead_ns >= self.block_interval_ns:
            raise InvalidParams(
                "bundle_lead_ns", self.bundle_lead_ns, "give less than block_interval_ns"
            )
        if self.bundle_bytes_max > self.block_bytes_max:
            raise InvalidParams(
                "bundle_bytes_max", self.bundle_bytes_max, "a bundle must fit into a block"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """What all nodes of one chain agree on before its first block.

    ``validators`` are sorted; ``registrar`` may administer services; ``relays`` may publish
    bundles. ``time_ns`` is the timestamp of block 0.
    """

    params: Params
    validators: tuple[PublicKey, ...]
    relays: tuple[PublicKey, ...]
    registrar: PublicKey
    time_ns: int

    def __post_init__(self) -> None:
        if not self.validators or list(self.validators) != sorted(set(self.validators)):
            raise InvalidParams(
                "validators", len(self.validators), "give distinct keys in ascending order"
            )

    def compute_chain_id(self) -> bytes:
        """First 8 bytes of the digest of everything above."""
        params: tuple[int | str, ...] = astuple(self.params)
        content: list[Value] = [
            params,
            self.validators,
            self.relays,
            self.registrar,
            self.time_ns,
        ]
        return digest(b"genesis", encode(content))[:CHAIN_ID_BYTES]
