"""Splits: nothing that is judged lies within a label's reach of what it was fitted on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from training.splits import PurgedTimeSeriesSplit, SplitError, hold_back, honest_slices


@given(st.integers(1200, 30_000), st.integers(0, 2000), st.integers(1, 36))
def test_the_four_slices_are_in_order_with_a_purge_between(bars: int, first: int, purge: int) -> None:
    slices = honest_slices(first, first + bars, (0.6, 0.1, 0.15, 0.15), purge)
    parts = [part for _, part in slices.items()]
    assert parts[0].start == first
    assert parts[-1].stop == first + bars
    for before, after in pairwise(parts):
        assert after.start - before.stop == purge
        # the last label before the gap reaches no bar after it
        assert before[-1] + purge < after[0]


def test_too_few_bars_for_a_slice_are_named_with_the_slice() -> None:
    with pytest.raises(SplitError, match="early-stop slice; it needs at least 48"):
        honest_slices(0, 400, (0.6, 0.1, 0.15, 0.15), 24)


@given(st.data())
def test_folds_are_purged_in_bars_even_where_rows_were_dropped(data: st.DataObject) -> None:
    seed, purge, folds = data.draw(st.integers(0, 99)), data.draw(st.integers(1, 30)), data.draw(st.integers(2, 5))
    kept = np.flatnonzero(np.random.default_rng(seed).random(900) > 0.4) + 137
    judged_before = -1
    for fit, judged in PurgedTimeSeriesSplit(folds, purge).split(kept, groups=kept):
        assert kept[judged[0]] - kept[fit[-1]] > purge
        assert kept[fit[0]] == kept[0], "folds expand from the first row"
        assert kept[judged[0]] > judged_before, "a row is judged once"
        judged_before = kept[judged[-1]]
    assert judged_before == kept[-1]


def test_folds_follow_the_scikit_learn_contract() -> None:
    draws = np.random.default_rng(3)
    features = draws.normal(size=(600, 2))
    labels = (features[:, 0] + draws.normal(size=600) > 0).astype(int)
    splitter = PurgedTimeSeriesSplit(4, 10)
    assert splitter.get_n_splits() == 4
    assert cross_val_score(LogisticRegression(), features, labels, cv=splitter, scoring="roc_auc").min() > 0.6


def test_holding_back_for_early_stopping_leaves_a_purge() -> None:
    fit, stop = hold_back(np.arange(1000, 2000), 0.2, 24)
    assert (fit[0], fit[-1], stop[0], stop[-1]) == (1000, 1775, 1800, 1999)
    with pytest.raises(SplitError, match="give more bars"):
        hold_back(np.arange(20), 0.5, 24)
