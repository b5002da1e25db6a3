"""What was foretold, and what became of it: calibration, and what each threshold would have let through.

Realised labels are those of training (`models.labels`), on the very candles that were played. Labels of neighbouring
candles overlap, so intervals count one independent outcome in every `horizon` candles.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from backtest.page.inputs import Inputs
from market.candles import Floats, Ints
from models import labels
from models.manifest import head
from models.metrics import auc, brier

BINS = 10
TRADED = "traded"
"""Names the average over the horizons, which the rules read."""
_Z90 = 1.645
_APART = 10**10


@dataclass(frozen=True)
class Foretold:
    """One probability over the tested candles of all symbols that have it, with its outcomes.

    Attributes
    ----------
    name : str
        ``5/long``, or ``traded/long`` for the weighted average that the rules read.
    horizon, side : int
        Bars ahead; +1 or -1.
    clock : (N,) int64
        Candles since 1970, and far apart from symbol to symbol; rising.
    probability, gain : (N,) float64
        What was said; the return of that trade before costs, a fraction, NaN where the history ends before it.
    cost : float
        What the gain must exceed to have paid.
    """

    name: str
    horizon: int
    side: int
    clock: Ints
    probability: Floats
    gain: Floats
    cost: float


@dataclass(frozen=True)
class Bin:
    """Predictions alike: their mean, how many, how often they came true, with a 90 % Wilson interval."""

    said: float
    count: int
    came: float
    low: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """How a probability kept its word, over the rows whose outcome is known; None where there are none.

    `auc` is of having paid, `direction_auc` of having moved to that side at all; `base_brier` is what the base rate,
    said every time, would have scored.
    """

    of: Foretold
    rows: int
    base_rate: float | None
    auc: float | None
    direction_auc: float | None
    brier: float | None
    base_brier: float | None
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Passed:
    """What a threshold would have let through.

    `share` is of the candles with a prediction, `paid` of those that passed, `mean_gain` net of cost. `entries` and
    `profit` take a signal only when the one before has run its horizon, at notional 1, without stops.
    """

    threshold: float
    count: int
    share: float
    paid: float | None
    mean_gain: float | None
    entries: int
    profit: float


def foretold(inputs: Inputs) -> list[Foretold]:
    """Each side's traded average, then each horizon's and side's probability, with their outcomes."""
    manifest = inputs.model_set.manifest
    wanted = [(TRADED, inputs.hold_bars), *((str(h), h) for h in manifest.horizons)]
    made = []
    for name, horizon in wanted:
        for side in (1, -1):
            rows = [_rows(inputs, number, name, horizon, side) for number in range(len(inputs.frames))]
            clock, probability, gain = (np.concatenate(c) for c in zip(*rows, strict=True))
            key = head(horizon, side) if name != TRADED else f"{TRADED}/{'long' if side > 0 else 'short'}"
            made.append(Foretold(key, horizon, side, clock, probability, gain, manifest.data.labels.cost))
    return made


def _rows(inputs: Inputs, number: int, name: str, horizon: int, side: int) -> tuple[Ints, Floats, Floats]:
    """Clock, probability and gain of the tested candles of one symbol that have a prediction."""
    frame = inputs.frames[number]
    told, candles = frame.predictions, frame.decision
    if name != TRADED:
        column = told.horizons.get(horizon, np.full((len(told.open_time), 2), np.nan))[:, 0 if side > 0 else 1]
    else:
        column = told.p_long if side > 0 else told.p_short
    _, here, there = np.intersect1d(candles.open_time, told.open_time, assume_unique=True, return_indices=True)
    said = np.full(len(candles), np.nan)
    said[here] = column[there]
    kept = inputs.tested(frame) & np.isfinite(said)
    clock = candles.open_time // candles.timeframe.ms + number * _APART
    return clock[kept], said[kept], side * labels.forward_return(candles, horizon)[kept]


def calibration(of: Foretold) -> Calibration:
    """Scores and bins of a probability."""
    known = np.isfinite(of.gain)
    said, gain = of.probability[known], of.gain[known]
    paid = (gain > of.cost).astype(np.float64)
    if not len(said):
        return Calibration(of, 0, None, None, None, None, None, ())
    rate = float(paid.mean())
    return Calibration(
        of=of,
        rows=len(said),
        base_rate=rate,
        auc=_finite(auc(paid, said)),
        direction_auc=_finite(auc((gain > 0).astype(np.float64), said)),
        brier=brier(paid, said),
        base_brier=rate * (1 - rate),
        bins=_bins(said, paid, of.horizon),
    )


def _bins(said: Floats, paid: Floats, horizon: int) -> tuple[Bin, ...]:
    """Up to `BINS` bins of as many predictions each; predictions that are equal stay together."""
    edges = np.unique(np.quantile(said, np.linspace(0, 1, BINS + 1)[1:-1]))
    where = np.searchsorted(edges, said, side="right")
    made = []
    for number in range(len(edges) + 1):
        inside = where == number
        if size := int(inside.sum()):
            came = float(paid[inside].mean())
            made.append(Bin(float(said[inside].mean()), size, came, *_wilson(came, max(size / horizon, 1.0))))
    return tuple(made)


def _wilson(rate: float, count: float) -> tuple[float, float]:
    """The 90 % interval of a rate seen in `count` independent draws (Wilson, 1927)."""
    square = _Z90**2
    middle = (rate + square / (2 * count)) / (1 + square / count)
    reach = _Z90 / (1 + square / count) * math.sqrt(rate * (1 - rate) / count + square / (4 * count**2))
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def thresholds(of: Foretold) -> list[Passed]:
    """What thresholds in steps of 0.01 would have let through, from the lowest tenth of predictions to the highest."""
    known = np.isfinite(of.gain)
    clock, said, net = of.clock[known], of.probability[known], of.gain[known] - of.cost
    if not len(said):
        return []
    first, last = math.floor(float(np.quantile(said, 0.1)) * 100), math.floor(float(said.max()) * 100)
    return [_passed(clock, said, net, step / 100, of.horizon) for step in range(first, last + 1)]


def _passed(clock: Ints, said: Floats, net: Floats, threshold: float, horizon: int) -> Passed:
    passing = said >= threshold
    when, gains = clock[passing].tolist(), net[passing]
    taken, at = [], 0
    while at < len(when):
        taken.append(at)
        at = bisect_left(when, when[at] + horizon, at + 1)
    return Passed(
        threshold=threshold,
        count=len(when),
        share=len(when) / len(said),
        paid=float((gains > 0).mean()) if when else None,
        mean_gain=float(gains.mean()) if when else None,
        entries=len(taken),
        profit=float(gains[taken].sum()),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
