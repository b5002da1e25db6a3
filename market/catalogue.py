"""Catalogue: the instruments the local exchange lists and a backtest trades.

The daemon asks its exchange for instruments; this is what the local exchange answers. The grid is that of recorded
history (0.01, finer than the live perpetual's), so nothing of a replay is rounded.
"""

from __future__ import annotations

import re
from pathlib import Path

from market.instruments import CASH, Instrument, InstrumentError

_QUOTE = "USDT"

LISTED = {
    "BTCUSDT": Instrument("BTCUSDT", "BTC", min_notional=100 * CASH, maintenance_bps=40),
    "ETHUSDT": Instrument("ETHUSDT", "ETH", min_notional=20 * CASH, maintenance_bps=50),
}
"""Instruments with terms of their own."""


def instrument(symbol: str) -> Instrument:
    """The perpetual of that name; one that is not listed gets common terms (tick 0.01, step 0.001, 5 USDT at least).

    Raises
    ------
    InstrumentError
        If the name is not a base currency in capitals and digits followed by USDT.
    """
    known = LISTED.get(symbol)
    if known is not None:
        return known
    base = symbol.removesuffix(_QUOTE)
    if base == symbol or not base or not (base.isascii() and base.isalnum() and base == base.upper()):
        raise InstrumentError(f"symbol {symbol!r}: write a base currency followed by {_QUOTE}, such as BTCUSDT")
    return Instrument(symbol, base, max_leverage=50, maintenance_bps=100)


def symbol_of(path: Path) -> str | None:
    """The symbol a file is named after: ``BTCUSDT-spot-15m.parquet`` is of BTCUSDT."""
    found = re.match(r"[A-Z0-9]+USDT(?![A-Z0-9])", path.name)
    return found.group() if found else None
