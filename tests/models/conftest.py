"""What the tests of models share: a market, and a small real model set made on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from market import synthetic
from models.manifest import Manifest
from models.modelset import save
from tests.models.small_sets import HOUR, Made, Market, make_set


@pytest.fixture(scope="session")
def market() -> Market:
    """A synthetic market long enough for the longest lookback and some."""
    return Market(*synthetic.generate("BTCUSDT", bars=2000, timeframe=HOUR, seed=7))


@pytest.fixture(scope="session")
def made(market: Market) -> Made:
    """A whole set on every feature: a booster and a network for each head, and a regime booster."""
    return make_set(market)


@pytest.fixture
def stored_set(made: Made, tmp_path: Path) -> Path:
    """That set in a store of its own, ``<tmp>/models/sets/<id>``."""
    return save(made.manifest, made.files, tmp_path / "models" / "sets")


@pytest.fixture
def remake(made: Made) -> Callable[..., Made]:
    """The set with parts of its manifest replaced, given as keyword -> value."""

    def change(**parts: object) -> Made:
        return Made(Manifest.model_validate(made.manifest.model_dump() | parts), made.files)

    return change
