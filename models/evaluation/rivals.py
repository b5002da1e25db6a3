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
from models import labels
from models.evaluation.data import History
from models.evaluation.outcomes import outcomes, regimes
from models.evaluation.overlap import Judged
from models.inference import Predictor
from models.logits import sigmoid
from models.manifest import REGIMES

REVERSAL, LOGISTIC, VOLATILITY, BASE_RATE = "minus_24h_return", "logistic", "volatility_and_clock", "base_rate"
RIVALS = (REVERSAL, LOGISTIC, VOLATILITY, BASE_RATE)
HAR, PERSISTENCE, MAJORITY = "har_and_calendar", "persistence", "majority"
LEAST_ROWS = 2000
"""Rows before the judged range that a baseline can be fitted on."""


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
    horizon = manifest.data.labels.regime_horizon
    past = np.full(len(candles), np.nan)
    past[horizon:] = labels.forward_volatility(candles, horizon)[:-horizon]
    persistence = labels.regimes(past, manifest.ensemble.regime_edges)
    return _fitted_before(predictor, history, range_, persistence)


def _fitted_before(predictor: Predictor, history: History, range_: Judged, persistence: Floats) -> Rivals:
    """Baselines fitted on the bars of the file before the judged range, if there are enough of them."""
    manifest, candles = predictor.manifest, history.candles
    matrix, clock = predictor.matrix(candles, history.funding), volatility_and_clock(candles)
    reversal = minus_24h_return(candles)
    came = outcomes(manifest, candles)
    regime = regimes(manifest, candles)
    sound = np.isfinite(reversal) & np.isfinite(persistence)
    scores: dict[str, dict[str, Floats]] = {}
    for key in came:
        scores[key] = {REVERSAL: -reversal if key.endswith("/short") else reversal}
    whole = sound & np.isfinite(clock).all(axis=1)
    before = candles.open_time < range_.start - manifest.data.purge * candles.timeframe.ms
    known = np.isfinite(np.column_stack([*came.values(), regime])).all(axis=1)
    fit = np.flatnonzero(whole & before & known & predictor.ready(candles, matrix))
    if len(fit) < LEAST_ROWS:
        reason = (
            f"the set carries no fitted baselines, and {len(fit)} bars before the judged range are too few to fit "
            f"them on ({LEAST_ROWS})"
        )
        return Rivals(sound, persistence, "none", reason, scores)
    probabilities: dict[str, dict[str, Floats]] = {}
    for key, outcome in came.items():
        rate = np.full(len(candles), outcome[fit].mean())
        probabilities[key] = {BASE_RATE: rate}
        scores[key][BASE_RATE] = rate
        for name, inputs, strength in ((LOGISTIC, matrix, 0.01), (VOLATILITY, clock, 1.0)):
            scores[key][name] = _line(inputs, outcome, fit, strength)
            probabilities[key][name] = sigmoid(scores[key][name])
    shares = np.bincount(regime[fit].astype(np.int64), minlength=len(REGIMES)) / len(fit)
    origin = f"{len(fit)} bars of the file before the judged range"
    har = _classes(clock, regime, fit)
    return Rivals(whole, persistence, origin, "", scores, probabilities, har, tuple(shares.tolist()))


def _line(inputs: Floats, outcome: Floats, fit: Ints, strength: float) -> Floats:
    """Logistic regression on the rows `fit`, scored on every row that is complete (N,)."""
    scaler = StandardScaler().fit(inputs[fit])
    complete = np.isfinite(inputs).all(axis=1)
    scores = np.full(len(inputs), np.nan)
    # Far outliers would rule a straight line.
    scaled = np.clip(scaler.transform(inputs[complete]), -5, 5)
    fitted = np.clip(scaler.transform(inputs[fit]), -5, 5)
    scores[complete] = LogisticRegression(C=strength, max_iter=300).fit(fitted, outcome[fit]).decision_function(scaled)
    return scores


def _classes(inputs: Floats, regime: Floats, fit: Ints) -> Floats:
    scaler = StandardScaler().fit(inputs[fit])
    complete = np.isfinite(inputs).all(axis=1)
    regression = LogisticRegression(C=1.0, max_iter=300).fit(scaler.transform(inputs[fit]), regime[fit])
    found = np.full((len(inputs), len(REGIMES)), np.nan)
    found[complete] = 0.0
    at = regression.classes_.astype(np.int64)
    found[np.ix_(complete, at)] = regression.predict_proba(scaler.transform(inputs[complete]))
    return found


DAY_HOURS = 24
SPANS_HOURS = (1, 6, 24, 72, 168)
HOUR_MS = 3_600_000


def minus_24h_return(candles: Candles) -> Floats:
    bars = max(1, DAY_HOURS * HOUR_MS // candles.timeframe.ms)
    past = np.full(len(candles), np.nan)
    past[bars:] = candles.close[bars:] / candles.close[:-bars] - 1
    return -past


def volatility_and_clock(candles: Candles) -> Floats:
    squares = np.concatenate([[np.nan], np.diff(np.log(candles.close)) ** 2])
    columns = []
    for hours in SPANS_HOURS:
        bars = max(1, hours * HOUR_MS // candles.timeframe.ms)
        mean = np.full(len(candles), np.nan)
        if len(candles) > bars:
            mean[bars:] = np.correlate(squares[1:], np.ones(bars), "valid") / bars
        columns.append(0.5 * np.log(mean + 1e-10))
    hour = candles.open_time / HOUR_MS % 24
    day = candles.open_time / HOUR_MS / 24 % 7
    columns += [np.sin(2 * np.pi * hour / 24), np.cos(2 * np.pi * hour / 24)]
    columns += [np.sin(2 * np.pi * day / 7), np.cos(2 * np.pi * day / 7)]
    return np.column_stack(columns)
