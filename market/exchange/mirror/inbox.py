"""The inbox: what the upstream told and the market has not taken yet. Bounded.

Only the newest quote of a symbol and the newest forming kline of a stream wait; marks and closed klines wait in order.
"""

from __future__ import annotations

import asyncio
from itertools import count

from market.exchange.mirror.wire import Funded, Heard, Mark, Quote

Item = Heard | Mark | Quote | Funded
LIMIT = 10_000


class Inbox:
    """Items in order of arrival; one that supersedes another leaves it out.

    Attributes
    ----------
    lost : int
        Marks that found no room: the market stood still for so long that they no longer matter.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._items: dict[object, Item] = {}
        self._numbers = count()
        self._some = asyncio.Event()
        self.lost = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> None:
        """Let it wait; a mark that finds no room is lost, and counted."""
        match item:
            case Quote(symbol=symbol):
                self._renew(symbol, item)
            case Heard(kline=kline) if not kline.closed:
                self._renew((kline.symbol, kline.timeframe), item)
            case Mark() if len(self._items) >= self._limit:
                self.lost += 1
            case _:
                self._items[next(self._numbers)] = item
        self._some.set()

    def _renew(self, key: object, item: Item) -> None:
        """The newer one goes last: a kline forms after the one before it has closed."""
        self._items.pop(key, None)
        self._items[key] = item

    async def take(self) -> list[Item]:
        """Everything that waits, once something does."""
        await self._some.wait()
        self._some.clear()
        items, self._items = list(self._items.values()), {}
        return items
