"""Rate limit by client address."""

from __future__ import annotations

import threading
from collections import OrderedDict
from ipaddress import ip_address

from edged.clock import Clock

_MOST_ADDRESSES = 256


class RateLimit:
    """`burst` uses in a row, then one more per `seconds`. It forgets the address that was seen
    least recently above _MOST_ADDRESSES."""

    def __init__(self, clock: Clock, burst: int, seconds: float) -> None:
        self._clock = clock
        self._burst = burst
        self._seconds = seconds
        self._lock = threading.Lock()
        self._until_ns: OrderedDict[str, int] = OrderedDict()
        """Until when each address has used up its share."""

    def wait_seconds(self, client: str) -> float:
        """Time until the next use; 0 if one is allowed now."""
        ahead_ns = self._until_ns.get(_origin(client), 0) - self._clock()
        return max(0.0, ahead_ns / 1e9 - (self._burst - 1) * self._seconds)

    def used(self, client: str) -> None:
        origin, now_ns = _origin(client), self._clock()
        with self._lock:
            until_ns = max(now_ns, self._until_ns.pop(origin, 0))
            self._until_ns[origin] = until_ns + int(self._seconds * 1e9)
            if len(self._until_ns) > _MOST_ADDRESSES:
                self._until_ns.popitem(last=False)


def _origin(client: str) -> str:
    """The address, or the /64 of an IPv6 address, all of which one machine may use."""
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return client
    return client if address.version == 4 else address.exploded[:19]
