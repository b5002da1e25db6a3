"""From a candle on the wire to the order on the wire, through the real daemon and the real exchange on loopback.

The floor is the model alone: features and inference on the same candles in this process. What lies above it is sockets,
journal (flushed to disk) and engine. `--json` for one object; `--bars N` for more candles.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import yaml

# run as a file, this folder comes first, and its backtest.py would hide the package `backtest`
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backtest import sources
from market import catalogue, history, synthetic
from market.timeframes import Timeframe
from models import modelset
from models.inference import Predictor
from tests.parity.portfolio import CASH, lively
from tests.parity.replay import ROOT, Play, replay

HOUR = Timeframe.parse("1h")


def floor_ms(predictor: Predictor, series: sources.Series, bars: int) -> float:
    """Median time of one prediction, ms."""
    took = []
    for end in range(len(series.base) - bars, len(series.base)):
        began = time.perf_counter()
        predictor.predict(series.instrument.symbol, series.base[: end + 1][-predictor.lookback :], series.funding)
        took.append((time.perf_counter() - began) * 1000)
    return float(np.median(took))


@click.command()
@click.option("--bars", default=400, show_default=True, help="Candles to decide.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def main(bars: int, as_json: bool) -> None:
    """Measure the daemon's way from candle to order, beside the model alone."""
    predictor = Predictor.load(modelset.resolve("starter", ROOT / "models"))
    warmup = predictor.lookback + 48
    candles, funding = synthetic.generate("BTCUSDT", bars=warmup + bars, timeframe=HOUR, seed=3)
    series = sources.Series(catalogue.instrument("BTCUSDT"), candles, funding)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        history.write(candles, work / "klines.parquet")
        history.write(funding, work / "funding.parquet")
        rules = lively(ROOT / "configs" / "parity_rules.yaml", [series], predictor)
        (work / "rules.yaml").write_text(yaml.safe_dump(rules.model_dump()))
        play = Play(
            work, [work / "klines.parquet"], ["BTCUSDT"], [work / "funding.parquet"], "1h",
            int(candles.open_time[warmup]), bars, "starter", work / "rules.yaml", CASH,
        )  # fmt: skip
        outcome = replay(play, lambda done, bars, trades: None)
    floor = floor_ms(predictor, series, min(bars, 200))
    told = outcome.summary
    figures = {
        "candle_to_order_ms": told["latency_ms"],
        "candle_to_decision_ms": told["decision_latency_ms"],
        "model_alone_ms": round(floor, 3),
        "decision_over_model_alone": round(told["decision_latency_ms"]["p50"] / floor, 2),
    }
    if as_json:
        click.echo(json.dumps(figures))
        return
    for name, value in figures.items():
        click.echo(f"{name:28} {value}")


if __name__ == "__main__":
    main()
