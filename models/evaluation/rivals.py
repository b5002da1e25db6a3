"""Rivals: the baselines a set is measured against, scored on the very rows it is judged on.

They come fitted with the set. For a set made before sets carried them, they are fitted on bars of the file that lie
before the judged range, a purge away; nothing is ever fitted on what is judged.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from market.candles import Candles, Floats, Ints
from models import baselines, ridge
from models.baselines import Baselines
from models.evaluation.data import History
from models.evaluation.outcomes import edges, outcomes, questions, regimes
from models.evaluation.overlap import Judged
from models.inference import Predictor
from models.logits import sigmoid
from models.manifest import Manifest

REVERSAL, LOGISTIC, VOLATILITY, BASE_RATE = "minus_24h_return", "logistic", "volatility_and_clock", "base_rate"
RIVALS = (REVERSAL, LOGISTIC, VOLATILITY, BASE_RATE)
HAR, PERSISTENCE, MAJORITY = "har_and_calendar", "persistence", "majority"
LEAST_ROWS = 2000
"""Rows before the judged range that a baseline can be fitted on."""
MOST_ROWS = 20_000
"""The last so many are used: enough for a straight line, and fitted in two seconds."""


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
    matrix = predictor.matrix(candles, history.funding, history.companion)
    past = baselines.persistence(candles, manifest.data.labels.regime_horizon, edges(manifest, candles))
    reversal = baselines.minus_24h_return(candles)
    sound = np.isfinite(reversal) & np.isfinite(past)
    fitted, origin, reason = manifest.baselines, "what the set was trained on", ""
    if fitted is None:
        fit, origin, reason = _rows_before(predictor, history, range_, matrix, sound)
        try:
            fitted = None if reason else fit_baselines(manifest, candles, matrix, fit)
        except ridge.FitError as error:
            origin, reason = "none", f"no baseline can be fitted before the judged range: {error}"
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

    Raises
    ------
    FitError
        If they know one outcome alone.
    """
    clock = baselines.volatility_and_clock(candles)
    return ridge.fit(matrix, clock, outcomes(manifest, candles), regimes(manifest, candles), rows)
