"""Ridge: the linear scores of baselines, fitted: in training on the rows members are fitted on, and in an evaluation of
a set that carries none on bars before the judged ones.

How a fitted score is computed is `models.baselines`' alone: evidence, gate and evaluation mean the same score.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.linear_model import LogisticRegression

from market.candles import Floats, Ints
from models.baselines import Baselines, LinearScore, RegimeScore
from models.manifest import REGIMES

CLIP = 5.0
C_FEATURES, C_CLOCK, C_REGIME = 0.01, 0.001, 0.03
"""Inverse strengths of the ridge. Those of the clock were best on real hours, and as hard to beat as LightGBM on the
same columns."""


class FitError(ValueError):
    """Rows that no baseline can be fitted on."""


def fit(matrix: Floats, clock: Floats, questions: Mapping[str, Floats], regimes: Floats, rows: Ints) -> Baselines:
    """Every baseline, fitted on those of the `rows` whose columns and outcome are known.

    Parameters
    ----------
    matrix : (N, F) float64
        The members' features.
    clock : (N, K) float64
        `models.baselines.volatility_and_clock`.
    questions : mapping
        ``5/long`` -> outcome (N,) 0 or 1, NaN where unknown.
    regimes : (N,) float64
        Regime to come: 0, 1, 2 or NaN.
    rows : (n,) int
        Which rows.

    Raises
    ------
    FitError
        If the rows know one outcome alone, or have no whole row of columns.
    """
    plain, spans = _Columns(matrix, rows), _Columns(clock, rows)
    known = regimes[rows][~np.isnan(regimes[rows])].astype(np.int64)
    shares = np.bincount(known, minlength=len(REGIMES)) / max(1, len(known))
    return Baselines(
        direction={
            key: {
                "logistic": plain.score(outcome, key, C_FEATURES),
                "volatility_and_clock": spans.score(outcome, key, C_CLOCK),
            }
            for key, outcome in questions.items()
        },
        base_rate={key: float(np.nanmean(outcome[rows])) for key, outcome in questions.items()},
        regime={"har_and_calendar": spans.regime(regimes)},
        regime_shares=(float(shares[0]), float(shares[1]), float(shares[2])),
    )


def fit_regime(columns: Floats, regimes: Floats, rows: Ints) -> RegimeScore:
    """The score of low, mid and high on columns (N, K), fitted on those of the `rows` that are whole and known.

    Raises
    ------
    FitError
        As `fit`.
    """
    return _Columns(columns, rows).regime(regimes)


class _Columns:
    """Columns centred, scaled and clipped by the rows that are fitted on."""

    def __init__(self, matrix: Floats, rows: Ints) -> None:
        self.rows = rows[np.isfinite(matrix[rows]).all(axis=1)]
        if not len(self.rows):
            raise FitError("no row has every column of the baselines; give more bars, or fill the gaps")
        chosen = matrix[self.rows]
        self.center, spread = chosen.mean(axis=0), chosen.std(axis=0)
        self.scale = np.where(spread > 1e-12, spread, 1.0)
        self.inputs = np.clip((chosen - self.center) / self.scale, -CLIP, CLIP)

    def score(self, outcome: Floats, key: str, strength: float) -> LinearScore:
        """The logit of outcome 1."""
        regression = self._regression(outcome, key, 2, strength)
        return self._linear(regression.coef_[0], regression.intercept_[0])

    def regime(self, regimes: Floats) -> RegimeScore:
        """Multinomial, over low, mid and high."""
        found = self._regression(regimes, "the regime", len(REGIMES), C_REGIME)
        low, mid, high = (self._linear(found.coef_[k], found.intercept_[k]) for k in range(len(REGIMES)))
        return RegimeScore(low=low, mid=mid, high=high)

    def _regression(self, outcome: Floats, key: str, classes: int, strength: float) -> LogisticRegression:
        known = ~np.isnan(outcome[self.rows])
        told = outcome[self.rows][known]
        if len(np.unique(told)) < classes:
            raise FitError(
                f"{len(told)} rows know {len(np.unique(told))} of {classes} outcomes of {key}; give more bars"
            )
        # Newton takes five steps where L-BFGS takes a hundred; before scikit-learn 1.6 it knew two classes alone.
        solver = "newton-cholesky" if classes == 2 else "lbfgs"
        return LogisticRegression(C=strength, max_iter=300, solver=solver).fit(self.inputs[known], told)

    def _linear(self, coefficients: Floats, intercept: float) -> LinearScore:
        return LinearScore(
            center=tuple(self.center.tolist()),
            scale=tuple(self.scale.tolist()),
            clip=CLIP,
            coefficients=tuple(coefficients.tolist()),
            intercept=float(intercept),
        )
