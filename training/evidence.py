"""Evidence: what the set is worth on bars nothing was fitted on, with intervals, beside baselines.

Every interval is a 90 % block bootstrap over weeks. A figure without one is not evidence; neither is one that the
volatility-only baseline reaches as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from market.candles import Floats, Ints
from market.progress import Step
from models import metrics
from models.baselines import Baselines, persistence
from models.ensemble import fused as stacked
from models.logits import sigmoid
from models.manifest import family
from models.walkforward import TEST, WalkForward
from training.families import BOOSTED, PLAIN
from training.fusion import Fused, volatility
from training.problem import SIDES, Problem
from training.regime import RegimeAnswers
from training.spec import TrainingSpec
from training.units import Answers, Context, Fits
from training.units import gathered as out_of_fold

Json = dict[str, JsonValue]
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


def gathered(
    context: Context,
    members: list[Answers],
    fused: Fused,
    regime: RegimeAnswers,
    fitted: Baselines,
    record: WalkForward,
    fits: Fits,
    trials: int,
) -> Json:
    """All of it but the heads' figures, which take longest."""
    problem, spec = context.problem, context.spec
    facts: Json = {m.family: m.facts for m in members}
    found: Json = {
        "interval": f"90 % block bootstrap, {spec.evidence.block} bars a block, {spec.evidence.draws} draws",
        "trials": trials,
        "spec": spec.model_dump(mode="json"),
        "device": context.device,
        "features_left_out": dict(problem.left_out),
        "weights": {"skill": {h: round(s, 6) for h, s in fused.skill.items()}, "by_skill": fused.weighed},
        "outputs": of_outputs(problem, fused, spec),
        "regime": of_regime(problem, fitted, record, spec),
        "fitting": facts | regime.facts,
    }
    if fused.without:
        found["without"] = _of_fallbacks(problem, fused, record, spec)
    if any(unit.family == PLAIN.name for unit in fits):
        found["plain_lightgbm"] = _beside_plain(context, members, fits)
    return found


def _of_fallbacks(problem: Problem, fused: Fused, record: WalkForward, spec: TrainingSpec) -> Json:
    """Family that may be dead -> head -> AUC on the test slice of what then answers."""
    told = volatility(problem)
    level = None if told is None else told[np.searchsorted(problem.bars.candles.open_time, record.open_time)]
    found: Json = {}
    for gone, fusions in fused.without.items():
        heads: Json = {}
        for key, fusion in fusions.items():
            horizon, side = int(key.partition("/")[0]), SIDES[key.endswith("short")]
            outcome = record.profitable(horizon, side, spec.labels.cost)
            rows = np.flatnonzero((record.part == TEST) & ~np.isnan(outcome))
            logits = np.column_stack([record.logits[family(name)][key] for name in fusion.stacker.members])
            heads[key] = _interval(metrics.auc, spec, outcome[rows], stacked(fusion.stacker, logits, level)[rows])
        found[gone] = heads
    return found


def _beside_plain(context: Context, members: list[Answers], fits: Fits) -> Json:
    """Out-of-fold AUC of LightGBM as the spec regularises it and by its own defaults, head by head, and the lead."""
    ours = next(m for m in members if m.family == BOOSTED.name)
    theirs = out_of_fold(context, PLAIN.name, fits, len(context.problem.heads))
    fold = context.folds.of_rows(len(theirs))

    def lead(outcome: Floats, regularised: Floats, plain_: Floats, fold: NDArray[np.int8]) -> float:
        return metrics.auc_within(outcome, regularised, fold) - metrics.auc_within(outcome, plain_, fold)

    found: Json = {}
    for column, (key, known) in enumerate(context.problem.heads.items()):
        rows = np.flatnonzero((fold >= 0) & ~np.isnan(known))
        pair = known[rows], ours.unseen[rows, column], theirs[rows, column]
        found[key] = {
            "regularised": _interval(metrics.auc_within, context.spec, pair[0], pair[1], fold[rows]),
            "plain": _interval(metrics.auc_within, context.spec, pair[0], pair[2], fold[rows]),
            "lead": _interval(lead, context.spec, *pair, fold[rows]),
        }
    return found


