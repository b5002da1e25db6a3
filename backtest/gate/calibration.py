"""Calibration: do probabilities mean what they say. The recipe's by its record, the set's own on unseen candles.

Horizons are pooled by their weights. Few unseen days cannot prove a set calibrated: there, only what is surely wrong
fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backtest.gate.evidence import Contender, Evidence
from backtest.gate.recipe import SIDES, Recipe
from backtest.gate.ruling import bounds, number, told
from backtest.gate.sample import Sample
from backtest.verdict import Gate, Says
from market.candles import Floats
from models.logits import logit, sigmoid
from models.manifest import Manifest
from models.metrics import Interval
from models.resampling import Drawn, Resamples

BINS = 5
_STEPS = 12
"""Newton steps; far more than a line in two parameters needs."""
_EDGE = 1e-6


def gates(evidence: Evidence, rows: Sample | None) -> list[Gate]:
    """The family."""
    found: list[Gate] = []
    for at, side in enumerate(SIDES):
        found += _of_set(evidence, side, 1 - 2 * at)
        if rows is not None:
            found.append(_recorded_brier(rows, side))
    return found


def _recorded_brier(rows: Sample, side: str) -> Gate:
    """The record's Brier score against a base rate known at the time: told, since the first folds were calibrated on
    next to nothing, and what trades is the finished set."""
    ours = _gain_on_base_rate(rows, rows.challenger, side)
    champion = None if rows.champion is None else _gain_on_base_rate(rows, rows.champion, side)
    gate = _below_base_rate(f"calibration/recorded_brier/{side}", side, rows.interval(ours), champion)
    return told(gate)


def _below_base_rate(name: str, side: str, gain: Interval, champion: Drawn | None) -> Gate:
    """Rule: a Brier score below the base rate's passes, one surely above fails; AUC has proven the skill already."""
    says, why = Says.UNCLEAR, "not below, though by no more than chance"
    if bounds(gain) is None:
        why = "there is no value"
    elif gain.value > 0:
        says, why = Says.PASS, "below"
    elif gain.high < 0:
        says, why = Says.FAIL, "surely above: the base rate alone foretells better"
    where = "in the record" if "recorded" in name else "on unseen candles"
    return Gate(
        name,
        f"Is the Brier score of P({side}) below that of the base rate, {where}?",
        says,
        "base rate's less ours above 0",
        number(None if champion is None else champion.value),
        number(gain.value),
        None,
        bounds(gain),
        why,
    )


def _gain_on_base_rate(rows: Sample, recipe: Recipe, side: str) -> Drawn:
    gains = np.zeros(len(recipe))
    for horizon, weight in rows.weights.items():
        outcome = recipe.paid(horizon, side)
        probability = sigmoid(recipe.stack(f"{horizon}/{side}"))
        gains += weight * ((_known_rate(outcome, horizon) - outcome) ** 2 - (probability - outcome) ** 2)
    return rows.resamples.mean(gains)


def _known_rate(outcome: Floats, horizon: int) -> Floats:
    """The share that had paid by then (n,): outcomes settled before each row; the first rows are given their own."""
    seen = np.arange(1, len(outcome) + 1)
    running = np.cumsum(outcome) / seen
    first = min(len(outcome), 168)
    rate = np.full(len(outcome), running[first - 1])
    rate[first + horizon :] = running[first:-horizon] if len(outcome) > first + horizon else rate[first + horizon :]
    return rate


@dataclass(frozen=True)
class _Pool:
    """H horizons' probabilities and outcomes of one side on n rows, (H, n) each; weight and base rate are (H, 1)."""

    probability: Floats
    outcome: Floats
    weight: Floats
    base_rate: Floats
    resamples: Resamples

    def sums(self, *columns: Floats) -> Floats:
        """Weighed sums (K, 1 + draws) of K columns (H, n): of the sample, and of each draw."""
        rows = np.column_stack([(self.weight * column).sum(axis=0) for column in columns])
        return np.column_stack([rows.sum(axis=0), self.resamples.sums(rows).T])

    def totals(self, *columns: Floats) -> Floats:
        """The same of the sample alone (K, 1)."""
        return np.array([(self.weight * column).sum() for column in columns])[:, None]

    def mean(self, column: Floats) -> Drawn:
        """Weighed mean of a column (H, n)."""
        total, count = self.sums(column, np.ones_like(column))
        return _drawn(total / count)


