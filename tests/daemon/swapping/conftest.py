"""A world for each test, on a market that is made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from market import synthetic
from models.modelset import ModelSet, save
from tests.daemon.conftest import FEATURES
from tests.daemon.swapping.world import WARMUP, Store, World
from tests.local_exchange import LocalExchange
from tests.models.small_sets import HOUR, Made, Market, make_set, make_wide_set, wide_market


@pytest.fixture(scope="session")
def known() -> Market:
    """What the sets are made on."""
    return Market(*synthetic.generate("BTCUSDT", bars=1000, timeframe=HOUR, seed=7))


@pytest.fixture(scope="session")
def made(known: Market) -> Made:
    """The set of which the others are variants."""
    return make_set(known, FEATURES)


@pytest.fixture(scope="session")
def far(known: Market) -> Made:
    """A set that looks back further than the others, on candles and on funding."""
    return make_set(known, ("return_1", "return_168", "volatility_6", "cci_20", "funding_24h"))


@pytest.fixture
def world(tmp_path: Path, made: Made, exchange: Callable[..., LocalExchange]) -> World:
    """An exchange, and a store whose first set is the champion."""
    store = Store(tmp_path / "models", made)
    store.crown(store.add())
    return World(tmp_path, exchange(warmup=WARMUP, bars=200), store)


@pytest.fixture(scope="session")
def known_wide(tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    """A set that reads quarters and compares two symbols."""
    made = make_wide_set(wide_market(bars=400), dead_member="refuse")
    return ModelSet.load(save(made.manifest, made.files, tmp_path_factory.mktemp("wide") / "sets"))
