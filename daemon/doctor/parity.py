"""Parity: features of the newest candles, computed as the daemon does live and as a whole history has them.

Live they come from the daemon's own store of the last candles, one close at a time; in training and backtest from all
candles at once. Both must agree to 1e-9. Candles that the daemon has recorded must be those that the exchange tells.
"""

from __future__ import annotations

import asyncio

import numpy as np

from daemon.backfill import Backfill
from daemon.candle_store import CandleStore
from daemon.config import DaemonConfig
from daemon.selftest import Finding
from daemon.venues.venue import Venue
from market.candles import VALUES, Candles
from market.download.recorded import TOLERATED, holds, read
from market.funding import Funding
from market.history import HistoryError
from market.timeframes import Timeframe
from models import features
from models.inference import Predictor

TOLERANCE = 1e-9
CLOSES = 12
"""Closes that are compared."""
MARGIN = 100
"""Candles that the history has before those that a live row looks back on."""


async def examine(venue: Venue, config: DaemonConfig, predictor: Predictor) -> Finding:
    """Compare the features of the first symbol, decision's and finer ones.

    Raises
    ------
    GatewayError
        If the exchange does not give its candles.
    """
    symbol, manifest = config.symbols[0], predictor.manifest
    backfill, other = Backfill(venue), predictor.companion_of(config.symbols[0])
    wanted: list[tuple[str, Timeframe, int, tuple[str, ...]]] = [
        ("", config.decision, predictor.lookback, manifest.features.names)
    ]
    if manifest.finer is not None and str(predictor.finer_timeframe) in config.timeframes:
        assert predictor.finer_timeframe is not None
        finer = ("finer ", predictor.finer_timeframe, predictor.finer_lookback, manifest.finer.features.names)
        wanted.append(finer)
    told, worst = [], 0.0
    for kind, timeframe, lookback, names in wanted:
        rows, _ = await backfill.newest(symbol, str(timeframe), lookback + MARGIN + CLOSES)
        if len(rows) < lookback + CLOSES:
            text = f"the exchange has {len(rows)} {timeframe} candles of {symbol}, of {lookback + CLOSES} wanted"
            return Finding("features", None, text, "ask again when it has more")
        candles = Candles.of(timeframe, rows)
        companion = None
        if other is not None and not kind:
            beside, _ = await backfill.newest(other, str(timeframe), lookback + MARGIN + CLOSES)
            companion = Candles.of(timeframe, beside)
        funding = await backfill.funding(symbol, rows[0].open_time)
        apart, name = await asyncio.to_thread(_apart, candles, lookback, names, funding, companion)
        if not apart <= TOLERANCE:
            text = f"{kind}{name} of {symbol} is {apart:.3g} apart, live and from history"
            remedy = "what was tested is not what trades: do not start, and report it"
            return Finding("features", False, text, remedy)
        worst = max(worst, apart)
        told.append(f"{len(names)} {kind}features of {symbol} at {CLOSES} closes")
        try:
            wrong = await asyncio.to_thread(_recorded, config, symbol, candles)
        except HistoryError as error:
            text = f"what was recorded of {symbol} could not be compared with what the exchange tells: {error}"
            return Finding("features", False, text, "move the file away while no daemon runs: another is begun")
        if wrong > TOLERATED:
            text = f"{wrong} recorded {timeframe} candles of {symbol} are not those that the exchange tells now"
            return Finding("features", False, text, "`python -m market history --join` names them")
    return Finding("features", True, f"{' and '.join(told)} agree, live and from history, to {max(worst, 1e-16):.0e}")


def _apart(
    candles: Candles, lookback: int, names: tuple[str, ...], funding: Funding, companion: Candles | None
) -> tuple[float, str]:
    """The largest difference, relative above 1, and its feature; infinite where one way knows a value alone."""
    history = features.compute(candles, funding, names, companion)
    pairs = [("own", candles), *([("companion", companion)] if companion is not None else [])]
    text = str(candles.timeframe)
    store = CandleStore([(name, text) for name, _ in pairs], lookback)
    for name, told in pairs:
        for number in range(len(told)):
            store[name, text].append(told.row(number))
    worst, at = 0.0, ""
    for number in range(len(candles) - CLOSES, len(candles)):
        close = int(candles.open_time[number]) + candles.timeframe.ms
        own = store.until(("own", text), close)
        assert own is not None
        beside = store.until(("companion", text), close)
        live = features.compute(own[-lookback:], funding, names, beside)[-1]
        apart = np.abs(live - history[number]) / np.maximum(1.0, np.abs(history[number]))
        apart[np.isnan(live) & np.isnan(history[number])] = 0.0
        apart[np.isnan(apart)] = np.inf
        if apart.max() > worst or not at:
            worst, at = float(apart.max()), names[int(apart.argmax())]
    return worst, at


def _recorded(config: DaemonConfig, symbol: str, candles: Candles) -> int:
    """How many candles the daemon recorded otherwise than the exchange tells them; 0 where it recorded none.

    Raises
    ------
    HistoryError
        If the recording cannot be read, or holds damaged candles.
    """
    if not holds(config.state_dir, symbol, candles.timeframe):
        return 0
    held, _ = read(config.state_dir, symbol, candles.timeframe)
    _, mine, theirs = np.intersect1d(held.open_time, candles.open_time, return_indices=True)
    differs = np.zeros(len(mine), dtype=np.bool_)
    for name in VALUES:
        ours, told = getattr(held, name)[mine], getattr(candles, name)[theirs]
        differs |= ~((ours == told) | (np.isnan(ours) & np.isnan(told)))
    return int(differs.sum())
