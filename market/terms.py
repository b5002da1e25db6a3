"""Terms: what an exchange asks of a position, from a dated table that is bundled with the program.

Leverage brackets and fees are told to account holders alone (their endpoints are signed), so a mirror without an
account takes them from `terms.json`: BTCUSDT and ETHUSDT as published, the tiers of a small coin for all others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from market.fills import BPS, PPM
from market.instruments import CASH
from market.tiers import Brackets, brackets

FILE = Path(__file__).with_name("terms.json")
OTHERS = "*"


@dataclass(frozen=True)
class Terms:
    """Brackets and fees of one symbol.

    Attributes
    ----------
    brackets : Brackets
        Margin tiers, smallest first.
    own : bool
        Whether the table lists the symbol; else the tiers are those of a small coin.
    maker_ppm, taker_ppm : int
        Fees, 1e-6 of the notional.
    as_of : str
        The month the table is of.
    """

    brackets: Brackets
    own: bool
    maker_ppm: int
    taker_ppm: int
    as_of: str


@cache
def terms(symbol: str) -> Terms:
    """The terms of a symbol, e.g. ``BTCUSDT``."""
    table = _table()
    own = symbol in table["brackets"]
    rows = table["brackets"][symbol if own else OTHERS]
    tiers = brackets(*((row["cap"] * CASH, row["leverage"], _parts(row["maintenance"], BPS)) for row in rows))
    fees = table["fees"]
    return Terms(tiers, own, _parts(fees["maker"], PPM), _parts(fees["taker"], PPM), table["as_of"])


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(FILE.read_text())
    return table


def _parts(fraction: str, scale: int) -> int:
    """A fraction's text in 1/`scale`, exactly."""
    exact = Decimal(fraction) * scale
    if exact % 1:
        raise ValueError(f"{FILE}: {fraction} is finer than 1/{scale}")
    return int(exact)
