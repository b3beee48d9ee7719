"""How often one address may ask: a token bucket each, in a table of bounded size.

A bucket is one number, the time at which it will be full again (the generic cell rate
algorithm): a request moves it one interval on, and may do so while it is less than ``burst``
intervals ahead of the clock. A bucket that is full again need not be remembered.
"""

from ipaddress import IPv6Address, ip_address

_SECOND_NS = 1_000_000_000


class Buckets:
    """``rate_per_s`` in the long run and ``burst`` at once, for each address.

    When more than ``addresses_max`` ask, the one that asked longest ago is forgotten.
    """

    __slots__ = ("_addresses_max", "_full_at_ns", "_interval_ns", "_room_ns")

    def __init__(self, rate_per_s: float, burst: int, addresses_max: int) -> None:
        assert rate_per_s > 0
        assert burst >= 1
        assert addresses_max >= 1
        self._interval_ns = round(_SECOND_NS / rate_per_s)
        self._room_ns = self._interval_ns * burst
        self._addresses_max = addresses_max
        self._full_at_ns: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._full_at_ns)

    def take(self, address: str, now_ns: int) -> int:
        """0 when the request may be answered, otherwise how long to wait, in nanoseconds."""
        key = compute_bucket(address)
        full_at_ns = max(self._full_at_ns.pop(key, now_ns), now_ns) + self._interval_ns
        wait_ns = full_at_ns - self._room_ns - now_ns
        if wait_ns > 0:
            full_at_ns -= self._interval_ns  # a refused request costs nothing
        self._full_at_ns[key] = full_at_ns
        if len(self._full_at_ns) > self._addresses_max:
            del self._full_at_ns[next(iter(self._full_at_ns))]
        return max(wait_ns, 0)


def compute_bucket(address: str) -> str:
    """Who shares a bucket: one IPv4 address, or one IPv6 network of 64 bits, as homes have."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return parsed.packed[:8].hex()