def _of_set(evidence: Evidence, side: str, sign: int) -> list[Gate]:
    settings = evidence.terms.config.calibration
    pool = _pool(evidence.challenger, evidence, side, sign)
    if pool is None:
        name = f"calibration/bias/{side}"
        return [Gate(name, f"Is P({side}) right on average?", Says.UNCLEAR, "", why="too few unseen candles")]
    theirs = None if evidence.champion is None else _pool(evidence.champion, evidence, side, sign)
    confidence = evidence.terms.config.bootstrap.confidence
    figures = (
        ("bias", f"Is P({side}) right on average, on unseen candles?", _bias, (-settings.bias, settings.bias)),
        ("slope", f"Is P({side}) neither too bold nor too shy, on unseen candles?", _slope, settings.slope),
        (
            "ece",
            f"Is P({side}) right at each level (error over {BINS} bins), on unseen candles?",
            _ece,
            (0, settings.ece),
        ),
    )
    gain = _gain(pool).interval(confidence)
    found = [_below_base_rate(f"calibration/brier/{side}", side, gain, None if theirs is None else _gain(theirs))]
    for name, question, statistic, (least, most) in figures:
        measured = statistic(pool).interval(confidence)
        if statistic is _ece:
            measured = _reflected(measured)
        champion = None if theirs is None else number(statistic(theirs).value)
        known = bounds(measured) is not None
        off = known and (measured.low > most or measured.high < least)
        says = Says.FAIL if off else Says.PASS if known else Says.UNCLEAR
        why = "the whole interval lies outside" if off else "not surely outside" if known else "there is no value"
        found.append(
            Gate(
                f"calibration/{name}/{side}",
                question,
                says,
                f"not surely outside {least:g} to {most:g}",
                champion,
                number(measured.value),
                None,
                bounds(measured),
                why,
            )
        )
    return found


def _pool(side: Contender, evidence: Evidence, name: str, sign: int) -> _Pool | None:
    unseen, manifest = side.unseen, side.manifest
    cost = manifest.data.labels.cost
    heads = {h: w for h, w in ((h, manifest.ensemble.weights[str(h)]) for h in manifest.horizons) if w > 0}
    outcomes = {h: unseen.paid(h, sign, cost) for h in heads}
    known = unseen.answers.finite.copy()
    for outcome in outcomes.values():
        known &= np.isfinite(outcome)
    if known.sum() < 2 * evidence.block:
        return None
    settings = evidence.terms.config.bootstrap
    return _Pool(
        np.stack([np.clip(unseen.answers.heads[f"{h}/{name}"][known], _EDGE, 1 - _EDGE) for h in heads]),
        np.stack([outcomes[h][known] for h in heads]),
        np.array(list(heads.values()))[:, None],
        np.array([_base_rate(manifest, h, name) for h in heads])[:, None],
        Resamples(int(known.sum()), evidence.block, settings.draws, settings.seed + 3),
    )


def _base_rate(manifest: Manifest, horizon: int, side: str) -> float:
    """Share that paid in the train slice; a half where an earlier version did not keep it."""
    return 0.5 if manifest.baselines is None else manifest.baselines.base_rate[f"{horizon}/{side}"]


def _gain(pool: _Pool) -> Drawn:
    """Brier score of the base rate less that of the set."""
    return pool.mean((pool.base_rate - pool.outcome) ** 2 - (pool.probability - pool.outcome) ** 2)


def _bias(pool: _Pool) -> Drawn:
    return pool.mean(pool.probability - pool.outcome)


def _ece(pool: _Pool) -> Drawn:
    edges = np.quantile(pool.probability, np.linspace(0, 1, BINS + 1)[1:-1])
    bins = np.searchsorted(edges, pool.probability, side="right")
    apart = pool.probability - pool.outcome
    *parts, count = pool.sums(*(np.where(bins == k, apart, 0.0) for k in range(BINS)), np.ones_like(apart))
    return _drawn(np.abs(parts).sum(axis=0) / count)


def _slope(pool: _Pool) -> Drawn:
    """Slope of a logistic regression of the outcome on the logit; each draw is one Newton step from the sample's.

    References
    ----------
    Davidson and MacKinnon (1999), Bootstrap testing in nonlinear models.
    """
    x, y = logit(pool.probability), pool.outcome
    x = x - x.mean()
    line = np.zeros(2)
    with np.errstate(all="ignore"):
        for _ in range(_STEPS):
            line = line + _newton(pool.totals, x, y, line)[:, 0]
        return _drawn(line[1] + _newton(pool.sums, x, y, line)[1])


def _newton(summed: Callable[..., Floats], x: Floats, y: Floats, line: Floats) -> Floats:
    """Newton's step (2, K) of intercept and slope, for the K ways the rows are summed."""
    p = sigmoid(line[0] + line[1] * x)
    error, spread = y - p, p * (1 - p)
    g0, g1, h00, h01, h11 = summed(error, error * x, spread, spread * x, spread * x * x)
    steps: Floats = np.stack([h11 * g0 - h01 * g1, h00 * g1 - h01 * g0]) / (h00 * h11 - h01 * h01)
    return steps


def _drawn(values: Floats) -> Drawn:
    """The sample's value first, then the draws'."""
    return Drawn(float(values[0]), values[1:])


def _reflected(measured: Interval) -> Interval:
    """The basic bootstrap interval: resampling adds noise to a sum of absolute values, and this takes it off again."""
    low, high = 2 * measured.value - measured.high, 2 * measured.value - measured.low
    return Interval(measured.value, max(0.0, low), max(0.0, high))
