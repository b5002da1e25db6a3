"""Logits: the scale on which members are stacked and calibrated."""

from __future__ import annotations

import numpy as np

from market.candles import Floats

LIMIT = 30.0
"""Logits are held within ±30: beyond, float64 probabilities are 0 or 1 and have no logit."""


def logit(probability: Floats) -> Floats:
    """Log odds, within ±30."""
    with np.errstate(divide="ignore"):
        odds: Floats = np.log(probability) - np.log1p(-probability)
    return np.clip(odds, -LIMIT, LIMIT)


def sigmoid(logits: Floats) -> Floats:
    """Probability of log odds; exact at both ends."""
    small: Floats = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1 / (1 + small), small / (1 + small))


def softmax(logits: Floats) -> Floats:
    """Probabilities (n, K) of logits (n, K), each row's summing to 1."""
    odds: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = odds / odds.sum(axis=1, keepdims=True)
    return shares
