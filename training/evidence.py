"""Evidence: what the set is worth on bars nothing was fitted on, with intervals, beside baselines.

Every interval is a 90 % block bootstrap over weeks. A figure without one is not evidence; neither is one that the
volatility-only baseline reaches as well.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import JsonValue

from market.candles import Floats, Ints
from market.progress import Step
from models import metrics
from models.logits import sigmoid
from training import baselines, boosting
from training.fusion import Fused
from training.members import Answers, RegimeAnswers
from training.problem import SIDES, Problem
from training.spec import TrainingSpec

Json = dict[str, JsonValue]
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
CANARY_TREES = 50


def of_heads(
    problem: Problem, members: list[Answers], fused: Fused, spec: TrainingSpec, threads: int, step: Step
) -> Json:
    """For each head: validation and test figures of the ensemble, its members and the baselines."""
    test = problem.rows_in(problem.slices.test)
    train = problem.rows_in(problem.slices.train)
    found: Json = {}
    for column, (key, known) in enumerate(problem.heads.items()):
        step.doing(key)
        rows = test[~np.isnan(known[test])]
        outcome, probability = known[rows], fused.probabilities[rows, column]
        base_rate = float(np.nanmean(known[train]))
        rivals = {
            "minus_24h_return": baselines.reversal(problem.bars.candles, SIDES[column % 2])[rows],
            "volatility_and_clock": baselines.volatility_only(problem, known, spec, rows, threads),
            "logistic": baselines.logistic(problem, known, rows),
        }
        flat = np.full(len(rows), base_rate)
        found[key] = {
            "rows": len(rows),
            "base_rate": {"train": round(base_rate, 6), "test": round(float(outcome.mean()), 6)},
            "auc": _interval(metrics.auc, spec, outcome, probability),
            "brier": _interval(metrics.brier, spec, outcome, probability),
            "log_loss": _interval(metrics.log_loss, spec, outcome, probability),
            "gain_on_base_rate": _interval(_log_loss_gain, spec, outcome, probability, flat),
            "members": {m.names[column]: _interval(metrics.auc, spec, outcome, m.final[rows, column]) for m in members},
            "average_of_members": _interval(metrics.auc, spec, outcome, _average(members, rows, column)),
            "baselines": {name: _interval(metrics.auc, spec, outcome, score) for name, score in rivals.items()},
            "lead_on_baselines": {
                name: _interval(_auc_gap, spec, outcome, probability, score) for name, score in rivals.items()
            },
            "validation": _validation(problem, members, fused, spec, column),
        }
    return found


def of_regime(problem: Problem, answers: RegimeAnswers, spec: TrainingSpec) -> Json:
    """The regime classifier on the test slice, beside persistence and HAR with the calendar."""
    test = problem.rows_in(problem.slices.test)
    past = baselines.persistence(problem, test, spec.labels.regime_horizon)
    rows = test[~np.isnan(problem.regimes[test]) & ~np.isnan(past)]
    outcome = problem.regimes[rows]
    train = problem.regimes[problem.rows_in(problem.slices.train)]
    shares = np.bincount(train[~np.isnan(train)].astype(np.int64), minlength=3)
    majority = np.tile(shares / shares.sum(), (len(rows), 1))
    har = baselines.har_and_calendar(problem, rows)
    past = baselines.persistence(problem, rows, spec.labels.regime_horizon)
    ours = answers.probabilities[rows]
    return {
        "rows": len(rows),
        "edges": list(problem.edges),
        "test_shares": [round(float(np.mean(outcome == k)), 4) for k in range(3)],
        **_regime_figures(outcome, ours, spec),
        "baselines": {
            "majority": _regime_figures(outcome, majority, spec),
            "persistence": {
                "accuracy": _interval(metrics.accuracy, spec, outcome, past),
                "kappa": _interval(metrics.quadratic_kappa, spec, outcome, past),
            },
            "har_and_calendar": _regime_figures(outcome, har, spec),
        },
        "log_loss_lead_on_har": _interval(_class_gap, spec, outcome, ours, har),
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


def canary(problem: Problem, spec: TrainingSpec, threads: int) -> Json:
    """A booster fitted to shuffled labels, scored on the test slice: skill here would be a leak in the pipeline."""
    key, known = next(iter(problem.heads.items()))
    grow, stop = problem.rows_in(problem.slices.train), problem.rows_in(problem.slices.stop)
    shuffled = np.full(len(known), np.nan)
    told = np.concatenate([grow, stop])
    told = told[~np.isnan(known[told])]
    shuffled[told] = np.random.default_rng(spec.seed).permutation(known[told])
    # Without early stopping: noise would end at the first tree, and a leak with it.
    trees = spec.lightgbm.model_copy(update={"rounds": CANARY_TREES, "patience": CANARY_TREES})
    rows_of = boosting.Rows(problem.matrix, shuffled, grow, stop, problem.names)
    booster = boosting.grow_binary(rows_of, trees, spec.seed, threads)
    booster.best_iteration = CANARY_TREES
    rows = problem.rows_in(problem.slices.test)
    rows = rows[~np.isnan(known[rows])]
    interval = _bootstrap(metrics.auc, spec, known[rows], boosting.raw_scores(booster, problem.matrix[rows], threads))
    return {"head": key, "auc": _plain(interval), "quiet": bool(interval.low <= 0.5 <= interval.high)}


def _validation(problem: Problem, members: list[Answers], fused: Fused, spec: TrainingSpec, column: int) -> Json:
    """Out-of-fold and calibrate-slice AUC: what weights were chosen by. Fitted on, so it flatters."""
    known = problem.targets[:, column]
    folded = np.flatnonzero(np.isfinite(fused.unseen[:, column]) & ~np.isnan(known))
    calibrate = problem.rows_in(problem.slices.calibrate)
    calibrate = calibrate[~np.isnan(known[calibrate])]
    return {
        "out_of_fold": {
            "rows": len(folded),
            "auc": _interval(metrics.auc, spec, known[folded], fused.unseen[folded, column]),
            "members": {
                m.names[column]: round(metrics.auc(known[folded], m.unseen[folded, column]), 6) for m in members
            },
        },
        "calibrate": {
            "rows": len(calibrate),
            "auc": _interval(metrics.auc, spec, known[calibrate], fused.probabilities[calibrate, column]),
        },
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


def _average(members: list[Answers], rows: Ints, column: int) -> Floats:
    """Plain average of the members' probabilities, which stacking should beat."""
    return np.asarray(np.mean([sigmoid(m.final[rows, column]) for m in members], axis=0))


