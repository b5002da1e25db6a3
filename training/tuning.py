"""Tuning: LightGBM's settings searched for by Optuna on the folds' out-of-fold log-loss; every trial is counted."""

from __future__ import annotations

import numpy as np
import optuna
from pydantic import JsonValue

from models import metrics
from models.logits import sigmoid
from training import boosting
from training.member_spec import LightGBMSpec
from training.units import Context


def search(context: Context) -> dict[str, JsonValue]:
    """The best settings, how many were tried, and the best out-of-fold log-loss (nats).

    Folds lie within the train slice, so neither early-stop, calibrate nor test slice is looked at. Out-of-fold answers
    made afterwards by the settings chosen here flatter them a little; the test slice does not.

    References
    ----------
    Akiba et al. (2019), Optuna: a next-generation hyperparameter optimization framework.
    """
    spec = context.spec
    assert spec.lightgbm.search is not None, "asked to search without being told how"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=spec.seed))
    study.optimize(lambda trial: _log_loss(context, _drawn(trial, spec.lightgbm)), n_trials=spec.lightgbm.search.trials)
    return {
        "settings": dict(study.best_params),
        "trials": len(study.trials),
        "log_loss": round(study.best_value, 6),
    }


def _drawn(trial: optuna.Trial, told: LightGBMSpec) -> LightGBMSpec:
    return told.model_copy(
        update={
            "leaves": trial.suggest_int("leaves", 4, 64, log=True),
            "min_leaf": trial.suggest_int("min_leaf", 50, 1000, log=True),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.3, 1.0),
            "row_fraction": trial.suggest_float("row_fraction", 0.3, 1.0),
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.1, log=True),
            "l1": trial.suggest_float("l1", 1e-3, 10.0, log=True),
            "l2": trial.suggest_float("l2", 1e-2, 100.0, log=True),
        }
    )


def _log_loss(context: Context, settings: LightGBMSpec) -> float:
    """Mean over folds and heads of the out-of-fold log-loss (nats)."""
    problem, losses = context.problem, []
    for grow, stop, judged in context.folds.parts:
        for known in problem.heads.values():
            rows = boosting.Rows(problem.matrix, known, grow, stop, problem.names)
            booster = boosting.grow_binary(rows, settings, context.spec.seed, context.threads)
            told = judged[~np.isnan(known[judged])]
            scores = boosting.raw_scores(booster, problem.matrix[told], context.threads)
            losses.append(metrics.log_loss(known[told], sigmoid(scores)))
    return float(np.mean(losses))
