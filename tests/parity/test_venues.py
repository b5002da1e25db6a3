"""Parity across venues: the same history, set and rules through the real daemon on two exchanges, trade by trade."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from market import history
from market.trades import LIQUIDATION, STOP, Trade
from models import modelset
from models.inference import Predictor
from tests.parity.__main__ import Market, lively, synthetic_series
from tests.parity.compare import first_difference
from tests.parity.replay import ROOT, Outcome, replay
from tests.parity.sets import save_without_taker_flow

BARS = 150


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Market]:
    """A spliced synthetic history on disk, and what trades on it."""
    folder = tmp_path_factory.mktemp("venues")
    made_on = synthetic_series(1_000, "BTCUSDT", seed=5)
    save_without_taker_flow(made_on.base, made_on.funding, folder / "models")
    predictor = Predictor.load(modelset.resolve("latest", folder / "models"))
    warmup = predictor.lookback + 48
    series = synthetic_series(warmup + BARS, "BTCUSDT", seed=5)
    config = lively(ROOT / "configs" / "parity_rules.yaml", series, predictor)
    (folder / "rules.yaml").write_text(yaml.safe_dump(config.model_dump()))
    market = Market(series, predictor, config.rules(), warmup)
    market.splice()
    assert market.series.funding is not None
    history.write(market.series.base, folder / "klines.parquet")
    history.write(market.series.funding, folder / "funding.parquet")
    return folder, market


def replayed(market: tuple[Path, Market], venue: str) -> Outcome:
    folder, told = market
    work = folder / venue
    work.mkdir()
    return replay(
        work, [folder / "klines.parquet"], ["BTCUSDT"], [folder / "funding.parquet"], "1h", told.warmup, BARS,
        "latest", folder / "rules.yaml", lambda done, of: None, venue=venue, model_sets=folder / "models",
    )  # fmt: skip


@pytest.mark.slow
def test_the_daemon_makes_the_same_trades_whichever_exchange_it_speaks_to(market: tuple[Path, Market]) -> None:
    binance, bybit = replayed(market, "binance"), replayed(market, "bybit")
    assert first_difference(bybit.trades, binance.trades) is None
    assert (bybit.cash, bybit.summary["missed_candles"]) == (binance.cash, 0)
    assert kinds(bybit.trades) >= {"long", "short", STOP, LIQUIDATION, "funding"}


def kinds(trades: list[Trade]) -> set[str]:
    """What happened at least once."""
    sides = {"long" if t.side > 0 else "short" for t in trades}
    return sides | {t.reason for t in trades} | ({"funding"} if any(t.funding for t in trades) else set())
