"""The one rule that every engine of the comparison trades, and the plain loop that says what comes of it.

Long only, at closing prices; a fixed notional a trade, so nothing compounds:

- flat, signal above `ENTER`, and no stop fired inside this bar: buy `quantity` at the close;
- long, and signal below `EXIT`: sell all at the close;
- from the next bar on, the open at or below the stop fills there, else the low at or below it fills at the stop;
- the fee is paid on both sides; what is open at the end stays open, valued at the last close.
"""

from __future__ import annotations

from collections.abc import Sequence

ENTER, EXIT = 0.55, 0.50
STOP_BPS = 300
LEVERAGE = 5
FEE_PPM = 400
FEE = FEE_PPM / 1_000_000
CASH = 10_000_000
"""Start cash. More than 9e7 would pass 2**53 in 1e-8: nautilus_trader 1.221 then aborts in its balance invariant."""
MARGIN = 100_000
NOTIONAL = MARGIN * LEVERAGE
"""What a trade buys at most, in whole units of the base currency."""
DIGITS = 4
SCALE = 10**DIGITS
"""Ticks in one unit of price."""


Column = Sequence[float]

Columns = tuple[Column, Column, Column, Column, Column, Column]


def play(
    opens: Column,
    lows: Column,
    closes: Column,
    signals: Column,
    quantities: Column,
    stops: Column,
    cash: float,
) -> tuple[int, int, float, float]:
    """Trade the rule over bars, lists or arrays: numba compiles this same function.

    Parameters
    ----------
    opens, lows, closes : sequence of float
        Prices of each bar.
    signals : sequence of float
        What is known at each close, 0..1.
    quantities, stops : sequence of float
        What an entry at that bar's close buys, and where its stop then stands.
    cash : float
        The wallet at the start.

    Returns
    -------
    tuple
        Trades closed, stops among them, equity at the last close, and the lowest wallet on the way.
    """
    trades = fired = 0
    quantity = entry = stop = 0.0
    lowest = cash
    for bar in range(len(closes)):
        stopped = False
        if quantity > 0.0:
            price = 0.0
            if opens[bar] <= stop:
                price = opens[bar]
            elif lows[bar] <= stop:
                price = stop
            if price > 0.0:
                stopped = True
                fired += 1
            elif signals[bar] < EXIT:
                price = closes[bar]
            if price > 0.0:
                cash += quantity * (price - entry) - quantity * price * FEE
                quantity = 0.0
                trades += 1
                lowest = min(lowest, cash)
        if quantity == 0.0 and not stopped and signals[bar] > ENTER:
            quantity, entry, stop = quantities[bar], closes[bar], stops[bar]
            cash -= quantity * entry * FEE
    return trades, fired, cash + quantity * (closes[len(closes) - 1] - entry), lowest
