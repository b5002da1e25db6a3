"""What a backtest is made of: candles and funding from files or the synthetic market, predictions from a model set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from backtest.bars import BacktestError, SymbolFrame
from backtest.broker import Costs
from backtest.inputs import inputs_of
from backtest.predictions import Foreteller
from market import catalogue, history, synthetic
from market.aggregate import aggregate
from market.candles import VALUES, Candles
from market.funding import Funding
from market.history import HistoryError
from market.instruments import Instrument
from market.timeframes import Timeframe, TimeframeError, utc_text
from strategy.live_config import Rules

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done, in all)."""

SYNTHETIC_BASE = Timeframe.parse("15m")
SYNTHETIC_SYMBOL = "BTCUSDT"
MOST_CONTRADICTED = 0.01
"""Share of the bars that their detail may contradict, as archives do now and then; those are played without it."""


@dataclass(frozen=True)
class Series:
    """The history of one symbol: base candles from their first to their last, and funding and finer candles if any.

    `detail` is played inside the bars; `finer` is what a set's finer members read, where the base is too coarse;
    `others` are other symbols' candles, for a set that compares.
    """

    instrument: Instrument
    base: Candles
    funding: Funding | None
    detail: Candles | None = None
    finer: Candles | None = None
    others: Mapping[str, Candles] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """What a report needs to know of a backtest besides its result.

    `market_return` is what the first symbol's price did; `refusals` counts candles without a prediction by reason,
    `without` those predicted without a family of members that gave no number.
    """

    model_set: str
    data: str
    instruments: tuple[Instrument, ...]
    rules: Rules
    costs: Costs
    market_return: float | None = None
    refusals: dict[str, int] = field(default_factory=dict)
    without: dict[str, int] = field(default_factory=dict)


def from_files(
    files: Sequence[Path],
    funding: Sequence[Path],
    symbols: Sequence[str],
    detail: Sequence[Path] = (),
    finer: Sequence[Path] = (),
    companions: Sequence[Path] = (),
) -> list[Series]:
    """One series a file, with its funding and finer files; without symbols, each file's name says its own.

    Each series' `others` are the candles of all the symbols, and of the `companions`, which are named by their files.

    Raises
    ------
    HistoryError
        If a file is missing or damaged.
    BacktestError
        If symbols, funding or finer files do not match the files.
    """
    for file in (*files, *funding, *detail, *finer, *companions):
        if not file.is_file():
            raise HistoryError(f"{file}: no such file" if not file.exists() else f"{file}: not a file")
    names = list(symbols) or [catalogue.symbol_of(f) or "" for f in files]
    if len(names) != len(files):
        raise BacktestError(f"{len(files)} data files and {len(names)} symbols: give one --symbol for each --data")
    if "" in names:
        unnamed = files[names.index("")]
        raise BacktestError(f"{unnamed}: its name does not begin with a symbol such as BTCUSDT; say it by --symbol")
    if funding and len(funding) != len(files):
        raise BacktestError(f"{len(files)} data files and {len(funding)} funding files: give one --funding for each")
    for what, given in (("detail", detail), ("finer", finer)):
        if given and len(given) != len(files):
            raise BacktestError(f"{len(files)} data files and {len(given)} {what} files: give one --{what} for each")
    made = []
    for at, (name, file) in enumerate(zip(names, files, strict=True)):
        for what, beside in (("funding", funding), ("finer candles", finer)):
            other = catalogue.symbol_of(beside[at]) if beside else None
            if other not in (None, name):
                raise BacktestError(f"{beside[at]}: the {what} of {other}, by its name, for {name}; give {name}'s own")
        base, rates = history.read(file), history.read_funding(funding[at]) if funding else None
        inside = _detail(file, base, detail[at]) if detail else None
        read = history.read(finer[at]) if finer else None
        made.append(Series(catalogue.instrument(name), base, rates, inside, read))
    others = _companions(companions) | {one.instrument.symbol: one.base for one in made}
    return [replace(one, others=others) for one in made]


def _companions(files: Sequence[Path]) -> dict[str, Candles]:
    """Other symbols' candles by symbol, as their files are named."""
    found = {}
    for file in files:
        symbol = catalogue.symbol_of(file)
        if symbol is None:
            raise BacktestError(f"{file}: its name does not say whose candles these are; let it begin with the symbol")
        found[symbol] = history.read(file)
    return found


