"""The proof's recipes: three small training specs that differ in what they read of the market.

The same kinds of members as a real recipe has, gradient boosting and a network, at a size that trains in seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.lifecycle.market import SEED, SYMBOL

BLIND = (
    "volatility_6", "volatility_24", "volatility_72", "volatility_168", "parkinson_24", "range_ratio_24",
    "hour_sine_1", "hour_cosine_1", "week_sine", "week_cosine", "weekend",
)  # fmt: skip
"""How much prices move, and nothing of where to: what the first champion reads."""
HONEST = (
    *BLIND, "return_1", "return_2", "return_3", "return_5", "return_12", "return_24",
    "taker_flow_1", "taker_flow_6", "taker_flow_24",
)  # fmt: skip
"""Flow and reversal, which hold all along: what the schedule trains."""
TRUSTING = (*HONEST, "volume_ratio_24")
"""The volume too, which tells more than all the rest until it lies: what decays."""

BARS = 7_900
LABEL_COST = 0.0015
"""Above what a trade costs both ways: 2 × (.05 % fee + .01 % slippage), the exchange's and the gate's defaults."""


def spec(name: str, features: tuple[str, ...]) -> dict[str, Any]:
    """A training spec, as YAML holds it."""
    return {
        "name": name,
        "seed": SEED,
        "data": {"symbol": SYMBOL, "venue": "binance-usdm", "bars": BARS},
        "features": {"include": list(features)},
        "labels": {"horizons": [5, 12], "regime_horizon": 24, "cost": LABEL_COST},
        "splits": {"folds": 4},
        "lightgbm": {"rounds": 120, "learning_rate": 0.1, "patience": 15},
        "lstm": {"window": 4, "hidden": 8, "epochs": 3, "stride": 3, "learning_rate": 0.005, "dropout": 0.1},
        "evidence": {"draws": 100},
        "expires_days": 120,
    }


def write(folder: Path, name: str, features: tuple[str, ...]) -> Path:
    """A spec as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(spec(name, features), sort_keys=False))
    return file
