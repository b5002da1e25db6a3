"""Rivals: the baselines a set is measured against, scored on the very rows it is judged on.

They come fitted with the set. For a set made before sets carried them, they are fitted on bars of the file that lie
before the judged range, a purge away; nothing is ever fitted on what is judged.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from market.candles import Candles, Floats, Ints
from models import baselines
from models.baselines import Baselines, LinearScore, RegimeScore
from models.evaluation.data import History
from models.evaluation.outcomes import outcomes, questions, regimes
from models.evaluation.overlap import Judged
from models.inference import Predictor
from models.logits import sigmoid
from models.manifest import REGIMES, Manifest

REVERSAL, LOGISTIC, VOLATILITY, BASE_RATE = "minus_24h_return", "logistic", "volatility_and_clock", "base_rate"
RIVALS = (REVERSAL, LOGISTIC, VOLATILITY, BASE_RATE)
HAR, PERSISTENCE, MAJORITY = "har_and_calendar", "persistence", "majority"
LEAST_ROWS = 2000
"""Rows before the judged range that a baseline can be fitted on."""
MOST_ROWS = 20_000
"""The last so many are used: enough for a straight line, and fitted in two seconds."""
_WEAK, _STRONG = 0.01, 1.0
"""Inverse of the ridge: many noisy features, and a few good columns."""
_CLIP, _NEVER = 5.0, -30.0


@dataclass(frozen=True)
class Rivals:
    """What the baselines say of each of a history's N bars.

    Attributes
    ----------
    known : (N,) bool
        Bars of which every baseline there is says something.
    scores : dict
        ``5/long`` -> baseline -> (N,) score, the higher the likelier.
    probabilities : dict
        The same for those that are probabilities.
    har : (N, 3) float64 or None
        Regime probabilities.
    shares : tuple of float or None
        How often each regime came where the baselines were fitted.
    persistence : (N,) float64
        The regime of the bars just past.
    origin : str
        Where they were fitted.
    reason : str
        Why some are missing; empty if none is.
    """

    known: NDArray[np.bool_]
    persistence: Floats
    origin: str
    reason: str = ""
    scores: dict[str, dict[str, Floats]] = field(default_factory=dict)
    probabilities: dict[str, dict[str, Floats]] = field(default_factory=dict)
    har: Floats | None = None
    shares: tuple[float, ...] | None = None

    def score(self, name: str, key: str, rows: Ints) -> Floats | None:
        """Scores (n,) of a baseline for these rows; None if there is no such baseline."""
        found = self.scores.get(key, {}).get(name)
        return None if found is None else found[rows]

    def probability(self, name: str, key: str, rows: Ints) -> Floats | None:
        """Probabilities (n,) of a baseline that gives some."""
        found = self.probabilities.get(key, {}).get(name)
        return None if found is None else found[rows]

    def regimes(self, rows: Ints) -> dict[str, tuple[Ints | None, Floats | None]]:
        """Baseline of the regime -> the regimes it names (n,) and their probabilities (n, 3), as far as it has them."""
        har = None if self.har is None else self.har[rows]
        majority = None if self.shares is None else np.tile(self.shares, (len(rows), 1))
        return {
            HAR: (None if har is None else har.argmax(axis=1), har),
            PERSISTENCE: (self.persistence[rows].astype(np.int64), None),
            MAJORITY: (None if majority is None else majority.argmax(axis=1), majority),
        }


def rivals(predictor: Predictor, history: History, range_: Judged) -> Rivals:
    """The baselines of a set over a history."""
    manifest, candles = predictor.manifest, history.candles
    matrix = predictor.matrix(candles, history.funding)
    past = baselines.persistence(candles, manifest.data.labels.regime_horizon, manifest.ensemble.regime_edges)
    reversal = baselines.minus_24h_return(candles)
    sound = np.isfinite(reversal) & np.isfinite(past)
    fitted, origin, reason = manifest.baselines, "what the set was trained on", ""
    if fitted is None:
        fit, origin, reason = _rows_before(predictor, history, range_, matrix, sound)
        fitted = None if reason else fit_baselines(manifest, candles, matrix, fit)
    if fitted is None:
        turned = {key: {REVERSAL: -reversal if key.endswith("/short") else reversal} for key in questions(manifest)}
        return Rivals(sound, past, "none", reason, turned)
    clock = baselines.volatility_and_clock(candles)
    scores = baselines.direction_scores(fitted, candles, matrix)
    probabilities = {}
    for key, by_name in scores.items():
        by_name[BASE_RATE] = np.full(len(candles), fitted.base_rate[key])
        probabilities[key] = {LOGISTIC: sigmoid(by_name[LOGISTIC]), VOLATILITY: sigmoid(by_name[VOLATILITY])}
        probabilities[key][BASE_RATE] = by_name[BASE_RATE]
    return Rivals(
        known=sound & np.isfinite(clock).all(axis=1),
        persistence=past,
        origin=origin,
        scores=scores,
        probabilities=probabilities,
        har=fitted.regime["har_and_calendar"].probabilities(clock),
        shares=fitted.regime_shares,
    )


def _rows_before(
    predictor: Predictor, history: History, range_: Judged, matrix: Floats, sound: NDArray[np.bool_]
) -> tuple[Ints, str, str]:
    """Rows of the file that baselines can be fitted on, what they are, and why they are too few."""
    manifest, candles = predictor.manifest, history.candles
    before = candles.open_time < range_.start - manifest.data.purge * candles.timeframe.ms
    told = np.column_stack([*outcomes(manifest, candles).values(), regimes(manifest, candles)])
    clock = baselines.volatility_and_clock(candles)
    complete = np.isfinite(np.column_stack([told, clock])).all(axis=1)
    rows = np.flatnonzero(before & sound & complete & predictor.ready(candles, matrix))
    if len(rows) >= LEAST_ROWS:
        rows = rows[-MOST_ROWS:]
        return rows, f"{len(rows):,} bars of the file before the judged range", ""
    return (
        rows,
        "none",
        (
            f"the set is older than fitted baselines, and the file has {len(rows):,} usable bars before the judged "
            f"range to fit them on ({LEAST_ROWS:,} needed): begin later with --from, or train the set again"
        ),
    )


def fit_baselines(manifest: Manifest, candles: Candles, matrix: Floats, rows: Ints) -> Baselines:
    """Fit every baseline to some rows of a history, as a set carries them.

    Parameters
    ----------
    matrix : (N, F) float64
        The set's features of the candles.
    rows : (n,) int64
        Rows at which features, labels and spans are all known.
    """
    clock = baselines.volatility_and_clock(candles)
    came, regime = outcomes(manifest, candles), regimes(manifest, candles)[rows].astype(np.int64)
    shares = np.bincount(regime, minlength=len(REGIMES)) / len(rows)
    return Baselines(
        direction={
            key: {
                "logistic": _line(matrix[rows], outcome[rows], _WEAK),
                "volatility_and_clock": _line(clock[rows], outcome[rows], _STRONG),
            }
            for key, outcome in came.items()
        },
        base_rate={key: float(outcome[rows].mean()) for key, outcome in came.items()},
        regime={"har_and_calendar": _classes(clock[rows], regime)},
        regime_shares=(float(shares[0]), float(shares[1]), float(shares[2])),
    )


def _line(inputs: Floats, outcome: Floats, strength: float) -> LinearScore:
    """Logistic regression of an outcome on scaled and clipped columns."""
    scaler = StandardScaler().fit(inputs)
    scaled = np.clip(scaler.transform(inputs), -_CLIP, _CLIP)
    if outcome.min() == outcome.max():  # nothing to tell apart
        return _score(scaler, np.zeros(inputs.shape[1]), _NEVER if outcome[0] == 0 else -_NEVER)
    found = LogisticRegression(C=strength, solver="newton-cholesky").fit(scaled, outcome)
    return _score(scaler, found.coef_[0], float(found.intercept_[0]))


def _classes(inputs: Floats, regime: Ints) -> RegimeScore:
    """Multinomial regression of the regime; one that never came gets next to no probability."""
    scaler = StandardScaler().fit(inputs)
    coefficients, intercepts = np.zeros((len(REGIMES), inputs.shape[1])), np.full(len(REGIMES), _NEVER)
    there = np.unique(regime)
    if len(there) == 1:
        intercepts[there] = 0.0
    else:
        scaled = np.clip(scaler.transform(inputs), -_CLIP, _CLIP)
        found = LogisticRegression(C=_STRONG, solver="newton-cholesky").fit(scaled, regime)
        both = len(there) == 2  # one line for two classes, the second one's
        coefficients[there] = np.vstack([0 * found.coef_, found.coef_]) if both else found.coef_
        intercepts[there] = np.append(0.0, found.intercept_) if both else found.intercept_
    low, mid, high = (_score(scaler, coefficients[k], float(intercepts[k])) for k in range(len(REGIMES)))
    return RegimeScore(low=low, mid=mid, high=high)


def _score(scaler: StandardScaler, coefficients: Floats, intercept: float) -> LinearScore:
    return LinearScore(
        center=tuple(scaler.mean_.tolist()),
        scale=tuple(scaler.scale_.tolist()),
        clip=_CLIP,
        coefficients=tuple(coefficients.tolist()),
        intercept=intercept,
    )
