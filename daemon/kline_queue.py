"""The kline queue: frames on their way from the socket to the candle feed, bounded.

Of a candle that forms only the newest frame matters, so it takes the place of the one before it. A closed candle is
never replaced; where too many wait, the one that finds no room is refused, and the stream must be cut and backfilled.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from daemon.candle_store import Pair
from daemon.venues.payloads import KlineFrame

BOUND = 5_000


@dataclass(slots=True)
class _Place:
    frame: KlineFrame


class KlineQueue:
    """Frames of all pairs, in order of arrival.

    Attributes
    ----------
    replaced : int
        Forming frames that a newer one took the place of before they were looked at.
    refused : int
        Frames that found it full.
    """

    def __init__(self, bound: int = BOUND) -> None:
        self._places: deque[_Place] = deque()
        self._forming: dict[Pair, _Place] = {}
        self._bound = bound
        self._some = asyncio.Event()
        self.replaced = self.refused = 0

    def __len__(self) -> int:
        return len(self._places)

    def put(self, frame: KlineFrame) -> bool:
        """Queue a frame; False if there is no room."""
        pair = (frame.symbol, frame.timeframe)
        place = self._forming.get(pair)
        if place is not None and not frame.closed:
            place.frame = frame
            self.replaced += 1
            return True
        if len(self._places) >= self._bound:
            self.refused += 1
            return False
        place = _Place(frame)
        self._places.append(place)
        if frame.closed:
            self._forming.pop(pair, None)  # what forms next belongs behind it
        else:
            self._forming[pair] = place
        self._some.set()
        return True

    async def get(self) -> KlineFrame:
        """The oldest frame, once there is one."""
        while not self._places:
            self._some.clear()
            await self._some.wait()
        place = self._places.popleft()
        pair = (place.frame.symbol, place.frame.timeframe)
        if self._forming.get(pair) is place:
            del self._forming[pair]
        return place.frame

    def counts(self) -> dict[str, int]:
        """What waits, and what became of what found it full."""
        return {"klines": len(self), "klines_replaced": self.replaced, "klines_refused": self.refused}