def _auc_gap(outcome: Floats, ours: Floats, theirs: Floats) -> float:
    return metrics.auc(outcome, ours) - metrics.auc(outcome, theirs)


def _log_loss_gain(outcome: Floats, ours: Floats, flat: Floats) -> float:
    return metrics.log_loss(outcome, flat) - metrics.log_loss(outcome, ours)


def _class_gap(outcome: Floats, ours: Floats, theirs: Floats) -> float:
    return metrics.class_log_loss(outcome, theirs) - metrics.class_log_loss(outcome, ours)


def _bootstrap(statistic: Callable[..., float], spec: TrainingSpec, *columns: Floats) -> metrics.Interval:
    return metrics.block_bootstrap(
        statistic, *columns, block=spec.evidence.block, draws=spec.evidence.draws, seed=spec.seed
    )


def _interval(statistic: Callable[..., float], spec: TrainingSpec, *columns: Floats) -> Json:
    return _plain(_bootstrap(statistic, spec, *columns))


def _plain(interval: metrics.Interval) -> Json:
    """As JSON; a bound that is no number is null."""
    return {name: value if np.isfinite(value) else None for name, value in interval.as_json().items()}


def _quantiles(values: Floats) -> Json:
    return {f"{q:g}": round(float(v), 6) for q, v in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True)}
