"""What a set was made of is not judged: neither by accident nor by default, and never without being said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from market import synthetic
from market.candles import Candles
from market.timeframes import utc_text
from models.evaluation.data import DataError, History
from models.evaluation.overlap import judged
from models.inference import Predictor
from models.known_market import another_market
from models.manifest import Manifest
from models.modelset import resolve
from tests.models import judged_sets
from tests.models.judged_sets import BARS, CALIBRATED, MADE_OF, PURGE, TEST_END, Judged
from tests.models.small_sets import HOUR

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """A set made of the first bars of a market."""
    return judged_sets.make(tmp_path_factory.mktemp("made"), judged_sets.market(), complete=False)


@pytest.fixture
def manifest(made: Judged) -> Manifest:
    return made.predictor.manifest


@pytest.fixture
def history(made: Judged) -> History:
    return History("BTCUSDT", Path("BTCUSDT-1h.parquet"), "", made.candles, made.funding)


def at(history: History, row: int) -> int:
    return int(history.candles.open_time[row])


def test_by_default_judging_begins_a_purge_after_what_the_set_was_made_of(manifest: Manifest, history: History) -> None:
    found = judged(manifest, history, None, None)
    assert found.start == at(history, CALIBRATED + PURGE)
    assert found.end == at(history, BARS - 1) + HOUR_MS
    assert found.overlap == "its own test slice"  # it may be judged, and is named
    assert "judged from" in found.warnings[0]
    assert "test slice" in found.warnings[1]


def test_after_its_test_slice_nothing_overlaps(manifest: Manifest, history: History) -> None:
    found = judged(manifest, history, at(history, TEST_END), None)
    assert (found.overlap, found.warnings) == ("none", ())


@pytest.mark.parametrize(
    ("row", "named"),
    [
        (0, ("train (", "calibrate (")),
        (MADE_OF + PURGE - 1, ("train (", "calibrate (")),  # within the purge after the train slice
        (MADE_OF + 3 * PURGE, ("calibrate (",)),
        (CALIBRATED, ("calibrate (",)),
        (CALIBRATED + PURGE - 1, ("calibrate (",)),
    ],
)
def test_a_range_that_overlaps_is_refused_with_the_slices_and_the_way_out(
    manifest: Manifest, history: History, row: int, named: tuple[str, ...]
) -> None:
    with pytest.raises(DataError) as refused:
        judged(manifest, history, at(history, row), None)
    text = str(refused.value)
    for words in (*named, "--allow-overlap", f"--from {utc_text(at(history, CALIBRATED + PURGE)).removesuffix('Z')}"):
        assert words in text
    if row >= MADE_OF + PURGE:
        assert "train (" not in text
    assert refused.value.exit_code == 7


def test_a_file_that_ends_with_what_the_set_was_made_of_asks_for_later_data(
    manifest: Manifest, history: History
) -> None:
    with pytest.raises(DataError, match="give later data, or say --allow-overlap"):
        judged(manifest, replace(history, candles=history.candles[:MADE_OF]), None, None)


def test_a_range_that_ends_before_later_bars_is_told_to_begin_there(manifest: Manifest, history: History) -> None:
    with pytest.raises(DataError, match="--from"):
        judged(manifest, history, None, at(history, MADE_OF))


def test_with_leave_everything_is_judged_and_the_report_says_what_it_saw(manifest: Manifest, history: History) -> None:
    found = judged(manifest, history, None, None, allow=True)
    assert found.start == at(history, 0)
    assert found.overlap == "train, calibrate (allowed)"
    assert "flatter" in found.warnings[0]


def test_bars_well_before_the_training_are_unseen_and_bars_within_a_purge_of_it_are_not(
    manifest: Manifest, history: History
) -> None:
    early = 200 - PURGE
    assert judged(manifest, history, at(history, 0), at(history, early)).overlap == "none"
    with pytest.raises(DataError, match="train"):
        judged(manifest, history, at(history, 0), at(history, early + 1))


def test_another_symbol_of_the_same_time_is_judged_with_a_warning(manifest: Manifest, history: History) -> None:
    other = replace(history, symbol="ETHUSDT")
    found = judged(manifest, other, None, None)
    assert found.overlap == "other symbol, same time"
    assert found.start == at(history, 0)
    assert "coins move together" in found.warnings[0]
    later = judged(manifest, other, at(history, TEST_END), None)
    assert (later.overlap, later.warnings) == ("none", ())


def test_no_bar_in_the_range_is_told_with_what_the_file_holds(manifest: Manifest, history: History) -> None:
    with pytest.raises(DataError, match="it holds 2024-01-01T00:00Z to"):
        judged(manifest, history, at(history, BARS - 1) + HOUR_MS, None)


def starter_history(candles: Candles, symbol: str = "BTCUSDT") -> History:
    return History(symbol, Path("x.parquet"), "", candles, None)


def test_the_starter_set_has_seen_its_own_synthetic_market_and_no_other() -> None:
    manifest = Predictor.load(resolve("starter")).manifest
    own, _ = synthetic.generate("BTCUSDT", bars=26_000, timeframe=HOUR, seed=7)
    real_prices = replace(own, close=own.close * 1.0001)  # another market's, over the same time
    assert not another_market(manifest, "BTCUSDT", own)
    assert another_market(manifest, "BTCUSDT", real_prices)
    with pytest.raises(DataError, match="train"):
        judged(manifest, starter_history(own), int(own.open_time[0]), None)
    found = judged(manifest, starter_history(real_prices), None, None)
    assert found.overlap == "none"
    assert found.start == own.open_time[0]
    assert "nothing of it was seen" in found.warnings[0]
    assert another_market(manifest, "1000PEPEUSDC", own)  # the synthetic market lists no such symbol
    sibling, _ = synthetic.generate("ETHUSDT", bars=2000, timeframe=HOUR, seed=7)
    assert judged(manifest, starter_history(sibling, "ETHUSDT"), None, None).overlap == "other symbol, same time"


def test_where_the_manifest_does_not_say_how_its_market_was_made_it_counts_as_the_same(
    manifest: Manifest, history: History
) -> None:
    other = replace(history.candles, close=history.candles.close * 1.5, high=history.candles.high * 2)
    assert manifest.data.venue == "synthetic"
    assert not another_market(manifest, "BTCUSDT", other)
    assert np.isfinite(other.close).all()