def _detail(file: Path, base: Candles, detail: Path) -> Candles:
    """The finer candles of `detail`, without those of bars that they contradict.

    Raises
    ------
    BacktestError
        If they are not shorter, or contradict more than a few bars: then they are of another market.
    """
    finer = history.read(detail)
    try:
        divides = base.timeframe.ratio(finer.timeframe) > 1
    except TimeframeError:
        divides = False
    if not divides:
        raise BacktestError(
            f"{detail}: {finer.timeframe} candles are no detail of the {base.timeframe} ones in {file}; "
            "give shorter ones"
        )
    whole = aggregate(finer, base.timeframe)
    shared, ours, theirs = np.intersect1d(base.open_time, whole.open_time, True, return_indices=True)
    alike = [np.isclose(getattr(base, n)[ours], getattr(whole, n)[theirs], rtol=1e-9, atol=0) for n in VALUES[:4]]
    against = shared[~np.all(alike, axis=0)]
    if len(against) > MOST_CONTRADICTED * len(shared):
        raise BacktestError(
            f"{detail}: its candles make other prices of {len(against):,} of the {len(shared):,} bars it shares with "
            f"{file}, the first at {utc_text(int(against[0]))}; give the detail of the same market"
        )
    return finer[~np.isin(finer.open_time - finer.open_time % base.timeframe.ms, against)]


def from_synthetic(
    symbols: Sequence[str], days: int, warmup_bars: int, decision: Timeframe, seed: int, companions: Sequence[str] = ()
) -> list[Series]:
    """The synthetic market: `days` to be tested after `warmup_bars` decision candles of history.

    `companions` are symbols that are compared with and not played.
    """
    bars = (days * 86_400_000 + warmup_bars * decision.ms) // SYNTHETIC_BASE.ms
    played = symbols or (SYNTHETIC_SYMBOL,)
    grown = {
        symbol: synthetic.generate(symbol=symbol, bars=bars, timeframe=SYNTHETIC_BASE, seed=seed)
        for symbol in dict.fromkeys((*played, *companions))
    }
    others = {symbol: base for symbol, (base, _) in grown.items()}
    return [Series(catalogue.instrument(symbol), *grown[symbol], others=others) for symbol in played]


def frames(
    series: Sequence[Series],
    foreteller: Foreteller,
    decision: Timeframe,
    start_ms: int | None,
    end_ms: int | None,
    progress: Progress | None = None,
) -> tuple[list[SymbolFrame], dict[str, int]]:
    """Frames to test in [start_ms, end_ms), and why candles in it have no prediction.

    Without a start, the test begins at the first close that has a prediction in every symbol's history.

    Raises
    ------
    BacktestError
        If the history does not reach back far enough for a single prediction in the range, or lacks what the set reads
        beside the candles.
    """
    manifest = foreteller.manifest
    made, refusals = [], dict[str, int]()
    for one in series:
        name = one.instrument.symbol
        first = None if start_ms is None else start_ms - (manifest.warmup + 1) * decision.ms
        read = inputs_of(manifest, name, one.base, one.funding, one.finer, one.others)
        candles, finer, companion = (
            None if column is None else column.between(first, end_ms)
            for column in (read.candles, read.finer, read.companion)
        )
        assert candles is not None
        told = foreteller.predict_history(
            name, candles, one.funding, progress and (lambda n, of, name=name: progress(f"predicting {name}", n, of)),
            finer=finer, companion=companion,
        )  # fmt: skip
        made.append(SymbolFrame(one.instrument, one.base, candles, one.funding, told, one.detail))
        for reason, count in told.refusals.items():
            refusals[reason] = refusals.get(reason, 0) + count
    first = max(_first_prediction(f) for f in made)  # or it says why there is none
    start = first if start_ms is None else start_ms
    return [_between(f, start, end_ms) for f in made], refusals


def without(frames: Sequence[SymbolFrame]) -> dict[str, int]:
    """Family of members that gave no number -> candles predicted without it."""
    counts: dict[str, int] = {}
    for frame in frames:
        for family, count in frame.predictions.without.items():
            counts[family] = counts.get(family, 0) + count
    return counts


def _between(frame: SymbolFrame, start: int, end: int | None) -> SymbolFrame:
    """The frame with the bars of [start, end) alone."""
    detail = frame.detail and frame.detail.between(start, end)
    return replace(frame, base=frame.base.between(start, end), detail=detail)


def market_return(frame: SymbolFrame) -> float | None:
    """What the price did from the first open to the last close, as a fraction."""
    return float(frame.base.close[-1] / frame.base.open[0]) - 1 if len(frame.base) else None


def _first_prediction(frame: SymbolFrame) -> int:
    """Open time of the first decision candle with a prediction."""
    told = frame.predictions
    if not len(frame.decision):
        raise BacktestError(f"{frame.instrument.symbol}: no candles to test on; widen --from and --to")
    ready = told.open_time[told.regime >= 0]
    if not len(ready):
        why = "; ".join(f"{reason} ({count})" for reason, count in told.refusals.items())
        raise BacktestError(
            f"{frame.instrument.symbol}: none of its {len(frame.decision)} {frame.decision.timeframe} candles can be "
            f"predicted: {why}; give a longer history, or the columns and the --funding this model set reads"
        )
    return int(ready[0])
