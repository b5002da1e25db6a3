"""LightGBM members: one booster for each horizon and side, and one for the volatility regime.

Everything that could differ between two runs is pinned: seeds, row order, the histogram's layout. Threads do not change
the result. Labels are 0 or 1, and raw scores are logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np

from market.candles import Floats, Ints
from training.member_spec import LightGBMSpec

REGIMES = 3
PLAIN = LightGBMSpec(
    learning_rate=0.1, leaves=31, min_leaf=20, feature_fraction=1.0, row_fraction=1.0, l1=0.0, l2=0.0, rounds=100
)
"""LightGBM's own defaults, but for early stopping and coarser bins: what the regularised settings are compared with."""


@dataclass(frozen=True)
class Rows:
    """What a booster is fitted on: the feature matrix, the labels, and which rows fit and which stop.

    Attributes
    ----------
    matrix : (N, F) float64
        Raw features; trees need no scaler.
    labels : (N,) float64
        Class numbers, NaN where unknown.
    fit, stop : (n,) int
        Rows to grow on, and rows that end the growing.
    names : tuple of str
        Feature names, F of them.
    """

    matrix: Floats
    labels: Floats
    fit: Ints
    stop: Ints
    names: tuple[str, ...]


class LabelError(ValueError):
    """Labels a model cannot be fitted on."""


def settings_of(spec: LightGBMSpec) -> dict[str, Any]:
    """What of a section a booster depends on."""
    return spec.model_dump(mode="json", exclude={"compare_plain", "search"})


def grow_binary(rows: Rows, spec: LightGBMSpec, seed: int, threads: int) -> lgb.Booster:
    """A booster whose raw score is the logit of label 1.

    Raises
    ------
    LabelError
        If the fitting rows know fewer than two classes, or the stopping rows none.
    """
    return _grow(rows, spec, {"objective": "binary", "metric": "binary_logloss"}, 2, seed, threads)


def grow_regime(rows: Rows, spec: LightGBMSpec, seed: int, threads: int) -> lgb.Booster:
    """A booster for P(low), P(mid), P(high volatility).

    Raises
    ------
    LabelError
        If the fitting rows do not know all three regimes, or the stopping rows none.
    """
    objective = {"objective": "multiclass", "num_class": REGIMES, "metric": "multi_logloss"}
    return _grow(rows, spec, objective, REGIMES, seed, threads)


def raw_scores(booster: lgb.Booster, matrix: Floats, threads: int) -> Floats:
    """Logits (n,) of a binary booster for feature rows (n, F)."""
    scores: Floats = booster.predict(matrix, raw_score=True, num_threads=threads)
    return scores


def text_of(booster: lgb.Booster) -> str:
    """The booster as LightGBM text, without the trees grown after the best one."""
    text: str = booster.model_to_string(num_iteration=booster.best_iteration)
    return text


def _grow(
    rows: Rows, spec: LightGBMSpec, objective: dict[str, Any], classes: int, seed: int, threads: int
) -> lgb.Booster:
    fit, stop = rows.fit[~np.isnan(rows.labels[rows.fit])], rows.stop[~np.isnan(rows.labels[rows.stop])]
    found = np.unique(rows.labels[fit])
    if len(found) < classes or not len(stop):
        raise LabelError(
            f"the {len(fit)} fitting rows hold {len(found)} of {classes} classes, with {len(stop)} rows to stop on; "
            f"give more bars"
        )
    data = lgb.Dataset(rows.matrix[fit], rows.labels[fit], feature_name=list(rows.names), free_raw_data=True)
    watch = lgb.Dataset(rows.matrix[stop], rows.labels[stop], reference=data)
    settings = objective | {
        "learning_rate": spec.learning_rate,
        "num_leaves": spec.leaves,
        "min_data_in_leaf": min(spec.min_leaf, max(20, len(fit) // 20)),
        "feature_fraction": spec.feature_fraction,
        "bagging_fraction": spec.row_fraction,
        "bagging_freq": 1,
        "lambda_l1": spec.l1,
        "lambda_l2": spec.l2,
        "max_bin": 63,  # finer bins split noise
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": threads,
        "verbosity": -1,
    }
    quiet = lgb.early_stopping(spec.patience, verbose=False)
    return lgb.train(settings, data, spec.rounds, valid_sets=[watch], callbacks=[quiet])
