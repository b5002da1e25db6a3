"""Modes: which members a run trains."""

from __future__ import annotations

ALL, STACKING, DISTILL = "all", "stacking", "distill"
MODES = {
    "lgb": "lightgbm",
    "lstm": "lstm",
    "tft": "tft",
    "transformer": "transformer",
    "lstm15m": "lstm15m",
    "regime": "lightgbm",
    DISTILL: "student",
    STACKING: None,
    ALL: None,
}
"""Mode -> the family whose set it makes; None: every family of the spec. A regime alone cannot trade, so that its mode
makes a set with LightGBM beside it.
"""
