"""The proof: hours are chosen, gaps cut in, and daemon, plain and compiled engine asked what they make of them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from backtest.engine import Result
from market import history
from models import modelset
from models.inference import Predictor
from strategy.live_config import LiveConfig
from tests.parity import hours
from tests.parity.compare import daemon_difference, result_difference
from tests.parity.coverage import Coverage, missing_halts
from tests.parity.hours import Hours
from tests.parity.portfolio import CASH, NARROW, Portfolio, lively
from tests.parity.replay import ROOT, Outcome, ParityError, Play, replay
from tests.parity.sets import save_without_taker_flow
from tests.parity.shown import Shown
from tests.parity.splice import cut_in

FITTED_ON = 2_000
"""How many hours a set is made on for a venue that the starter set cannot read."""
MARGIN = 48
"""Hours of history beyond the set's lookback."""


@dataclass(frozen=True)
class Asked:
    """What shall be proven, as the command line says it.

    `data` and `funding` are files, one a symbol; without them hours beside the checkout are played or, where there are
    none or with `synthetic`, the synthetic market of `seed`. `to` (ms) is the first instant no longer played.
    """

    bars: int
    symbols: tuple[str, ...] = ()
    data: tuple[Path, ...] = ()
    funding: tuple[Path, ...] = ()
    to: int | None = None
    synthetic: bool = False
    seed: int = 3
    model_set: str | None = None
    venue: str = "binance"
    rules: Path = ROOT / "configs" / "parity_rules.yaml"
    halts: bool = False

    def hours(self, warmup: int, bars: int) -> Hours:
        """So many hours of history, and to play."""
        data, funding, symbols = self.data, self.funding, self.symbols or hours.SYMBOLS
        if data:
            series = hours.recorded(data, funding, self.symbols)
            return hours.last(series, warmup, bars, ", ".join(f.name for f in data), self.to)
        found = None if self.synthetic else hours.beside_the_checkout(symbols)
        if found is None:
            series = hours.synthetic(symbols, warmup + bars, self.seed)
            return hours.last(series, warmup, bars, f"synthetic, seed {self.seed}", self.to)
        return hours.last(hours.recorded(*found, symbols), warmup, bars, "real", self.to)


@dataclass(frozen=True)
class Proof:
    """What came of it.

    `difference` is where daemon and plain engine part, in words, and None if nowhere; `lacks` what never happened and
    had to. The compiled engine's result was found equal to the plain one's before the daemon was started.
    """

    hours: Hours
    outcome: Outcome
    plain: Result
    coverage: Coverage
    difference: str | None
    lacks: list[str]


def prove(asked: Asked, work: Path, shown: Shown) -> Proof:
    """Do it all, in the folder `work`, where data, state and logs stay.

    Raises
    ------
    HoursError, QuietError, BacktestError, HistoryError
        If there is nothing to play.
    ReplayError, ParityError
        If daemon or exchange fail, or two parts make different trades.
    """
    work.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(work / "state", ignore_errors=True)
    name, model_sets = _model_set(asked, work)
    predictor = Predictor.load(modelset.resolve(name, model_sets))
    played = asked.hours(predictor.lookback + MARGIN, asked.bars)
    shown.say(f"{asked.bars:,} hours of {played}; set {predictor.id}, {asked.venue}")
    rules = lively(asked.rules, played.series, predictor)
    if asked.halts:
        rules = rules.model_copy(update={"halts": NARROW})
    portfolio = Portfolio(played, predictor, rules.rules())
    cuts = [] if asked.halts else cut_in(portfolio)
    plain, compiled = portfolio.both()
    if difference := result_difference(compiled, plain):
        raise ParityError(difference)
    shown.say(f"{len(cuts)} gaps cut in; {len(plain.trades):,} trades by plain and compiled engine, identical")
    play = _written(asked, work, portfolio, rules, name, model_sets)
    outcome = replay(play, shown.played, plain.trades)
    coverage = Coverage.of(plain, played.symbols, cuts)
    return Proof(
        hours=played,
        outcome=outcome,
        plain=plain,
        coverage=coverage,
        difference=daemon_difference(outcome, plain, portfolio.instruments),
        lacks=missing_halts(plain.restrictions) if asked.halts else coverage.lacks(asked.bars),
    )


def _model_set(asked: Asked, work: Path) -> tuple[str, Path]:
    """The set's name and the folder of its store: as asked for or the starter; for Bybit, one made on the spot."""
    if asked.model_set is not None or asked.venue != "bybit":
        return asked.model_set or "starter", ROOT / "models"
    made_on = asked.hours(1, FITTED_ON).series[0]
    save_without_taker_flow(made_on.base, made_on.funding, work / "models")
    return "latest", work / "models"


def _written(
    asked: Asked, work: Path, portfolio: Portfolio, rules: LiveConfig, model_set: str, model_sets: Path
) -> Play:
    """Data and rules as files, for daemon and exchange."""
    (work / "rules.yaml").write_text(yaml.safe_dump(rules.model_dump()))
    symbols = [i.symbol for i in portfolio.instruments]
    data = [work / f"{symbol}-1h.parquet" for symbol in symbols]
    funding = [work / f"{symbol}-funding.parquet" for symbol in symbols]
    paid = [s.funding is not None for s in portfolio.series]
    for one, klines, rates in zip(portfolio.series, data, funding, strict=True):
        history.write(one.base, klines)
        if one.funding is not None:
            history.write(one.funding, rates)
    return Play(
        work=work,
        data=data,
        symbols=symbols,
        funding=funding if all(paid) else [],
        timeframe=str(hours.HOUR),
        start=portfolio.start,
        bars=asked.bars,
        model_set=model_set,
        rules=work / "rules.yaml",
        cash=CASH,
        venue=asked.venue,
        model_sets=model_sets,
    )