def of_heads(
    problem: Problem, members: list[Answers], fused: Fused, record: WalkForward, spec: TrainingSpec, step: Step
) -> Json:
    """For each head: test and validation figures of the ensemble, its members and the baselines, from the record."""
    train = problem.rows_in(problem.slices.train)
    test = record.part == TEST
    found: Json = {}
    for column, (key, known) in enumerate(problem.heads.items()):
        step.doing(key)
        horizon, side = int(key.partition("/")[0]), SIDES[column % 2]
        outcome = record.profitable(horizon, side, spec.labels.cost)
        rows, folded = (np.flatnonzero(part & ~np.isnan(outcome)) for part in (test, ~test))
        paid, probability = outcome[rows], sigmoid(record.logits["stack"][key])[rows]
        base_rate = float(np.nanmean(known[train]))
        rivals, fold = _rivals(record, key, side), record.part[folded]
        flat = np.full(len(rows), base_rate)
        said = {m.names[column]: record.logits[m.family][key] for m in members}
        found[key] = {
            "rows": len(rows),
            "base_rate": {"train": round(base_rate, 6), "test": round(float(paid.mean()), 6)},
            "auc": _interval(metrics.auc, spec, paid, probability),
            "brier": _interval(metrics.brier, spec, paid, probability),
            "log_loss": _interval(metrics.log_loss, spec, paid, probability),
            "gain_on_base_rate": _interval(_log_loss_gain, spec, paid, probability, flat),
            "members": {name: _interval(metrics.auc, spec, paid, scores[rows]) for name, scores in said.items()},
            "average_of_members": _interval(metrics.auc, spec, paid, record.logits["average"][key][rows]),
            "baselines": {name: _told(metrics.auc, spec, paid, score[rows]) for name, score in rivals.items()},
            "lead_on_baselines": {
                name: _told(_auc_lead, spec, paid, score[rows], probability) for name, score in rivals.items()
            },
            "validation": {
                "out_of_fold": {
                    "rows": len(folded),
                    "auc": _interval(
                        metrics.auc_within, spec, outcome[folded], record.logits["stack"][key][folded], fold
                    ),
                    "others": {
                        name: _point(outcome[folded], score[folded], fold)
                        for name, score in {**said, "average": record.logits["average"][key], **rivals}.items()
                    },
                },
                "calibrate": _calibrated(problem, fused, spec, column),
            },
        }
    return found


def of_regime(problem: Problem, baselines: Baselines, record: WalkForward, spec: TrainingSpec) -> Json:
    """The regime classifier on the test slice, beside persistence and HAR with the calendar, from the record."""
    candles = problem.bars.candles
    past = persistence(candles, spec.labels.regime_horizon, problem.edges)
    past = past[np.searchsorted(candles.open_time, record.open_time)]
    outcome = record.regimes()
    told = ~np.isnan(outcome) & np.isfinite(record.har).all(axis=1)
    rows = np.flatnonzero(told & (record.part == TEST) & ~np.isnan(past))
    folded = np.flatnonzero(told & (record.part != TEST))
    came, ours, har = outcome[rows], record.regime[rows], record.har[rows]
    return {
        "rows": len(rows),
        "edges": list(problem.last_edges),
        "test_shares": [round(float(np.mean(came == k)), 4) for k in range(3)],
        **_regime_figures(came, ours, spec),
        "baselines": {
            "majority": _regime_figures(came, np.tile(baselines.regime_shares, (len(rows), 1)), spec),
            "persistence": {
                "accuracy": _interval(metrics.accuracy, spec, came, past[rows]),
                "kappa": _interval(metrics.quadratic_kappa, spec, came, past[rows]),
            },
            "har_and_calendar": _regime_figures(came, har, spec),
        },
        "log_loss_lead_on_har": _interval(_class_gap, spec, came, ours, har),
        "out_of_fold": {
            "rows": len(folded),
            "log_loss": _interval(metrics.class_log_loss, spec, outcome[folded], record.regime[folded]),
            "log_loss_lead_on_har": _interval(
                _class_gap, spec, outcome[folded], record.regime[folded], record.har[folded]
            ),
        },
    }


def of_outputs(problem: Problem, fused: Fused, spec: TrainingSpec) -> Json:
    """Quantiles of p_long, p_short and their lead on validation and test: where thresholds can be set.

    `passing` counts how often a threshold alone would be met, and how often its side then paid over the horizons.
    """
    sides = fused.sides(spec.labels.horizons)
    found: Json = {}
    for name in ("calibrate", "test"):
        rows = problem.rows_in(getattr(problem.slices, name))
        long, short = sides[rows, 0], sides[rows, 1]
        found[name] = {
            "p_long": _quantiles(long),
            "p_short": _quantiles(short),
            "lead": _quantiles(long - short),
            "passing": {
                "long": _passing(problem, fused, rows, 0, long),
                "short": _passing(problem, fused, rows, 1, short),
            },
        }
    return found


