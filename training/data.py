"""The bars a set is made of: read or generated, aggregated, cut, and named by a hash that can be checked later."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from market import synthetic
from market.aggregate import aggregate
from market.candles import VALUES, Candles
from market.fingerprint import fingerprint
from market.funding import Funding
from market.history import read, read_funding
from market.timeframes import Timeframe, TimeframeError, utc_text
from training.spec import DataSpec


class DataError(Exception):
    """Bars that no set can be made of; the message says what is wrong with them, and what to do."""

    exit_code = 7


@dataclass(frozen=True)
class Bars:
    """Decision candles with their funding, and where they come from.

    Attributes
    ----------
    candles : Candles
        At the set's timeframe, in order.
    funding : Funding or None
        None where no funding history was given.
    source : str
        File name, or the synthetic market's seed and signal.
    """

    candles: Candles
    funding: Funding | None
    source: str

    def sha256(self) -> str:
        """Hash of times and values of candles and funding, independent of how a file stores them."""
        return fingerprint(self.candles, self.funding)

    def columns_missing(self) -> list[str]:
        """Value columns that no candle has."""
        return [name for name in VALUES if np.isnan(getattr(self.candles, name)).all()]


def from_files(spec: DataSpec, history: Path, funding: Path | None) -> Bars:
    """The last `spec.bars` candles of a history file, with their funding.

    Raises
    ------
    HistoryError
        If a file is missing, is no parquet, or holds damaged candles.
    DataError
        If it cannot be aggregated to the timeframe, or has fewer bars than asked for.
    """
    candles = read(history)
    try:
        candles = aggregate(candles, Timeframe.parse(spec.timeframe))
    except TimeframeError as error:
        raise DataError(f"{history}: {error}; the spec's data.timeframe is {spec.timeframe}") from error
    rates = None if funding is None else read_funding(funding)
    source = history.name if funding is None else f"{history.name} {funding.name}"
    return _cut(Bars(candles, rates, source), spec)


def synthetic_market(spec: DataSpec) -> Bars:
    """`spec.bars` candles of the synthetic market."""
    seed, signal = spec.synthetic_seed, spec.synthetic_signal
    timeframe = Timeframe.parse(spec.timeframe)
    candles, funding = synthetic.generate(spec.symbol, bars=spec.bars, timeframe=timeframe, seed=seed, signal=signal)
    return Bars(candles, funding, f"synthetic seed {seed} signal {signal:g}")


def _cut(bars: Bars, spec: DataSpec) -> Bars:
    """The last bars asked for; funding reaches back to before the first of them."""
    have = len(bars.candles)
    if have < spec.bars:
        raise DataError(
            f"{bars.source}: {have} candles of {spec.timeframe}, the spec asks for {spec.bars}; "
            f"give a longer history, or lower data.bars"
        )
    candles = bars.candles[have - spec.bars :]
    if bars.funding is None:
        return replace(bars, candles=candles)
    start, end = int(candles.open_time[0]), int(candles.open_time[-1])
    if not len(bars.funding.between(start, end)):
        raise DataError(
            f"{bars.source}: no funding between {utc_text(start)} and {utc_text(end)}; give the funding of these bars"
        )
    return replace(bars, candles=candles)
