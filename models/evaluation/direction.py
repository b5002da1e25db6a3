"""Figures of direction: for each horizon, each side's label and whether the price rose, members beside baselines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from market.candles import Floats
from models.evaluation import calibration
from models.evaluation.outcomes import SECTIONS, UP
from models.evaluation.rivals import RIVALS, Rivals
from models.evaluation.sample import AVERAGE, STACK, Sample
from models.metrics import EDGE
from models.resampling import Drawn, Resamples

Json = dict[str, Any]


def figures(
    sample: Sample, rivals: Rivals, resamples: Resamples, doing: Callable[[str], None] = lambda _: None
) -> Json:
    """``{section: {horizon: {member: …, "baselines": {name: …}}}}``; the stack's entry has its leads too."""
    horizons = sorted({int(key.split("/")[0]) for key in sample.outcomes})
    found: Json = {}
    for section, kind in SECTIONS.items():
        found[section] = {}
        for h in horizons:
            doing(f"{section} over {h} bars")
            found[section][str(h)] = _of(sample, rivals, resamples, f"{h}/{kind}", kind != UP)
    return found


def _of(sample: Sample, rivals: Rivals, resamples: Resamples, key: str, probable: bool) -> Json:
    outcome, found = sample.outcomes[key], dict[str, Any]()
    aucs: dict[str, Drawn] = {}
    losses: dict[str, Drawn] = {}
    for name, said in sample.said.items():
        if key not in said:
            continue
        told = np.isfinite(said[key])
        if not told.all():  # bars answered without this member
            some = np.flatnonzero(told)
            answered = resamples.at(some).auc(outcome[some], said[key][some])
            found[name] = with_interval("auc", answered, "ci") | {"rows": len(some)}
            continue
        aucs[name] = resamples.auc(outcome, said[key])
        found[name] = with_interval("auc", aucs[name], "ci")
        if probable:
            found[name] |= _probabilities(outcome, said[key], resamples, losses, name)
            if name in (STACK, AVERAGE):
                found[name]["calibration"] = calibration.as_json(outcome, said[key], resamples)
    found["baselines"] = {}
    for name in RIVALS:
        score = rivals.score(name, key, sample.rows)
        if score is None:
            found["baselines"][name] = {"auc": None, "ci": None, "reason": rivals.reason}
            continue
        rival = resamples.auc(outcome, score)
        entry = with_interval("auc", rival, "ci")
        probability = rivals.probability(name, key, sample.rows)
        if probability is not None:
            entry |= _probabilities(outcome, probability, resamples, losses, f"baseline {name}")
        found["baselines"][name] = entry
        aucs[f"baseline {name}"] = rival
    if STACK in found:
        against = {name: aucs[f"baseline {name}"] for name in RIVALS if f"baseline {name}" in aucs}
        found[STACK]["lead"] = {
            name: with_interval("value", aucs[STACK].minus(other), "ci")
            for name, other in (against | {AVERAGE: aucs[AVERAGE]}).items()
        }
        if probable:
            found[STACK]["log_loss_lead"] = {
                name.removeprefix("baseline "): with_interval("value", other.minus(losses[STACK]), "ci")
                for name, other in losses.items()
                if name.startswith("baseline ") or name == AVERAGE
            }
    return found


def _probabilities(
    outcome: Floats, probability: Floats, resamples: Resamples, losses: dict[str, Drawn], name: str
) -> Json:
    p = np.clip(probability, EDGE, 1 - EDGE)
    brier, losses[name] = resamples.means(
        (probability - outcome) ** 2, -(outcome * np.log(p) + (1 - outcome) * np.log(1 - p))
    )
    return with_interval("brier", brier) | with_interval("log_loss", losses[name])


def with_interval(name: str, drawn: Drawn, interval: str | None = None) -> Json:
    """A statistic and its interval, ``[low, high]``, called ``<name>_ci`` unless said otherwise."""
    found = drawn.interval()
    return {name: found.value, interval or f"{name}_ci": [found.low, found.high]}
