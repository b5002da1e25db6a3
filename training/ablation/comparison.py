"""Comparison: every variant against its base, on the rows that both have answered out of fold.

Only the folds of the train slice are fitted and judged: early-stop, calibrate and test slices are never looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from market.candles import Floats, Ints
from market.progress import Steps
from models import metrics
from models.logits import sigmoid
from training.ablation.variants import Variant
from training.evidence import plain
from training.folds import Folds
from training.plan import Workshop, units_of
from training.problem import Problem, pose
from training.units import Context, gathered

HEADS = 2
"""Columns judged: both sides of the shortest horizon, the first ones."""


def ablate(
    variants: Sequence[Variant], steps: Steps, workshop: Workshop, threads: int, device: str
) -> list[dict[str, JsonValue]]:
    """Fit every variant in every fold, and compare each with its base on the rows that both have answered.

    Returns
    -------
    list of dict
        ``name``, ``what``, ``rows``, ``auc`` and ``difference`` (AUC within folds, mean of both sides of the shortest
        horizon, with 90 % block-bootstrap intervals), ``log_loss`` after nothing but the fold's own base rate is set
        right, ``seconds``, and ``kept``: whether an earlier run had fitted it.
    """
    told: dict[str, tuple[Problem, Folds, Floats]] = {}
    found: list[dict[str, JsonValue]] = []
    for variant in variants:
        before = sum(steps.seconds.values())
        problem = pose(variant.bars, variant.spec)
        context = Context(problem, variant.spec, Folds(problem, variant.spec), threads, device)
        steps.show(variant.name)
        parts = range(len(context.folds.parts))
        known = workshop.has(context, units_of(variant.spec, [variant.family], parts))
        fits = workshop.fit(context, [variant.family], steps, parts, f"{variant.name}: ")
        said = gathered(context, variant.family, fits, len(problem.heads))
        told[variant.name] = problem, context.folds, said
        seconds = sum(steps.seconds.values()) - before
        found.append(_row(variant, told, round(seconds, 1)) | {"kept": known})
    return found


def _row(variant: Variant, told: dict[str, tuple[Problem, Folds, Floats]], seconds: float) -> dict[str, JsonValue]:
    (problem, folds, said), (other, _, theirs) = told[variant.name], told[variant.base]
    _, ours_at, theirs_at = np.intersect1d(
        problem.bars.candles.open_time, other.bars.candles.open_time, assume_unique=True, return_indices=True
    )
    base = np.full(said.shape, np.nan)
    base[ours_at] = theirs[theirs_at]
    fold = folds.of_rows(len(said))
    pair = np.isfinite(said[:, :HEADS]).all(axis=1) & np.isfinite(base[:, :HEADS]).all(axis=1)
    rows = np.flatnonzero((fold >= 0) & pair & ~np.isnan(problem.targets[:, :HEADS]).any(axis=1))
    outcome, part = problem.targets[rows, :HEADS], fold[rows]
    settings = variant.spec.evidence
    bootstrap = {"block": settings.block, "draws": settings.draws, "seed": variant.spec.seed}
    row: dict[str, JsonValue] = {
        "name": variant.name,
        "what": variant.what,
        "rows": len(rows),
        "auc": plain(metrics.block_bootstrap(_auc, outcome, said[rows], part, **bootstrap)),
        "log_loss": round(_log_loss(outcome, said[rows], part), 6),
        "seconds": seconds,
    }
    if variant.base != variant.name:
        row["difference"] = plain(
            metrics.block_bootstrap(_difference, outcome, said[rows], base[rows], part, **bootstrap)
        )
    return row


def _auc(outcome: Floats, said: Floats, fold: NDArray[np.int8]) -> float:
    return float(np.mean([metrics.auc_within(outcome[:, at], said[:, at], fold) for at in range(HEADS)]))


def _difference(outcome: Floats, ours: Floats, theirs: Floats, fold: NDArray[np.int8]) -> float:
    return _auc(outcome, ours, fold) - _auc(outcome, theirs, fold)


def _log_loss(outcome: Floats, said: Floats, fold: NDArray[np.int8]) -> float:
    """Mean log-loss (nats) with each fold's level set right: focal and AUC losses say no level of their own."""
    losses: list[Any] = []
    for at in range(HEADS):
        shifted = said[:, at].copy()
        for number in np.unique(fold):
            rows: Ints = np.flatnonzero(fold == number)
            shifted[rows] += _level(outcome[rows, at], shifted[rows])
        losses.append(metrics.log_loss(outcome[:, at], sigmoid(shifted)))
    return float(np.mean(losses))


def _level(outcome: Floats, logits: Floats) -> float:
    """What to add to the logits so that their mean probability is the share of ones, by Newton's steps."""
    shift = 0.0
    for _ in range(30):
        said = sigmoid(logits + shift)
        shift += float((outcome - said).sum() / max((said * (1 - said)).sum(), 1e-12))
    return shift
