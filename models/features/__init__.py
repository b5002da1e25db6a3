"""Features: one committed list, one function that computes it for training, backtest and live.

`schema.json` beside this file lists them; a test says it is current.
"""

from __future__ import annotations

from models.features import averages, carry, cross, returns, seasons, shape, volatility, volume
from models.features.registry import COMPANION, Feature, FeatureError, Registry, rows_ready, unbroken

REGISTRY = Registry(
    returns.FEATURES
    + averages.FEATURES
    + volatility.FEATURES
    + volume.FEATURES
    + shape.FEATURES
    + seasons.FEATURES
    + carry.FEATURES
    + cross.FEATURES
)
FEATURES = REGISTRY.chosen()
"""Those that one symbol's own market makes."""
CROSS = tuple(f.name for f in cross.FEATURES)
"""Names of those that compare it with a companion's, each an option."""
compute = REGISTRY.compute
required_lookback = REGISTRY.required_lookback
schema_hash = REGISTRY.schema_hash
available = REGISTRY.available

__all__ = [
    "COMPANION",
    "CROSS",
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
