"""The exposure: for how long positions stood without a stop, by the exchange's own books and on the real clock.

What a trader measures of itself it may be blind to; the exchange sees every position and every stop that rests.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from market.exchange.engine import Engine


class Exposure:
    """Looks at positions and stops whenever something happened to the account.

    Parameters
    ----------
    engine : Engine
        Whose books they are.
    clock : callable
        A steady clock, seconds.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine, self._clock = engine, clock
        self._since: dict[str, float] = {}
        self._spans: list[tuple[str, float, float]] = []

    def look(self) -> None:
        """Note which positions are naked now, and for how long those were that no longer are."""
        now = self._clock()
        naked = {symbol for symbol in self._engine.ledger.positions if not self._protected(symbol)}
        for symbol in naked - self._since.keys():
            self._since[symbol] = now
        for symbol in self._since.keys() - naked:
            self._spans.append((symbol, self._since.pop(symbol), now))

    def state(self) -> dict[str, Any]:
        """Symbol, beginning and end of each span that is over, oldest first, and since when what is naked now is."""
        return {"spans": list(self._spans), "naked_now": dict(self._since)}

    def _protected(self, symbol: str) -> bool:
        """Whether a stop rests that closes the whole position."""
        position = self._engine.ledger.positions[symbol]
        return any(
            stop.kind == "STOP_MARKET"
            and stop.side == -position.side
            and (stop.close_position or stop.quantity >= position.quantity)
            for stop in self._engine.stops.open(symbol)
        )
