"""Figures of the regime: the volatility that came, against what the classifier and the baselines said of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from market.candles import Floats, Ints
from models.evaluation.direction import with_interval
from models.evaluation.rivals import Rivals
from models.evaluation.sample import Sample
from models.manifest import REGIMES
from models.metrics import EDGE
from models.resampling import Drawn, Resamples

Json = dict[str, Any]


def figures(sample: Sample, rivals: Rivals, resamples: Resamples) -> Json:
    """Accuracy, quadratic kappa and log-loss of the set and of each baseline, and the set's leads."""
    outcome = sample.regime
    ours = _measured(outcome, sample.answers.regime.argmax(axis=1), sample.answers.regime, resamples)
    found = _told(ours) | {
        "classes": list(REGIMES),
        "came": [float(np.mean(outcome == k)) for k in range(len(REGIMES))],
        "said": [float(np.mean(sample.answers.regime.argmax(axis=1) == k)) for k in range(len(REGIMES))],
        "baselines": {},
        "lead": {},
    }
    for name, (said, probability) in rivals.regimes(sample.rows).items():
        if said is None:
            found["baselines"][name] = dict.fromkeys(("accuracy", "kappa", "log_loss")) | {"reason": rivals.reason}
            continue
        theirs = _measured(outcome, said, probability, resamples)
        found["baselines"][name] = _told(theirs)
        found["lead"][name] = {
            what: with_interval("value", ours[what].minus(t) if what != "log_loss" else t.minus(ours[what]), "ci")
            for what, t in theirs.items()
        }
        if probability is None:
            found["baselines"][name] |= {"log_loss": None, "reason": "it names a regime, without probabilities"}
    return found


def _measured(outcome: Ints, said: Ints, probability: Floats | None, resamples: Resamples) -> dict[str, Drawn]:
    found = {
        "accuracy": resamples.mean((outcome == said).astype(np.float64)),
        "kappa": resamples.kappa(outcome, said),
    }
    if probability is not None:
        of_outcome = probability[np.arange(len(outcome)), outcome]
        found["log_loss"] = resamples.mean(-np.log(np.clip(of_outcome, EDGE, 1.0)))
    return found


def _told(measured: dict[str, Drawn]) -> Json:
    found: Json = {}
    for name, drawn in measured.items():
        found |= with_interval(name, drawn)
    return found
