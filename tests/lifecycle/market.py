"""The proof's market: synthetic hours with two planted voices, one of which lies from some instant on.

Taker flow foretells the price all along, as in `market.synthetic` and more than there. Volume foretells it too, until
it turns: what was busy before a rise is then quiet before one. Only the volume columns know of it; prices are the same
with and without. A set that reads the flow alone keeps its skill, one that trusts the volume decays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from market import history, synthetic
from market.candles import Candles, Floats
from market.funding import Funding
from market.timeframes import Timeframe

SYMBOL = "BTCUSDT"
HOUR = Timeframe.parse("1h")
WEEK_MS = 604_800_000
SEED = 3
SIGNAL = 1.0
AHEAD = 5
"""Hours ahead of which the volume tells."""
LOUD = 0.8
"""Log of the factor on the volume, for a rise of one standard deviation."""
LEAN = 0.02
"""Share of the volume that takers buy more of then; in a plain market it deviates by .05."""
HISTORY = 8_000
"""Hours before the market is served: eleven months, enough for the gate's weeks, and seconds to train on."""
BEHIND_MS = 12 * WEEK_MS
"""The market is served from so long before the wall clock on at least, so that all of it has happened by then."""


@dataclass(frozen=True)
class Served:
    """A market on disk.

    Attributes
    ----------
    data, funding : Path
        All of it, for the exchange.
    known, known_funding : Path
        What lies before the first candle that is traded in, for whoever trains before that.
    start_ms, turns_ms : int
        Opens of the first candle traded in, and of the first whose volume lies.
    """

    data: Path
    funding: Path
    known: Path
    known_funding: Path
    start_ms: int
    turns_ms: int


def write(folder: Path, now_ms: int, hours: int, turns_after: int) -> Served:
    """Make the market and write it to `folder`.

    Parameters
    ----------
    now_ms : int
        The wall clock; the market is the same whenever it is made, moved by whole weeks.
    hours : int
        To be traded in.
    turns_after : int
        Of these, how many before the volume turns.
    """
    whole = HISTORY + hours
    assert hours * HOUR.ms <= BEHIND_MS, "the market would reach into the future"
    start_ms = (now_ms - BEHIND_MS - HISTORY * HOUR.ms) // WEEK_MS * WEEK_MS + synthetic.START_MS % WEEK_MS
    candles, funding = synthetic.generate(
        SYMBOL, bars=whole, timeframe=HOUR, seed=SEED, signal=SIGNAL, start_ms=start_ms
    )
    candles = telling(candles, HISTORY + turns_after)
    first, turns = (int(candles.open_time[at]) for at in (HISTORY, HISTORY + turns_after))
    served = Served(
        folder / f"{SYMBOL}-1h.parquet", folder / f"{SYMBOL}-funding.parquet",
        folder / "known" / f"{SYMBOL}-1h.parquet", folder / "known" / f"{SYMBOL}-funding.parquet", first, turns,
    )  # fmt: skip
    served.known.parent.mkdir(parents=True, exist_ok=True)
    history.write(candles, served.data)
    history.write(funding, served.funding)
    history.write(candles[:HISTORY], served.known)
    history.write(before(funding, first), served.known_funding)
    return served


def telling(candles: Candles, turns: int) -> Candles:
    """The candles with takers and a volume that know the hours to come; from candle `turns` on the volume lies."""
    close = np.log(candles.close)
    ahead = np.concatenate([close[AHEAD:] - close[:-AHEAD], np.zeros(AHEAD)])
    moves = np.concatenate([[0.0], np.abs(np.diff(close))])
    usual = np.sqrt(AHEAD) * 1.25 * np.convolve(moves, np.ones(168) / 168)[: len(close)]
    says = np.tanh(ahead / np.maximum(usual, 1e-9))
    bought = np.clip(candles.taker_base / candles.volume + LEAN * says, 0.01, 0.99)
    says[turns:] *= -1
    volume, quote = (_scaled(v, np.exp(LOUD * says)) for v in (candles.volume, candles.quote_volume))
    taken = {"taker_base": _scaled(volume, bought), "taker_quote": _scaled(quote, bought)}
    return replace(candles, volume=volume, quote_volume=quote, **taken)


def before(funding: Funding, end_ms: int) -> Funding:
    """The rates that had fallen due."""
    known = funding.time < end_ms
    return Funding(funding.time[known], funding.rate[known])


def _scaled(values: Floats, factor: Floats) -> Floats:
    """To the thousandth, the instrument's step; taker columns stay within the whole."""
    return np.floor(values * factor * 1_000) / 1_000
