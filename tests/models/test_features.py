"""Features: live equals batch, nothing looks ahead, and what cannot be known is missing, never 0."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import talib

from market import history, synthetic
from market.candles import VALUES, Candles
from market.funding import Funding
from market.timeframes import Timeframe
from models import features
from models.features import FEATURES, FeatureError, compute, required_lookback, rows_ready, schema_hash, unbroken
from models.features.series import ema_lookback

HOUR = Timeframe.parse("1h")
NAMES = tuple(f.name for f in FEATURES)
LOOKBACK = required_lookback()


def column(matrix: np.ndarray, name: str) -> np.ndarray:
    return matrix[:, NAMES.index(name)]


def with_values(candles: Candles, **columns: np.ndarray) -> Candles:
    return replace(candles, **columns)


def live_differs_most(candles: Candles, funding: Funding | None, bars: int, holes: bool = False) -> float:
    """The largest difference between the last `bars` rows of a whole history and the same rows asked for live."""
    batch = compute(candles, funding)
    worst = 0.0
    for end in range(len(candles) - bars + 1, len(candles) + 1):
        live = compute(candles[end - LOOKBACK : end], funding)[-1]
        assert holes or np.isfinite(live).all(), [n for n, v in zip(NAMES, live, strict=True) if not np.isfinite(v)]
        assert np.array_equal(np.isfinite(live), np.isfinite(batch[end - 1]))
        worst = max(worst, float(np.nanmax(np.abs(live - batch[end - 1]))))
    return worst


def test_live_equals_batch_on_every_bar_of_500_of_the_synthetic_market() -> None:
    candles, funding = synthetic.generate("BTCUSDT", bars=6000, timeframe=HOUR, seed=11)
    assert live_differs_most(candles, funding, 500) <= 1e-9


def test_live_equals_batch_on_every_bar_of_500_of_real_hours(shared: Path) -> None:
    candles = history.read(shared / "data" / "BTCUSDT-spot-1h.parquet")
    funding = history.read_funding(shared / "data" / "BTCUSDT-um-funding.parquet")
    assert live_differs_most(candles, funding, 500) <= 1e-9


def test_live_equals_batch_through_the_wildest_real_hours(shared: Path) -> None:
    candles = history.read(shared / "data" / "BTCUSDT-spot-1h.parquet")
    funding = history.read_funding(shared / "data" / "BTCUSDT-um-funding.parquet")
    crash = int(np.argmin(np.diff(np.log(candles.close[20_000:24_000])))) + 20_000
    assert live_differs_most(candles[: crash + 60], funding, 120, holes=True) <= 1e-9


def test_a_feature_needs_no_more_rows_than_it_declares() -> None:
    candles, funding = synthetic.generate("BTCUSDT", bars=3000, timeframe=HOUR, seed=5)
    batch = compute(candles, funding)[-1]
    for at, feature in enumerate(FEATURES):
        exact = compute(candles[-feature.lookback :], funding, (feature.name,))[-1, 0]
        assert exact == pytest.approx(batch[at], abs=1e-9), feature.name
        if feature.lookback > 1:
            assert np.isnan(compute(candles[-feature.lookback + 1 :], funding, (feature.name,))[-1, 0]), feature.name


def test_the_past_does_not_change_when_the_future_does() -> None:
    candles, funding = synthetic.generate("BTCUSDT", bars=1500, timeframe=HOUR, seed=3)
    now = 1200
    rng = np.random.default_rng(0)
    columns = {name: getattr(candles, name).copy() for name in VALUES}
    for name in VALUES:
        columns[name][now:] *= rng.uniform(0.2, 5.0, len(candles) - now)
    columns["close"][now + 7], columns["volume"][now + 9] = np.nan, np.inf
    after = funding.time >= candles.open_time[now]
    other = Funding(funding.time, np.where(after, funding.rate * 7 + 5, funding.rate))
    before, then = compute(candles, funding), compute(with_values(candles, **columns), other)
    np.testing.assert_array_equal(before[:now], then[:now])
    assert not np.array_equal(before[now:], then[now:], equal_nan=True)


def test_funding_that_falls_due_at_the_close_is_not_known_yet() -> None:
    candles, funding = synthetic.generate("BTCUSDT", bars=1500, timeframe=HOUR, seed=3)
    at = int(np.flatnonzero(np.isin(candles.open_time + HOUR.ms, funding.time))[-1])
    due = funding.time == candles.open_time[at] + HOUR.ms
    assert due.any()
    other = Funding(funding.time, np.where(due, funding.rate + 99_999, funding.rate))
    names = tuple(n for n in NAMES if n.startswith("funding"))
    before, then = compute(candles, funding, names), compute(candles, other, names)
    np.testing.assert_array_equal(before[at], then[at])
    assert not np.array_equal(before[at + 1], then[at + 1])


def test_an_hour_of_the_synthetic_market_has_every_feature_once_the_lookback_is_there() -> None:
    candles, funding = synthetic.generate("ETHUSDT", bars=1200, timeframe=HOUR, seed=2)
    ready = rows_ready(compute(candles, funding))
    assert not ready[: LOOKBACK - 1].any()
    assert ready[LOOKBACK - 1 :].all()


def test_a_window_of_rows_is_ready_when_each_of_them_is() -> None:
    candles, funding = synthetic.generate("ETHUSDT", bars=LOOKBACK + 20, timeframe=HOUR, seed=2)
    ready = rows_ready(compute(candles, funding), window=5)
    assert int(np.flatnonzero(ready)[0]) == LOOKBACK - 1 + 4
    assert not rows_ready(compute(candles[:3], funding), window=5).any()


def test_a_hole_refuses_every_row_whose_lookback_reaches_over_it() -> None:
    candles, funding = synthetic.generate("BTCUSDT", bars=2000, timeframe=HOUR, seed=1)
    there = np.ones(len(candles), dtype=bool)
    there[900:903] = False
    holed = candles[there]
    for feature in FEATURES:
        known = np.isfinite(compute(holed, funding, (feature.name,))[:, 0])
        assert not known[900 : 900 + feature.lookback - 1].any(), feature.name
        assert known[900 + feature.lookback - 1 :].all(), feature.name
    assert unbroken(holed)[900] == 1
    # beyond the hole's reach the values are those of the whole history
    np.testing.assert_allclose(compute(holed, funding)[-1], compute(candles, funding)[-1], atol=1e-9)


def test_a_price_that_is_none_makes_rows_unready_and_heals_after_the_lookback() -> None:
    candles, funding = synthetic.generate("BTCUSDT", bars=2000, timeframe=HOUR, seed=1)
    for bad in (np.nan, 0.0, -5.0, np.inf):
        close = candles.close.copy()
        close[1000] = bad
        matrix = compute(with_values(candles, close=close), funding)
        ready = rows_ready(matrix)
        assert not ready[1000 : 1000 + LOOKBACK].any()
        assert ready[1000 + LOOKBACK :].all()
        np.testing.assert_allclose(matrix[-1], compute(candles, funding)[-1], atol=1e-9)


def test_a_missing_column_is_missed_only_by_the_features_that_need_it() -> None:
    candles, funding = synthetic.generate("BTCUSDT", bars=900, timeframe=HOUR, seed=1)
    absent = with_values(candles, taker_base=np.full(len(candles), np.nan))
    known = np.isfinite(compute(absent, funding)[-1])
    for feature, there in zip(FEATURES, known, strict=True):
        assert there == ("taker_base" not in feature.needs), feature.name
    assert set(features.available(absent, None)) == {
        f.name for f in FEATURES if not {"taker_base", "funding"} & set(f.needs)
    }
    assert np.isfinite(compute(absent, None, features.available(absent, None))[-1]).all()


def test_one_missing_taker_figure_is_not_taken_for_nothing() -> None:
    candles, funding = synthetic.generate("BTCUSDT", bars=900, timeframe=HOUR, seed=1)
    taker = candles.taker_base.copy()
    taker[800] = np.nan
    flow = column(compute(with_values(candles, taker_base=taker), funding), "taker_flow_24")
    assert np.isnan(flow[800:824]).all()
    assert np.isfinite(flow[[799, 824]]).all()


def test_a_missing_funding_instant_is_not_taken_for_nothing() -> None:
    candles, funding = synthetic.generate("BTCUSDT", bars=1500, timeframe=HOUR, seed=1)
    gone = int(np.searchsorted(funding.time, candles.open_time[1000]))
    kept = np.arange(len(funding)) != gone
    matrix = compute(candles, Funding(funding.time[kept], funding.rate[kept]))
    known = np.isfinite(column(matrix, "funding_168h"))
    hours = (candles.open_time + HOUR.ms - funding.time[gone]) / HOUR.ms
    assert not known[(hours > 8) & (hours <= 160)].any()
    assert known[hours > 168 + 8].all()
    assert known[(hours <= 0) & (np.arange(len(candles)) > 200)].all()
    assert np.isnan(compute(candles, None)[-1][[n.startswith("funding") for n in NAMES]]).all()
    assert np.isnan(compute(candles, Funding.none())[-1][[n.startswith("funding") for n in NAMES]]).all()


def test_funding_of_the_last_month_is_all_that_is_looked_at() -> None:
    candles, funding = synthetic.generate("BTCUSDT", bars=3000, timeframe=HOUR, seed=1)
    recent = funding.between(int(candles.open_time[-LOOKBACK]))
    assert np.array_equal(compute(candles, funding)[-1], compute(candles[-LOOKBACK:], recent)[-1])


@pytest.mark.parametrize("kind", ["still", "no volume", "straight line", "tiny prices", "jump"])
def test_a_strange_market_still_gives_finite_numbers(kind: str) -> None:
    bars = LOOKBACK + 50
    candles, funding = synthetic.generate("BTCUSDT", bars=bars, timeframe=HOUR, seed=1)
    flat = np.full(bars, 100.0)
    if kind == "still":
        candles = with_values(candles, open=flat, high=flat, low=flat, close=flat)
    elif kind == "no volume":
        none = np.zeros(bars)
        candles = with_values(candles, **dict.fromkeys(VALUES[4:], none))
    elif kind == "straight line":
        line = 100 * 1.001 ** np.arange(bars)
        candles = with_values(candles, open=line / 1.001, high=line, low=line / 1.001, close=line)
    elif kind == "tiny prices":
        candles = with_values(candles, **{n: getattr(candles, n) * 1e-9 for n in VALUES[:4]})
    else:
        candles = with_values(
            candles, **{n: getattr(candles, n) * np.where(np.arange(bars) > bars - 30, 40, 1) for n in VALUES[:4]}
        )
    matrix = compute(candles, funding)
    assert np.isfinite(matrix[LOOKBACK - 1 :]).all(), [
        n for n, v in zip(NAMES, matrix[-1], strict=True) if not np.isfinite(v)
    ]
    assert np.abs(matrix[LOOKBACK - 1 :]).max() < 1e7
    live = compute(candles[-LOOKBACK:], funding)[-1]
    np.testing.assert_allclose(live, matrix[-1], atol=1e-9)


def test_a_standstill_after_a_storm_is_the_same_live_and_in_batch() -> None:
    bars = 3 * LOOKBACK
    candles, funding = synthetic.generate("BTCUSDT", bars=bars, timeframe=HOUR, seed=1)
    still = np.arange(bars) >= bars - LOOKBACK - 200
    price = candles.close[np.argmax(still) - 1]
    calm = {n: np.where(still, price, getattr(candles, n)) for n in VALUES[:4]}
    assert live_differs_most(with_values(candles, **calm), funding, 200) <= 1e-9


def test_features_do_not_know_the_scale_of_prices_or_volumes() -> None:
    candles, funding = synthetic.generate("BTCUSDT", bars=900, timeframe=HOUR, seed=1)
    scaled = {n: getattr(candles, n) * 8.0 for n in VALUES[:4]} | {"quote_volume": candles.quote_volume * 8.0 * 32.0}
    scaled |= {n: getattr(candles, n) * 32.0 for n in ("volume", "taker_base")} | {"trades": candles.trades * 4.0}
    np.testing.assert_allclose(
        compute(with_values(candles, **scaled), funding)[LOOKBACK:], compute(candles, funding)[LOOKBACK:], atol=1e-8
    )


def test_standard_indicators_are_the_standard_ones() -> None:
    c, funding = synthetic.generate("BTCUSDT", bars=2500, timeframe=HOUR, seed=4)
    m, late = compute(c, funding), slice(-300, None)
    moves = 1000 + np.cumsum(np.diff(np.log(c.close), prepend=np.log(c.close[0])))  # RSI of log prices
    np.testing.assert_allclose(column(m, "rsi_14")[late], talib.RSI(moves, 14)[late] / 50 - 1, atol=1e-8)
    np.testing.assert_allclose(column(m, "cci_20")[late], talib.CCI(c.high, c.low, c.close, 20)[late] / 100, atol=1e-8)
    logs = [np.log(x) for x in (c.high, c.low, c.close)]
    fast, _ = talib.STOCHF(*logs, fastk_period=14, fastd_period=1)
    np.testing.assert_allclose(column(m, "stochastic_14")[late], fast[late] / 100, atol=1e-8)
    macd, _, hist = talib.MACD(logs[2], 12, 26, 9)
    np.testing.assert_allclose(column(m, "ema_cross_12_26")[late], macd[late], atol=1e-8)
    np.testing.assert_allclose(column(m, "macd_histogram")[late], hist[late], atol=1e-8)
    plus, minus = talib.PLUS_DI(*logs, 14)[late], talib.MINUS_DI(*logs, 14)[late]
    np.testing.assert_allclose(column(m, "directional_14")[late], (plus - minus) / (plus + minus), atol=1e-8)
    np.testing.assert_allclose(column(m, "atr_14")[late], np.log(talib.ATR(*logs, 14)[late]), atol=1e-8)
    upper, middle, _ = talib.BBANDS(logs[2], 20, 1, 1)
    z = (logs[2] - middle) / (upper - middle)
    np.testing.assert_allclose(column(m, "bollinger_20")[late], z[late], atol=1e-4)  # talib's running sums drift


def test_plain_features_are_what_they_say() -> None:
    c, funding = synthetic.generate("BTCUSDT", bars=1500, timeframe=HOUR, seed=4)
    m, at = compute(c, funding)[-1], NAMES.index
    logs, r = np.log(c.close), np.diff(np.log(c.close))
    assert m[at("return_24")] == pytest.approx(logs[-1] - logs[-25], abs=1e-9)
    assert m[at("volatility_24")] == pytest.approx(np.log(np.sqrt(np.mean(r[-24:] ** 2))), abs=1e-9)
    assert m[at("sharpe_72")] == pytest.approx(r[-72:].mean() / r[-72:].std() * np.sqrt(72), abs=1e-8)
    assert m[at("trend_24")] == pytest.approx(np.polyfit(np.arange(24), logs[-24:], 1)[0], abs=1e-9)
    assert m[at("close_rank_168")] == pytest.approx((c.close[-168:-1] < c.close[-1]).mean(), abs=5e-3)
    assert m[at("taker_flow_24")] == pytest.approx(2 * c.taker_base[-24:].sum() / c.volume[-24:].sum() - 1, abs=1e-9)
    vwap = c.quote_volume[-24:].sum() / c.volume[-24:].sum()
    assert m[at("vwap_distance_24")] == pytest.approx(np.log(c.close[-1] / vwap), abs=1e-9)
    signs = np.sign(r)
    run = 0
    while run < 12 and signs[-1 - run] == signs[-1]:
        run += 1
    assert m[at("streak")] == run * signs[-1]
    closed = c.open_time[-1] + HOUR.ms
    known = funding.time < closed
    assert m[at("funding_last")] == pytest.approx(funding.rate[known][-1] / 1e4, abs=1e-9)
    day = known & (funding.time >= closed - 86_400_000)
    assert m[at("funding_24h")] == pytest.approx(funding.rate[day].sum() / 1e4, abs=1e-9)
    recent = funding.rate[known & (funding.time >= closed - 720 * HOUR.ms)] / 1e4
    assert m[at("funding_score_720h")] == pytest.approx(
        (recent[-1] - recent.mean()) / max(recent.std(), 0.01), abs=1e-8
    )


def test_no_candles_give_no_rows() -> None:
    candles, funding = synthetic.generate("BTCUSDT", bars=10, timeframe=HOUR, seed=6)
    assert compute(candles[:0], funding).shape == (0, len(FEATURES))
    assert unbroken(candles[:0]).shape == (0,)
    assert features.available(candles[:0], funding) == ()
    assert np.isnan(compute(candles[:1], funding)[0, NAMES.index("return_1")])


def test_a_list_of_features_that_cannot_be_used_is_refused() -> None:
    candles, _ = synthetic.generate("BTCUSDT", bars=10, timeframe=HOUR, seed=6)
    with pytest.raises(FeatureError, match="unknown features retrun_1"):
        compute(candles, None, ("retrun_1",))
    with pytest.raises(FeatureError, match="none twice"):
        schema_hash(("return_1", "return_1"))
    with pytest.raises(FeatureError, match="at least one"):
        required_lookback(())


def test_the_hash_of_a_schema_depends_on_order_and_version() -> None:
    assert schema_hash(("return_1", "return_2")) != schema_hash(("return_2", "return_1"))
    one = features.REGISTRY.chosen(("return_1",))[0]
    assert features.Registry([replace(one, version=2)]).schema_hash() != features.Registry([one]).schema_hash()


def test_a_recursive_average_has_forgotten_what_came_before_its_lookback() -> None:
    for span in (9, 12, 26, 27, 50):
        assert (1 - 2 / (span + 1)) ** (ema_lookback(span) - span) <= 1e-12
