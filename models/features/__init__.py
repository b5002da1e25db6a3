"""Features: one committed list, one function that computes it for training, backtest and live.

`schema.json` beside this file lists them; a test says it is current.
"""

from __future__ import annotations

from models.features import averages, carry, returns, seasons, shape, volatility, volume
from models.features.registry import Feature, FeatureError, Registry, rows_ready, unbroken

REGISTRY = Registry(
    returns.FEATURES
    + averages.FEATURES
    + volatility.FEATURES
    + volume.FEATURES
    + shape.FEATURES
    + seasons.FEATURES
    + carry.FEATURES
)
FEATURES = REGISTRY.features
compute = REGISTRY.compute
required_lookback = REGISTRY.required_lookback
schema_hash = REGISTRY.schema_hash
available = REGISTRY.available

__all__ = [
    "FEATURES",
    "REGISTRY",
    "Feature",
    "FeatureError",
    "available",
    "compute",
    "required_lookback",
    "rows_ready",
    "schema_hash",
    "unbroken",
]
