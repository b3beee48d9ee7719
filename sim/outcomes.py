"""What relays tell their clients of final blocks: receipts by the relay that brought them."""

from collections.abc import Callable
from typing import TypeAlias

from node.block import decode_block
from node.chain import decode_bundles
from sim.cityface import Item
from sim.hosted import HostedCity

HEIGHTS_KEPT = 256

UponBlock: TypeAlias = Callable[[int, list[tuple[bytes, str]]], None]
"""Told of a final block, of an old one perhaps again: its height, (id, status) in its order."""


class Outcomes:
    """Receipts of recent blocks by relay number, taken apart once for all relays.

    A relay that catches up on older blocks tells its clients nothing of them: by then they have
    gone to another relay, which says whether their transactions are known.

    ``upon_block``, if given, hears of all receipts in the order of the chain, those of heights
    that no relay took one by one excepted.
    """

    __slots__ = ("_by_height", "_city", "_relays", "_upon_block")

    def __init__(self, city: HostedCity, upon_block: UponBlock | None = None) -> None:
        self._city = city
        self._upon_block = upon_block
        self._by_height: dict[int, dict[int, list[Item]]] = {}
        self._relays = {key: number for number, key in enumerate(city.genesis.relays)}

    def get_items(self, relay: int, height: int) -> list[Item]:
        """Those of block ``height``, which ``relay`` has just adopted, that it brought."""
        known = self._by_height.get(height)
        if known is None:
            known = self._take_apart(relay, height)
            if known is None:
                return []
        return known.get(relay, [])

    def _take_apart(self, relay: int, height: int) -> dict[int, list[Item]] | None:
        city = self._city
        assert height > 0
        node = city.get_node(city.topology.config.validators + relay)
        assert node is not None
        if node.chain.height != height:
            return None
        output = node.chain.output
        assert output is not None
        encoded = node.chain.get_encoded(height)
        block = city.work.once(decode_block, encoded, encoded, city.params)
        bundles = decode_bundles(
            block.header.bundles_root, block.bundles, city.genesis, city.work
        )
        included_ns = city.blocks.get_proposed_ns(height)
        items: dict[int, list[Item]] = {}
        for bundle, outcome in zip(bundles, output.outcomes, strict=True):
            mine = items.setdefault(self._relays[bundle.relay], [])
            mine += [(*of_transaction, included_ns) for of_transaction in outcome]
        self._by_height[height] = items
        if self._upon_block is not None:
            self._upon_block(height, [item for outcome in output.outcomes for item in outcome])
        if len(self._by_height) > HEIGHTS_KEPT:
            del self._by_height[next(iter(self._by_height))]
        return items
