"""`python -m tests.parity`: the same candles through the real daemon and through the backtest, trade by trade.

Prints `N trades, identical` and exits 0, or the first difference and exits 1.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import yaml
from rich.console import Console
from rich.progress import Progress

import configs
from backtest import sources
from backtest.broker import Costs
from backtest.engine import Result, run
from market import catalogue, history
from market.instruments import Instrument, cash
from market.synthetic import generate
from market.timeframes import Timeframe
from market.trades import LIQUIDATION, STOP, Trade
from models import modelset
from models.inference import Predictor
from strategy.live_config import Halts, LiveConfig, Rules
from tests.parity.compare import first_difference, missing_halts, missing_kinds
from tests.parity.replay import CCXT_IDS, ROOT, ReplayError, replay
from tests.parity.sets import save_without_taker_flow
from tests.parity.splice import gap_against

COSTS = Costs(taker_ppm=500, slippage_ppm=100)
CASH = cash(10_000)
NARROW = Halts.model_validate(
    {
        "daily_loss": {"limit": 0.006, "then": "reducing"},
        "weekly_loss": None,
        "drawdown": {"limit": 0.01, "then": "halted"},
        "losing_streak": {"trades": 3, "then": "reducing"},
    }
)
HOUR = Timeframe.parse("1h")
ENTER_AND_LEAVE = (0.6, 0.3)
"""Quantiles of what a set says at which a position is opened and closed."""
FITTED_ON = 2_000
"""How many hours a set is made on for a venue that the starter set cannot read."""
GAP_STOP, GAP_LIQUIDATION = 0.025, 0.6
"""How far a spliced gap opens from the entry, as a fraction: beyond any stop, beyond any liquidation."""


@dataclass
class Market:
    """One symbol's spliced history, and the backtest of it; the first `warmup` candles are history alone."""

    series: sources.Series
    predictor: Predictor
    rules: Rules
    warmup: int

    def backtest(self) -> Result:
        start = int(self.series.base.open_time[self.warmup])
        frames, _ = sources.frames([self.series], self.predictor, HOUR, start, None)
        return run(frames, self.rules, COSTS, self.predictor.max_hold_bars, CASH)

    def splice(self) -> None:
        """Cut in a gap through a stop in the first half and a liquidation in the second, each against an open trade."""
        base, instrument = self.series.base, self.series.instrument
        for part, distance in ((0.25, GAP_STOP), (0.6, GAP_LIQUIDATION)):
            after = int(base.open_time[self.warmup + int((len(base) - self.warmup) * part)])
            long_lived = [t for t in self.backtest().trades if t.entry_time > after and _bars(t) >= 4 and t.side > 0]
            if not long_lived:
                raise ReplayError("no long position stays open for four bars: nothing to cut a gap into")
            base = gap_against(base, long_lived[0], distance, instrument)
            self.series = sources.Series(instrument, base, self.series.funding)


def lively(rules: Path, series: sources.Series, predictor: Predictor) -> LiveConfig:
    """The parity rules with thresholds amid what this set says of this data, so that both sides come and go."""
    told = predictor.predict_history(series.instrument.symbol, sources.aggregate(series.base, HOUR), series.funding)
    if not np.isfinite(told.p_long).any():
        raise ReplayError(f"the set predicts nothing on this data: {told.refusals}")
    config = configs.load(rules, LiveConfig).model_dump()
    for name, said in (("long", told.p_long), ("short", told.p_short)):
        enter, leave = np.nanquantile(said, ENTER_AND_LEAVE)
        config["entry"][name], config["exit"][name] = round(float(enter), 4), round(float(leave), 4)
    return LiveConfig.model_validate(config)


def _bars(trade: Trade) -> int:
    return (trade.exit_time - trade.entry_time) // HOUR.ms


def gap_stops(trades: list[Trade], instrument: Instrument) -> int:
    """Stops that filled exactly at a bar's open: the price had gapped through them."""
    return sum(t.reason == STOP and t.exit_time % HOUR.ms == 0 for t in trades)


def synthetic_series(rows: int, symbol: str, seed: int) -> sources.Series:
    """So many hours of the synthetic market."""
    base, rates = generate(symbol, bars=rows, timeframe=HOUR, seed=seed)
    return sources.Series(catalogue.instrument(symbol), base, rates)


def _series(data: Path | None, funding: Path | None, rows: int, symbol: str | None, seed: int) -> sources.Series:
    if data is None:
        return synthetic_series(rows, symbol or "BTCUSDT", seed)
    (series,) = sources.from_files([data], [funding] if funding else [], [symbol] if symbol else [])
    hours = series.base if series.base.timeframe == HOUR else sources.aggregate(series.base, HOUR)
    if len(hours) < rows:
        raise ReplayError(f"{data} holds {len(hours)} hours, {rows} are needed; lower --bars")
    return sources.Series(series.instrument, hours[len(hours) - rows :], series.funding)