def _calibrated(problem: Problem, fused: Fused, spec: TrainingSpec, column: int) -> Json:
    """AUC on the calibrate slice, which weighed the horizons: it flatters."""
    known, rows = problem.targets[:, column], problem.rows_in(problem.slices.calibrate)
    rows = rows[~np.isnan(known[rows])]
    return {"rows": len(rows), "auc": _interval(metrics.auc, spec, known[rows], fused.probabilities[rows, column])}


def _rivals(record: WalkForward, key: str, side: int) -> dict[str, Floats]:
    """Every baseline's score (n,) for a head."""
    return {
        "minus_24h_return": side * record.minus_24h_return,
        "volatility_and_clock": record.scores["volatility_and_clock"][key],
        "logistic": record.scores["logistic"][key],
    }


def _passing(problem: Problem, fused: Fused, rows: Ints, side: int, p: Floats) -> Json:
    """Threshold -> share of bars that pass it, and the share of those in which the side paid, by horizons' weight."""
    paid = sum(
        weight * problem.targets[rows, 2 * at + side] for at, weight in enumerate(fused.weights.values()) if weight
    )
    known = ~np.isnan(paid)
    found: Json = {}
    for threshold in (0.40, 0.45, 0.475, 0.50, 0.525, 0.55, 0.60):
        passes = known & (p >= threshold)
        share = float(passes.sum() / max(1, known.sum()))
        found[f"{threshold:g}"] = {
            "bars": round(share, 6),
            "paid": round(float(np.asarray(paid)[passes].mean()), 6) if passes.any() else None,
        }
    return found


def _regime_figures(outcome: Floats, probability: Floats, spec: TrainingSpec) -> Json:
    said = probability.argmax(axis=1)
    return {
        "accuracy": _interval(metrics.accuracy, spec, outcome, said),
        "kappa": _interval(metrics.quadratic_kappa, spec, outcome, said),
        "log_loss": _interval(metrics.class_log_loss, spec, outcome, probability),
    }


def _auc_lead(outcome: Floats, theirs: Floats, ours: Floats) -> float:
    return metrics.auc(outcome, ours) - metrics.auc(outcome, theirs)


def _log_loss_gain(outcome: Floats, ours: Floats, flat: Floats) -> float:
    return metrics.log_loss(outcome, flat) - metrics.log_loss(outcome, ours)


def _class_gap(outcome: Floats, ours: Floats, theirs: Floats) -> float:
    return metrics.class_log_loss(outcome, theirs) - metrics.class_log_loss(outcome, ours)


def _bootstrap(statistic: Callable[..., float], spec: TrainingSpec, *columns: NDArray[Any]) -> metrics.Interval:
    return metrics.block_bootstrap(
        statistic, *columns, block=spec.evidence.block, draws=spec.evidence.draws, seed=spec.seed
    )


def _interval(statistic: Callable[..., float], spec: TrainingSpec, *columns: NDArray[Any]) -> Json:
    return plain(_bootstrap(statistic, spec, *columns))


def _told(statistic: Callable[..., float], spec: TrainingSpec, outcome: Floats, score: Floats, *more: Floats) -> Json:
    """As `_interval`, over the rows for which the baseline has a score: after a hole it takes a week to have one."""
    has = np.isfinite(score)
    return _interval(statistic, spec, outcome[has], score[has], *(column[has] for column in more))


def _point(outcome: Floats, score: Floats, fold: NDArray[np.int8]) -> float | None:
    """AUC within folds, without an interval, of the rows that have a score."""
    has = np.isfinite(score)
    found = metrics.auc_within(outcome[has], score[has], fold[has])
    return round(found, 6) if np.isfinite(found) else None


def plain(interval: metrics.Interval) -> Json:
    """As JSON; a bound that is no number is null."""
    return {name: value if np.isfinite(value) else None for name, value in interval.as_json().items()}


def _quantiles(values: Floats) -> Json:
    return {f"{q:g}": round(float(v), 6) for q, v in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True)}
