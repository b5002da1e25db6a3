"""Audits: a sound set is clean, and one that sees the future or forgets nothing is caught, by name, at the bar."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from market import history
from market.candles import Candles, Floats
from market.timeframes import utc_text
from models import audit, features
from models.features.registry import Feature
from models.features.series import Series, ema
from models.inference import Predictor
from models.modelset import resolve, save
from tests.models.small_sets import Market, make_set, make_wide_set, wide_market
from tests.models.test_models_command import models

PLAIN = ("return_1", "return_5", "volatility_24", "taker_flow_6", "funding_last")
Made = Callable[[Feature], Predictor]


@pytest.fixture
def predictor(stored_set: Path) -> Predictor:
    """A set on every feature, opened."""
    return Predictor.load(stored_set)


@pytest.fixture
def with_feature(market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Registers a feature for the test, and makes a set that reads it."""

    def make(feature: Feature) -> Predictor:
        monkeypatch.setitem(features.REGISTRY._by_name, feature.name, feature)
        made = make_set(market, (*PLAIN, feature.name))
        return Predictor.load(save(made.manifest, made.files, tmp_path / "sets"))

    return make


def tomorrow(bars: int) -> Feature:
    """The return of the bars to come, called a feature of today."""
    return Feature("leak", 1, (), lambda s: np.concatenate([s.returns[bars:], np.zeros(bars)]))


def test_a_sound_set_is_clean_in_both_audits(predictor: Predictor, market: Market) -> None:
    for audited in (audit.look_ahead, audit.recursion):
        found = audited(predictor, "BTCUSDT", market.candles, market.funding, times=6)
        assert found.clean
        assert found.worst is None
        assert found.bars == 6
        assert found.comparisons > 6 * len(features.FEATURES)
        assert found.largest is not None
        assert found.largest.difference <= 1e-9


def test_a_feature_that_looks_one_bar_ahead_is_found_by_name(with_feature: Made, market: Market) -> None:
    found = audit.look_ahead(with_feature(tomorrow(1)), "BTCUSDT", market.candles, market.funding, times=8)
    assert not found.clean
    assert found.worst is not None
    assert found.worst.what.startswith("feature leak")
    row = int(np.searchsorted(market.candles.open_time, found.worst.bar))
    returns = np.diff(np.log(market.candles.close))
    assert found.worst.expected == pytest.approx(returns[row], abs=1e-9)  # the very next bar's return
    assert utc_text(found.worst.bar) in str(found.worst)
    assert {"p_long", "p_short"} & set(found.offences)  # and it moved the signals
    assert not [what for what in found.offences if what.startswith("feature ") and "leak" not in what]


def test_a_feature_scaled_by_the_whole_history_is_found(with_feature: Made, market: Market) -> None:
    scaled = Feature("scaled", 2, (), lambda s: s.returns / s.returns.std())
    found = audit.look_ahead(with_feature(scaled), "BTCUSDT", market.candles, market.funding, times=4)
    assert found.worst is not None
    assert found.worst.what.startswith("feature scaled")


def test_a_feature_that_reads_funding_not_yet_settled_is_found(with_feature: Made, market: Market) -> None:
    def next_rate(s: Series) -> Floats:
        at = np.minimum(np.searchsorted(s.funding.time, s.close_time), len(s.funding) - 1)
        return np.asarray(s.funding.rate[at] / 1e4)

    found = audit.look_ahead(
        with_feature(Feature("next_rate", 8, ("funding",), next_rate)), "BTCUSDT", market.candles, market.funding, 6
    )
    assert found.worst is not None
    assert found.worst.what.startswith("feature next_rate")


def test_a_recursive_indicator_with_too_short_a_lookback_is_found(with_feature: Made, market: Market) -> None:
    forgetful = Feature("hasty_ema", 60, (), lambda s: s.log_close - ema(s.log_close, 40))
    predictor = with_feature(forgetful)
    assert audit.look_ahead(predictor, "BTCUSDT", market.candles, market.funding, times=4).clean
    found = audit.recursion(predictor, "BTCUSDT", market.candles, market.funding, times=6)
    assert found.worst is not None
    assert found.worst.what == "feature hasty_ema"
    assert found.worst.difference > 1e-4
    assert "candles" in found.worst.how


def test_a_recursive_indicator_is_found_though_a_longer_lookback_hides_it(with_feature: Made, market: Market) -> None:
    # the set warms up over the longest lookback of all, and need not notice that one feature declares too little
    hidden = Feature("hasty_ema", 200, (), lambda s: s.log_close - ema(s.log_close, 12))
    found = audit.recursion(with_feature(hidden), "BTCUSDT", market.candles, market.funding, times=6)
    assert found.clean  # 200 rows are enough for a span of 12
    short = Feature("hasty_ema", 13, (), lambda s: s.log_close - ema(s.log_close, 12))
    found = audit.recursion(with_feature(short), "BTCUSDT", market.candles, market.funding, times=6)
    assert next(iter(found.offences)) == "feature hasty_ema"