def described(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """What the daemon's summary says, line by line: what, and how much."""
    naked, order, decision = (summary[key] for key in ("seconds_naked", "latency_ms", "decision_latency_ms"))

    def spread(low: float | None, high: float | None, unit: str, samples: int, name: str) -> str:
        return "none" if low is None else f"median {low:g} {unit}, {name} {high:g} {unit}, {samples:,} times"

    return [
        ("candles decided", f"{summary['candles']:,}, {summary['missed_candles']} missed"),
        ("decisions", f"{summary['decisions']:,}, {summary['orders']:,} orders, {summary['trades']:,} trades"),
        ("equity, wallet", f"{summary['equity']} and {summary['cash']} USDT"),
        ("model set", str(summary["model_set"])),
        ("without a stop", spread(naked["median"], naked["worst"], "s", naked["samples"], "worst")),
        ("candle to decision", spread(decision["p50"], decision["p99"], "ms", decision["samples"], "p99")),
        ("candle to order", spread(order["p50"], order["p99"], "ms", order["samples"], "p99")),
        ("memory", f"{summary['memory_mb']} MB at most"),
    ]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--bars", default=2_000, show_default=True, type=click.IntRange(100), help="Hours to replay.")
@click.option("--data", type=click.Path(path_type=Path), help="Klines [real BTC beside the checkout, else synthetic].")
@click.option("--synthetic", is_flag=True, help="The synthetic market, whatever there is beside the checkout.")
@click.option("--funding", type=click.Path(path_type=Path), help="Funding rates; default as for --data.")
@click.option("--symbol", help="Symbol; default: as the file is named.")
@click.option("--model-set", help="[starter; at bybit one made on the spot, since it tells no taker flow]")
@click.option("--venue", type=click.Choice(list(CCXT_IDS)), default="binance", show_default=True)
@click.option("--rules", type=click.Path(path_type=Path), default=ROOT / "configs" / "parity_rules.yaml")
@click.option("--seed", default=3, help="Of the synthetic market.")
@click.option("--halts", is_flag=True, help="With limits on losses so narrow that they strike.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder to keep data, journal and logs in.")
def main(
    bars: int, data: Path | None, funding: Path | None, symbol: str | None, model_set: str | None, rules: Path,
    seed: int, synthetic: bool, venue: str, halts: bool, keep: Path | None,
) -> None:  # fmt: skip
    """Replay hours through daemon and exchange over sockets, backtest the same, and compare the trades one by one."""
    shared = Path(os.environ.get("REGIMEN_SHARED", ROOT.parent / "shared")) / "data"
    if data is None and not synthetic and (shared / "BTCUSDT-spot-1h.parquet").is_file():
        data, funding = shared / "BTCUSDT-spot-1h.parquet", shared / "BTCUSDT-um-funding.parquet"
    screen = Console(stderr=True)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            work = keep or Path(scratch)
            work.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(work / "state", ignore_errors=True)
            model_set, model_sets = model_set or "starter", ROOT / "models"
            if venue == "bybit" and model_set == "starter":
                model_set, model_sets = "latest", work / "models"
                made_on = _series(data, funding, FITTED_ON, symbol, seed)
                save_without_taker_flow(made_on.base, made_on.funding, model_sets)
            predictor = Predictor.load(modelset.resolve(model_set, model_sets))
            warmup = predictor.lookback + 48
            series = _series(data, funding, warmup + bars, symbol, seed)
            config = lively(rules, series, predictor)
            if halts:
                config = config.model_copy(update={"halts": NARROW})
            (work / "rules.yaml").write_text(yaml.safe_dump(config.model_dump()))
            market = Market(series, predictor, config.rules(), warmup)
            if not halts:
                market.splice()
            expected = market.backtest()
            name = series.instrument.symbol
            klines, rates = work / f"{name}-1h.parquet", work / f"{name}-funding.parquet"
            history.write(market.series.base, klines)
            if series.funding is not None:
                history.write(series.funding, rates)
            with Progress(console=screen, disable=not screen.is_terminal) as shown:
                task = shown.add_task("bars", total=bars - 1)
                outcome = replay(
                    work, [klines], [name], [rates] if series.funding is not None else [], "1h", warmup, bars,
                    model_set, work / "rules.yaml", lambda done, of: shown.update(task, completed=done, total=of),
                    venue=venue, model_sets=model_sets,
                )  # fmt: skip
    except ReplayError as error:
        click.echo(f"parity: {error}", err=True)
        sys.exit(1)
    difference = first_difference(outcome.trades, expected.trades)
    if difference is None and outcome.cash != expected.cash:
        difference = f"wallet: the exchange says {outcome.cash}, the backtest {expected.cash}"
    if halts:
        lacks = missing_halts(expected.restrictions)
    else:
        lacks = missing_kinds(expected.trades, bars, gap_stops(expected.trades, series.instrument))
    liquidations = sum(t.reason == LIQUIDATION for t in expected.trades)
    stops = sum(t.reason == STOP for t in expected.trades)
    screen.print(f"{bars:,} hours of {name} in {outcome.seconds:.0f} s; {stops} stops, {liquidations} liquidations")
    for what, told in described(outcome.summary):
        screen.print(f"{what:20} {told}", highlight=False)
    if difference or lacks:
        click.echo(difference or f"the run proves too little, it lacks: {'; '.join(lacks)}")
        sys.exit(1)
    click.echo(f"{len(expected.trades)} trades, identical")


if __name__ == "__main__":
    main()
