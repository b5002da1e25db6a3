"""Speed of the features, for a history and for one live candle, and of inference with the sets there are."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from market import synthetic
from market.timeframes import Timeframe
from models import features, modelset
from models.inference import Predictor

BARS, LIVE_RUNS = 70_000, 200


def median_ms(work: Callable[[], object]) -> float:
    """Median milliseconds of the processor's time over many runs."""
    took = []
    for _ in range(LIVE_RUNS):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return float(np.median(took)) * 1e3


def main() -> None:
    """Print each figure on a line."""
    candles, funding = synthetic.generate("BTCUSDT", bars=BARS, timeframe=Timeframe.parse("1h"), seed=1)
    began = time.perf_counter()
    features.compute(candles, funding)
    print(f"{len(features.FEATURES)} features of {BARS:,} bars: {time.perf_counter() - began:.2f} s")
    window = candles[-features.required_lookback() - 47 :]
    live = median_ms(lambda: features.compute(window, funding))
    print(f"features of one live candle ({len(window)} bars): {live:.1f} ms")
    for path in (*modelset.stored(modelset.ROOT / "starter"), *modelset.stored(modelset.ROOT / "sets")):
        predictor = Predictor.load(path)
        began = time.perf_counter()
        predictor.predict_history("BTCUSDT", candles, funding)
        took = time.perf_counter() - began
        one = median_ms(lambda p=predictor: p.predict("BTCUSDT", candles, funding))  # type: ignore[misc]
        print(f"{path.name}: {BARS / took:,.0f} candles a second in a history, {one:.1f} ms live")


if __name__ == "__main__":
    main()
