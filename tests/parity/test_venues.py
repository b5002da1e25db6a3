"""Parity across venues: the same history, set and rules through the real daemon on two exchanges, trade by trade."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from market import history
from market.trades import LIQUIDATION, STOP, Trade
from models import modelset
from models.inference import Predictor
from tests.parity.compare import first_difference
from tests.parity.hours import SYMBOLS, last, synthetic
from tests.parity.portfolio import CASH, Portfolio, lively
from tests.parity.replay import ROOT, Outcome, Play, replay
from tests.parity.sets import save_without_taker_flow
from tests.parity.splice import cut_in

BARS = 150


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Play:
    """A history with gaps cut in, the rules and the set that trade on it, on disk."""
    folder = tmp_path_factory.mktemp("venues")
    made_on = synthetic(["BTCUSDT"], 1_000, seed=5)[0]
    save_without_taker_flow(made_on.base, made_on.funding, folder / "models")
    predictor = Predictor.load(modelset.resolve("latest", folder / "models"))
    warmup = predictor.lookback + 48
    hours = last(synthetic(SYMBOLS, warmup + BARS, seed=5), warmup, BARS, "synthetic")
    config = lively(ROOT / "configs" / "parity_rules.yaml", hours.series, predictor)
    (folder / "rules.yaml").write_text(yaml.safe_dump(config.model_dump()))
    portfolio = Portfolio(hours, predictor, config.rules())
    cut_in(portfolio)
    data, funding = [folder / f"{s}.parquet" for s in SYMBOLS], [folder / f"{s}-funding.parquet" for s in SYMBOLS]
    for series, klines, rates in zip(portfolio.series, data, funding, strict=True):
        assert series.funding is not None
        history.write(series.base, klines)
        history.write(series.funding, rates)
    return Play(
        folder, data, SYMBOLS, funding, "1h", hours.start, BARS, "latest", folder / "rules.yaml", CASH,
        model_sets=folder / "models",
    )  # fmt: skip


def replayed(play: Play, venue: str) -> Outcome:
    work = play.work / venue
    work.mkdir()
    return replay(replace(play, work=work, venue=venue), lambda done, bars, trades: None)


@pytest.mark.slow
def test_the_daemon_makes_the_same_trades_whichever_exchange_it_speaks_to(play: Play) -> None:
    binance, bybit = replayed(play, "binance"), replayed(play, "bybit")
    assert first_difference(bybit.trades, binance.trades, ("bybit", "binance")) is None
    assert (bybit.cash, bybit.equity, bybit.standing) == (binance.cash, binance.equity, binance.standing)
    assert bybit.summary["missed_candles"] == 0
    assert kinds(bybit.trades) >= {"long", "short", STOP, LIQUIDATION, "funding", *SYMBOLS}


def kinds(trades: list[Trade]) -> set[str]:
    """What happened at least once."""
    sides = {"long" if t.side > 0 else "short" for t in trades} | {t.symbol for t in trades}
    return sides | {t.reason for t in trades} | ({"funding"} if any(t.funding for t in trades) else set())
