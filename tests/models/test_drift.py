"""Drift: the index against a plain computation, limits that hold, and a shifted market that is seen."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import features
from models.drift import stability
from models.drift.judging import ABSENT, Watched
from models.drift.limits import Plan, Stability, limits
from models.drift.making import standing, unchanged
from models.drift.reference import FILE, Reference, read, recorded, to_bytes
from models.modelset import ModelSet, ModelSetError, save
from tests.models.drift_world import TRAIN, WINDOW, World

numbers = st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(float("nan"))), min_size=1, max_size=200)


def plain_psi(reference: list[float], window: list[float], cuts: tuple[float, ...]) -> float:
    """The index bin by bin, as a textbook writes it, with the same care for empty bins."""
    bounds = [-np.inf, *cuts, np.inf]
    kinds = [*itertools.pairwise(bounds), None]

    def counts(values: list[float]) -> list[int]:
        told = [sum(1 for v in values if np.isfinite(v) and low <= v < high) for low, high in kinds[:-1]]
        return [*told, sum(1 for v in values if not np.isfinite(v))]

    then, now = counts(reference), counts(window)
    total = 0.0
    for e, a in zip(then, now, strict=True):
        expected = (e + 0.5) / (len(reference) + 0.5 * len(then))
        actual = (a + expected) / (len(window) + 1)
        total += (actual - expected) * np.log(actual / expected)
    return total


def index(reference: list[float], window: list[float]) -> float:
    then, now = np.array(reference), np.array(window)
    cuts = stability.edges(then)
    bins = stability.bins_of(cuts)
    shares = stability.expected(stability.counted(stability.binned(then, cuts), bins))
    return float(stability.psi(stability.counted(stability.binned(now, cuts), bins), shares))


@given(numbers, numbers)
def test_the_index_is_the_textbooks(reference: list[float], window: list[float]) -> None:
    cuts = stability.edges(np.array(reference))
    assert index(reference, window) == pytest.approx(plain_psi(reference, window, cuts), abs=1e-9)


@given(numbers, numbers)
def test_the_index_is_never_negative_and_knows_no_order(reference: list[float], window: list[float]) -> None:
    found = index(reference, window)
    assert found >= -1e-12
    assert index(reference, window[::-1]) == pytest.approx(found, abs=1e-12)


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=200), st.integers(1, 9))
def test_units_do_not_matter(values: list[int], factor: int) -> None:
    half = len(values) // 2
    then, now = [float(v) for v in values[:half] or values], [float(v) for v in values[half:]]
    assert index(then, now) == pytest.approx(index([v * factor for v in then], [v * factor for v in now]), abs=1e-9)


def test_missing_values_are_a_bin_of_their_own() -> None:
    values = np.random.default_rng(1).normal(size=5_000).tolist()
    assert index(values, values[:500]) < 0.05
    assert index(values, [float("nan")] * 50 + values[:450]) > 0.3


def test_values_in_a_row_without_a_change_are_counted_up_to_each() -> None:
    column = np.array([1.0, 1.0, 2.0, np.nan, 2.0, 2.0, 2.0])
    assert [standing(column[:end]) for end in range(1, 8)] == [1, 2, 1, 0, 1, 2, 3]
    assert unchanged(np.array([1.0, 1.0, 2.0, np.nan, 2.0, 2.0, 2.0])).tolist() == [1, 2, 1, 0, 1, 2, 3]


@given(st.integers(0, 2**31))
@settings(max_examples=5, deadline=None)
def test_a_column_without_drift_stays_within_its_limit_as_often_as_stated(seed: int) -> None:
    """White noise, of which the bootstrap knows everything: the rate is 10 %, and 60 periods are drawn."""
    draw = np.random.default_rng(seed)
    cuts = stability.edges(draw.normal(size=4_000))
    codes = stability.binned(draw.normal(size=4_000), cuts)[:, None]
    shares = stability.expected(stability.counted(codes[:, 0], stability.bins_of(cuts)))
    plan = Plan((168,), 6, 720, 24, 300, 1)
    limit = limits(Stability(("x",), codes, (len(shares),)), plan, 0.10)[168][0]
    alarms = 0
    for _ in range(60):
        fresh = stability.binned(draw.normal(size=888), cuts)[:, None]
        told = Stability(("x",), fresh, (len(shares),))
        values = told.values(plan.sliding(told.chunks(np.arange(888), 6), 168), 168, shares)
        alarms += bool((values > limit).any())
    assert alarms <= 15  # 6 are expected; more than 15 of 60 come once in 3,000 seeds


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World().ready(tmp_path_factory.mktemp("sets"))


def test_a_reference_is_small_and_says_how_often_it_errs(world: World) -> None:
    content = to_bytes(world.reference)
    assert len(content) < 40_000
    assert (world.reference.rate, world.reference.period, world.reference.every) == (0.10, 2160, 6)
    assert set(world.reference.features) == set(world.manifest.features.names)


def test_the_same_market_is_within_all_limits(world: World) -> None:
    for end in (world.first + 4_000, len(world.candles) - 1):
        found = world.judged(world.watched(end))
        assert not found.beyond, [str(f) for f in found.beyond]
        assert not found.waiting


def test_a_set_keeps_its_reference_and_gives_it_back(world: World, tmp_path: Path) -> None:
    assert read(world.saved(tmp_path)) == world.reference


def test_a_set_without_one_is_not_judged_and_keeps_its_bytes(world: World, tmp_path: Path) -> None:
    assert "drift" not in world.manifest.model_dump(mode="json")
    assert read(ModelSet.load(save(world.manifest, world.files, tmp_path))) is None


def test_a_reference_of_other_features_is_refused(world: World, tmp_path: Path) -> None:
    told = world.reference.model_dump(mode="json")
    told["features"].pop("return_1")
    content = to_bytes(Reference.model_validate(told))
    manifest = world.manifest.model_copy(update={"drift": recorded(content, TRAIN)})
    model_set = ModelSet.load(save(manifest, {**world.files, FILE: content}, tmp_path))
    with pytest.raises(ModelSetError, match="of other features than it reads"):
        read(model_set)


def test_constant_answers_are_found_within_a_day(world: World) -> None:
    rows = world.watched(world.first + 4_000)
    rows.outputs[-24:] = rows.outputs[-24]
    found = {f.name for f in world.judged(rows).beyond}
    assert "unchanged/predictions/5/long" in found


def test_answers_that_are_missing_are_found_within_half_a_day(world: World) -> None:
    rows = world.watched(world.first + 4_000)
    rows.outputs[-13:] = np.nan
    assert ABSENT in {f.name for f in world.judged(rows).beyond}


def test_a_feature_that_died_is_found_though_its_values_are_likely_ones(world: World) -> None:
    rows = world.watched(world.first + 4_000)
    at = world.manifest.features.names.index("return_1")
    rows.features[-24:, at] = rows.features[-24, at]
    assert "unchanged/features/return_1" in {f.name for f in world.judged(rows).beyond}


def test_outcomes_that_came_the_other_way_round_are_found(world: World) -> None:
    rows = world.watched(world.first + 4_000)
    said = {k: v.copy() for k, v in zip(world.names, rows.outputs.T, strict=True)}
    rows.outputs[:, world.names.index("12/long")] = np.where(said["12/long"] > 0.3, 0.02, 0.98)
    assert "brier/12/long" in {f.name for f in world.judged(rows).beyond}


def test_a_window_that_is_not_filled_waits_and_says_for_what(world: World) -> None:
    found = world.judged(world.watched(world.first + 4_000, many=100))
    assert found.waiting["features"] == "100 of 168 candles"
    assert "100 of 168" in found.waiting["predictions"]
    assert not found.windows


def test_shorter_windows_serve_until_the_longest_is_filled(world: World) -> None:
    found = world.judged(world.watched(world.first + 4_000, many=400), window=720)
    assert found.windows["features"] == 336


def test_what_another_set_said_is_not_held_against_this_one(world: World) -> None:
    rows = world.watched(world.first + 4_000)
    found = world.judged(Watched(rows.open_time, rows.close, rows.features, rows.outputs, own=20))
    assert set(found.windows) == {"features"}


def test_too_few_rows_make_no_limits_and_the_reference_says_so(world: World) -> None:
    short = world.refer(slice(world.first, world.first + 500))
    limits_of = short.for_window(720)
    assert limits_of is not None
    assert limits_of.lacking["features"] == "500 rows are too few for windows of 720 candles and blocks of 168"


def test_volatility_that_doubled_is_seen_within_the_window(world: World) -> None:
    rows = world.watched(world.first + 4_000)
    returns = np.diff(np.log(world.candles.close))
    close = np.exp(np.concatenate([[0.0], np.cumsum(4 * returns)])) * world.candles.close[0]
    high = np.exp(np.log(close) + 4 * np.log(world.candles.high / world.candles.close))
    low = np.exp(np.log(close) + 4 * np.log(world.candles.low / world.candles.close))
    opened = np.exp(np.log(close) + 4 * np.log(world.candles.open / world.candles.close))
    shaken = replace(world.candles, open=opened, high=high, low=low, close=close)
    matrix = features.compute(shaken, world.funding, world.manifest.features.names)
    end = world.first + 4_000
    shaken_rows = Watched(rows.open_time, rows.close, matrix[end - 2 * WINDOW : end], rows.outputs, rows.own)
    found = world.judged(shaken_rows, window=2 * WINDOW)
    moves = ("features/greatest_move_24", "features/return_1", "features/volatility_6", "features/jumps_24")
    assert {f.name for f in found.beyond} & set(moves)


def test_what_remembers_itself_for_long_is_not_judged_by_its_distribution(world: World) -> None:
    columns = world.reference.features
    assert columns["volatility_720"].memory > 42 > columns["return_1"].memory
    limits_of = world.reference.for_window(WINDOW)
    assert limits_of is not None
    assert "features/volatility_720" not in limits_of.of
    assert "unchanged/features/volatility_720" in {f.name for f in world.judged(world.watched(4_000)).findings}