def test_a_set_that_reads_quarters_and_a_companion_is_clean_in_both_audits(tmp_path: Path) -> None:
    wide = wide_market()
    made = make_wide_set(wide)
    predictor = Predictor.load(save(made.manifest, made.files, tmp_path))
    asked = {"finer": wide.finer, "companion": wide.companion}
    for audited in (audit.look_ahead, audit.recursion):
        found = audited(predictor, "BTCUSDT", wide.candles, wide.funding, 8, **asked)
        assert found.clean, found.worst
        assert found.bars == 8
    assert audit.look_ahead(predictor, "BTCUSDT", wide.candles, wide.funding, 3, companion=wide.companion).clean
    strict = make_wide_set(wide, dead_member="refuse")
    refusing = Predictor.load(save(strict.manifest, strict.files, tmp_path))
    with pytest.raises(audit.AuditError, match="the 18 15m candles before its close"):
        audit.look_ahead(refusing, "BTCUSDT", wide.candles, wide.funding, companion=wide.companion)


def test_a_quarter_or_a_companion_read_ahead_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = wide_market()
    leak = tomorrow(1)
    compared = Feature("peek", 1, ("companion",), lambda s: np.append(s.companion_returns[1:], 0.0))
    for feature in (leak, compared):
        monkeypatch.setitem(features.REGISTRY._by_name, feature.name, feature)
    asked = {"finer": wide.finer, "companion": wide.companion}
    for what, made in (
        ("feature 15m leak", make_wide_set(wide, finer_names=("return_1", "leak"))),
        ("feature peek", make_wide_set(wide, names=("return_1", "peek"))),
    ):
        predictor = Predictor.load(save(made.manifest, made.files, tmp_path))
        found = audit.look_ahead(predictor, "BTCUSDT", wide.candles, wide.funding, 6, **asked)
        assert found.worst is not None
        assert found.worst.what.startswith(what)
        assert "p_long" in found.offences
        # live, it must say the same of a bar before there is a next one
        assert audit.recursion(predictor, "BTCUSDT", wide.candles, wide.funding, 6, **asked).worst is not None


def test_the_same_seed_audits_the_same_bars(predictor: Predictor, market: Market) -> None:
    first, again, other = (
        audit.look_ahead(predictor, "BTCUSDT", market.candles, market.funding, times=3, seed=seed).as_json()
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first["largest_difference"]["bar"] != other["largest_difference"]["bar"]


def test_a_history_too_short_is_refused_with_the_reason(predictor: Predictor, market: Market) -> None:
    with pytest.raises(audit.AuditError, match="fewer than 751 candles"):
        audit.look_ahead(predictor, "BTCUSDT", market.candles[:300], market.funding)


def test_a_lost_value_is_an_endless_difference_and_null_in_json() -> None:
    offence = audit.Offence("feature x", 0, "cut off", 1.0, float("nan"))
    assert offence.difference == float("inf")
    told = offence.as_json()
    assert (told["expected"], told["found"], told["difference"]) == (1.0, None, None)
    assert audit.Offence("feature x", 0, "cut off", float("nan"), float("nan")).difference == 0


@pytest.fixture
def files(market: Market, tmp_path: Path) -> tuple[str, ...]:
    """Options that give the market as files."""
    history.write(market.candles, tmp_path / "BTCUSDT-1h.parquet")
    history.write(market.funding, tmp_path / "funding.parquet")
    return "--data", str(tmp_path / "BTCUSDT-1h.parquet"), "--funding", str(tmp_path / "funding.parquet")


@pytest.mark.parametrize("which", ["look-ahead", "recursion"])
def test_the_command_says_clean(stored_set: Path, files: tuple[str, ...], which: str) -> None:
    done = models("audit", which, "--model-set", str(stored_set), *files, "--times", "3", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["audit"], told["clean"], told["worst"], told["bars"]) == (which, True, None, 3)
    done = models("audit", which, "--model-set", str(stored_set), *files, "--times", "3")
    assert f"{which}: clean, 3 bars" in done.stdout


def test_the_command_exits_with_1_and_names_the_offender(with_feature: Made, files: tuple[str, ...]) -> None:
    path = str(with_feature(tomorrow(2)).model_set.path)
    done = models("audit", "look-ahead", "--model-set", path, *files, "--times", "4")
    assert done.returncode == 1
    assert "FOUND" in done.stdout
    assert "feature leak" in done.stdout
    done = models("audit", "look-ahead", "--model-set", path, *files, "--times", "4", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["worst"]["what"].startswith("feature leak")


def test_the_command_exits_with_7_without_the_data(stored_set: Path, files: tuple[str, ...], tmp_path: Path) -> None:
    done = models("audit", "recursion", "--model-set", str(stored_set), "--data", str(tmp_path / "none-BTCUSDT"))
    assert done.returncode == 7
    done = models("audit", "recursion", "--model-set", str(stored_set), *files[:2])
    assert done.returncode == 7
    assert "funding: read by funding_last" in done.stderr
    assert "--funding FILE" in done.stderr


def test_the_starter_set_is_clean_on_real_candles(shared: Path) -> None:
    candles: Candles = history.read(shared / "data" / "BTCUSDT-spot-1h.parquet")[-6000:]
    predictor = Predictor.load(resolve("starter"))
    for audited in (audit.look_ahead, audit.recursion):
        assert audited(predictor, "BTCUSDT", candles, times=10).clean
