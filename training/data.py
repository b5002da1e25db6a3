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
    finer : Candles or None
        Shorter candles of the same symbol, where they were given.
    companion : Candles or None
        The companion symbol's candles at the set's timeframe, where they were given.
    """

    candles: Candles
    funding: Funding | None
    source: str
    finer: Candles | None = None
    companion: Candles | None = None

    def sha256(self) -> str:
        """Hash of times and values of candles and funding, independent of how a file stores them."""
        return fingerprint(self.candles, self.funding)

    def others(self) -> dict[str, str]:
        """The same of what was given beside them: ``finer``, ``companion``."""
        given = {"finer": self.finer, "companion": self.companion}
        return {name: fingerprint(candles) for name, candles in given.items() if candles is not None}

    def columns_missing(self) -> list[str]:
        """Value columns that no candle has."""
        return [name for name in VALUES if np.isnan(getattr(self.candles, name)).all()]


def from_files(
    spec: DataSpec,
    history: Path,
    funding: Path | None,
    finer: Path | None = None,
    companion: Path | None = None,
    finer_timeframe: str | None = None,
) -> Bars:
    """The last `spec.bars` candles of a history file, with their funding, shorter candles and companion.

    Parameters
    ----------
    history, finer, companion : Path
        Klines of the symbol; shorter ones, if `history` is not of shorter ones itself; klines of the companion symbol.
    finer_timeframe : str, optional
        Of the shorter candles, where the spec has a member that reads them.

    Raises
    ------
    HistoryError
        If a file is missing, is no parquet, or holds damaged candles.
    DataError
        If it cannot be aggregated to the timeframe, or has fewer bars than asked for.
    """
    base = read(history)
    candles = _made_into(base, spec.timeframe, history)
    shorter = None
    if finer_timeframe is not None:
        short = Timeframe.parse(finer_timeframe)
        if finer is not None:
            shorter = _made_into(read(finer), finer_timeframe, finer)
        elif base.timeframe.ms <= short.ms:
            shorter = _made_into(base, finer_timeframe, history)
    rates = None if funding is None else read_funding(funding)
    other = None if companion is None else _made_into(read(companion), spec.timeframe, companion)
    files = [file.name for file in (history, funding, finer, companion) if file is not None]
    return _cut(Bars(candles, rates, " ".join(files), shorter, other), spec)


def synthetic_market(spec: DataSpec, finer_timeframe: str | None = None, companion: str | None = None) -> Bars:
    """`spec.bars` candles of the synthetic market, made of shorter ones where those are wanted too."""
    seed, signal = spec.synthetic_seed, spec.synthetic_signal
    decision = Timeframe.parse(spec.timeframe)
    short = decision if finer_timeframe is None else Timeframe.parse(finer_timeframe)
    bars = spec.bars * decision.ratio(short)
    base, funding = synthetic.generate(spec.symbol, bars=bars, timeframe=short, seed=seed, signal=signal)
    other = None
    if companion is not None:
        theirs, _ = synthetic.generate(companion, bars=bars, timeframe=short, seed=seed, signal=signal)
        other = aggregate(theirs, decision)
    candles = aggregate(base, decision)
    # `models.known_market` makes it again by these words
    source = f"synthetic seed {seed} signal {signal:g}" + (f" of {short}" if short != decision else "")
    return Bars(candles, funding, source, base if finer_timeframe is not None else None, other)


def _made_into(candles: Candles, timeframe: str, file: Path) -> Candles:
    try:
        return aggregate(candles, Timeframe.parse(timeframe))
    except TimeframeError as error:
        raise DataError(f"{file}: {error}; the spec asks for candles of {timeframe}") from error


def _cut(bars: Bars, spec: DataSpec) -> Bars:
    """The last bars asked for; funding reaches back to before the first of them."""
    have = len(bars.candles)
    if have < spec.bars:
        raise DataError(
            f"{bars.source}: {have} candles of {spec.timeframe}, the spec asks for {spec.bars}; "
            f"give a longer history, or lower data.bars"
        )
    candles = bars.candles[have - spec.bars :]
    last = int(candles.open_time[-1]) + candles.timeframe.ms
    if bars.finer is not None:
        bars = replace(bars, finer=bars.finer.between(int(candles.open_time[0]), last))
    if bars.companion is not None:
        bars = replace(bars, companion=bars.companion.between(int(candles.open_time[0]), last))
    if bars.funding is None:
        return replace(bars, candles=candles)
    start, end = int(candles.open_time[0]), int(candles.open_time[-1])
    if not len(bars.funding.between(start, end)):
        raise DataError(
            f"{bars.source}: no funding between {utc_text(start)} and {utc_text(end)}; give the funding of these bars"
        )
    return replace(bars, candles=candles)
