"""Catalogue: the instruments the local exchange lists and a backtest trades.

The daemon asks its exchange for instruments; this is what the local exchange answers. The grid is that of recorded
history (0.01, finer than the live perpetual's), so nothing of a replay is rounded.
"""

from __future__ import annotations

import re
from pathlib import Path

from market.instruments import CASH, Instrument, InstrumentError
from market.tiers import brackets

_QUOTE = "USDT"
_THOUSAND, _MILLION = 1_000 * CASH, 1_000_000 * CASH

_BTC = brackets(
    (50 * _THOUSAND, 125, 40),
    (600 * _THOUSAND, 100, 50),
    (3 * _MILLION, 75, 65),
    (12 * _MILLION, 50, 100),
    (70 * _MILLION, 25, 200),
    (100 * _MILLION, 20, 250),
    (230 * _MILLION, 10, 500),
    (480 * _MILLION, 5, 1_000),
    (600 * _MILLION, 4, 1_250),
    (800 * _MILLION, 3, 1_500),
    (1_200 * _MILLION, 2, 2_500),
    (1_800 * _MILLION, 1, 5_000),
)
_ETH = brackets(
    (50 * _THOUSAND, 100, 50),
    (600 * _THOUSAND, 75, 65),
    (3 * _MILLION, 50, 100),
    (12 * _MILLION, 25, 200),
    (50 * _MILLION, 20, 250),
    (65 * _MILLION, 10, 500),
    (150 * _MILLION, 5, 1_000),
    (320 * _MILLION, 4, 1_250),
    (400 * _MILLION, 3, 1_500),
    (530 * _MILLION, 2, 2_500),
    (800 * _MILLION, 1, 5_000),
)
_COMMON = brackets(
    (100 * _THOUSAND, 50, 100),
    (500 * _THOUSAND, 25, 200),
    (1 * _MILLION, 10, 500),
    (2 * _MILLION, 5, 1_000),
    (5 * _MILLION, 2, 2_500),
    (10 * _MILLION, 1, 5_000),
)
"""Tiers of the shape the exchange publishes; its own of a date come with a recorded table."""

LISTED = {
    "BTCUSDT": Instrument("BTCUSDT", "BTC", min_notional=100 * CASH, brackets=_BTC),
    "ETHUSDT": Instrument("ETHUSDT", "ETH", min_notional=20 * CASH, brackets=_ETH),
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
    return Instrument(symbol, base, brackets=_COMMON)


def symbol_of(path: Path) -> str | None:
    """The symbol a file is named after: ``BTCUSDT-spot-15m.parquet`` is of BTCUSDT."""
    found = re.match(r"[A-Z0-9]+USDT(?![A-Z0-9])", path.name)
    return found.group() if found else None
